"""How a run begins: the nodes are connected and read once, an unfinished run is found, the record's folder is made."""

from __future__ import annotations

import re
import shutil
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from pve_runbook.cluster.cluster import Cluster
from pve_runbook.diagnosis import refusals_cluster
from pve_runbook.diagnosis.history import Histories
from pve_runbook.diagnosis.leaving import not_the_same
from pve_runbook.facts.node_state import NodeState
from pve_runbook.journal import events
from pve_runbook.options.option_types import RECORDS
from pve_runbook.options.options import RunOptions
from pve_runbook.plugin import rerun_command
from pve_runbook.plugin.provenance import code_revision, operator, tool_version
from pve_runbook.plugin.reach import not_all, reach
from pve_runbook.plugin.run import Run
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.probes.probe import CHECKED, JUDGED
from pve_runbook.procedure import left_to_do
from pve_runbook.procedure.members import Members
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.usage import usage_error
from pve_runbook.ssh.connection import ConnectOptions
from pve_runbook.ssh.errors import ConnectFailed

if TYPE_CHECKING:  # what checks/ do not need is not loaded for them
    from pve_runbook.procedure.unfinished import Unfinished

OPENED = pytest.StashKey["OpenRun"]()
"""Where the config keeps the run once its nodes are connected."""
ENDING = ("pve_runbook.record.build", "pve_runbook.record.html_summary", "pve_runbook.record.writer")
ACTIVATED = "--activate-storage: `pvesm status` was asked, which mounts and imports what was not there (pve-storage)"


class OpenRun(Struct, dict=True):
    """A run whose nodes are connected."""

    run: Run
    members: Members
    unreached: tuple[str, ...]
    """Nodes that checks/ went on without: they could not be connected to."""
    unfinished: Unfinished | None
    """The run that this one takes up, or rolls back."""
    held: str
    """Why these nodes are not free, in words."""
    folder: Path
    """The record's."""

    @property
    def cluster(self) -> Cluster:
        """The nodes of --hosts."""
        return self.members.cluster

    @property
    def why_unreached(self) -> dict[str, str]:
        """Node that checks/ went on without → why it could not be connected to."""
        return {name: self.cluster.node(name).unreached or "" for name in self.unreached}

    @cached_property
    def histories(self) -> Histories:
        """What the nodes' journals show of the cluster link, --since back."""
        return Histories(self.cluster.nodes, self.cluster.since)


def open_run(run: Run, connect: ConnectOptions) -> OpenRun:
    """Connect to all nodes, read them once, and create the record's folder.

    Raises UsageError when a node is not reached (checks/ go on with the others) or the folder cannot be made:
    nothing was changed then.
    """
    options = run.options
    is_checks = options.mode == "checks"
    cluster = Cluster(
        options.targets,
        connect,
        run.journal,
        read_only=is_checks or options.plan,
        attempt=run.id,
        timeout_scale=options.timeout_scale,
        since=options.since,
        activate_storage=options.activate_storage,
        begun=run.begun,
    )
    run.config.add_cleanup(cluster.close)
    if run.screen.live is not None:
        run.screen.live.follow(run.journal, cluster.waits)
    failed = reach(run, cluster, *(CHECKED if is_checks else ()), meanwhile=_load_ending)
    unreached: tuple[str, ...] = ()
    if is_checks and len(failed) < len(cluster.nodes):
        unreached, failed = _without(run, cluster, failed), {}
    if failed:
        raise not_all(failed)
    leave = options.leave if run.rollback is None else run.rollback.baseline.leaving
    members = Members(cluster, connect, leave)
    members.learn(CHECKED if is_checks else JUDGED)
    members.settle_guests()
    if is_checks:
        _read_again(members)
    unfinished, held = _taken_up(run, cluster) if not is_checks else (None, "")
    waited = (
        [n.name for n in cluster.nodes if members.wait_for_earlier(n)] if unfinished is not None and not held else []
    )
    for name in waited:
        run.notes.note("state", "what the run before had left going on was waited for", name)
    if waited:
        members.learn(JUDGED)  # what was read meanwhile does not hold any more
    found = unfinished.baseline if unfinished is not None else None
    if found is not None and run.rollback is None and not held:
        held = _begun_otherwise(found, cluster, options)
    if found is not None:
        members.as_before(found.members, dict(found.clusters), frozenset(found.standalone))
    if options.activate_storage:
        run.notes.note("storage", ACTIVATED)
    opened = OpenRun(run, members, unreached, unfinished, held, _begin_record(run, members.cluster_name))
    _write_head(opened)
    return opened


def _begun_otherwise(found: events.Baseline, cluster: Cluster, options: RunOptions) -> str:
    """Why this command line does not take up a run with that baseline, in words, or ""."""
    if found.leaving != options.leave:
        return not_the_same(found.leaving, options.leave)
    return refusals_cluster.other_nodes(found.boots, [n.name for n in cluster.nodes], options.absent)


def _write_head(opened: OpenRun) -> None:
    run, cluster, unfinished = opened.run, opened.cluster, opened.unfinished
    run.journal.write(
        events.Run(
            run=run.id,
            work=None if run.options.plan else cluster.work,
            mode=run.options.kind,
            folder=str(opened.folder.resolve()),
            cluster=opened.members.cluster_name,
            hosts=tuple(n.name for n in cluster.nodes),
            operator=operator(),
            ticket=run.options.ticket,
            code=code_revision(run.config.rootpath),
            command=rerun_command.again(run.config),
            version=tool_version(),
        )
    )
    if run.rollback is None and not run.options.plan:
        run.notes.note("undo", left_to_do.way_back(cluster.work, str(opened.folder)))
    if unfinished is not None:
        run.journal.write(events.Continues(folder=unfinished.last, head=unfinished.head))
        for text in unfinished.what_it_did():
            run.notes.note("earlier", text)


def _load_ending() -> None:
    """Load what the end of a run needs while the nodes are waited for: no upgrade later on may cost it its record."""
    for name in ENDING:
        import_module(name)


def _without(run: Run, cluster: Cluster, failed: dict[str, ConnectFailed]) -> tuple[str, ...]:
    """Go on with the nodes that were reached: all that the others would say is unknown. The others' names."""
    for name, error in failed.items():
        cluster.node(name).unreached = error.reason
        cluster.waits.say(name, f"not reached: {error.reason}; {error.advice}")
        run.notes.note("unreached", str(error), name)
    return tuple(failed)


def _read_again(members: Members) -> None:
    """A state that does not fit together is read again, bounded: on a link that flaps, what one node says was read at
    different moments. What hangs or is silent is not asked again."""
    for node in members.cluster.nodes:
        facts = node.facts
        if facts.state is NodeState.UNKNOWN and facts.state_lacks is None and len(facts.pve_mounts) == 1:
            members.settle(node)


def _taken_up(run: Run, cluster: Cluster) -> tuple[Unfinished | None, str]:
    """The unfinished run that these nodes are locked for, if any, and why they are not free, or "".

    Its baseline is the one that counts, and the work on the nodes goes on under its name.
    """
    from pve_runbook.procedure.rollback import not_ours
    from pve_runbook.procedure.unfinished import whose

    locks = {}
    held = ""
    for node in cluster.nodes:
        try:
            locks[node.name] = node.facts.get(probes.LOCK)
        except UnknownFact as error:
            held = str(error)
    unfinished = None
    broken = run.options.break_lock
    if run.rollback is not None:
        unfinished = run.rollback.take_over(locks)
        held = held or not_ours(locks, unfinished.work, operator(), broken)
    elif not held:
        unfinished, held = whose(locks, run.options.records, broken, operator())
    if unfinished is not None:
        cluster.work = unfinished.work
    return unfinished, held


def _begin_record(run: Run, cluster_name: str) -> Path:
    """The record's folder, made, with the journal in it. Raises UsageError."""
    folder: Path | None = None
    try:
        folder = _make_folder(run, cluster_name)
        run.journal.attach(folder / "journal.jsonl")
    except OSError as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise usage_error(
            RefusalId.RECORDS_FOLDER, RECORDS.format(path=run.options.records, why=error.strerror)
        ) from None
    return folder


def _make_folder(run: Run, cluster_name: str) -> Path:
    """Raises OSError."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", cluster_name)[:64]
    name = f"{run.started:%Y-%m-%dT%H%M%SZ}-{safe}"
    if run.options.ticket:
        name += f"-{run.options.ticket}"
    if run.rehearsal is not None:
        name += "-rehearsal"
    folder = run.options.records / name
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        folder = run.options.records / f"{name}-{run.id[-4:]}"
        folder.mkdir(mode=0o700)
    return folder
