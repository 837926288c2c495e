"""How a run begins: the nodes are connected and read once, an unfinished run is found, the record's folder is made."""

from __future__ import annotations

import re
import shutil
from importlib import import_module
from pathlib import Path

import pytest

from pve_runbook.facts.state import NodeState
from pve_runbook.plugin import questions, typed
from pve_runbook.plugin.live import Live
from pve_runbook.plugin.provenance import code_revision, operator, tool_version
from pve_runbook.plugin.run import Run
from pve_runbook.plugin.values import RECORDS
from pve_runbook.wire.connection import ConnectOptions
from pve_runbook.wire.failure import ConnectFailed, Failure
from pve_runbook.work import probes
from pve_runbook.work.cluster import Cluster
from pve_runbook.work.probe import CHECKED, JUDGED
from pve_runbook.work.readings import UnknownFact, known

ENDING = ("pve_runbook.record.model", "pve_runbook.record.html", "pve_runbook.record.writer")
ACTIVATED = "--activate-storage: `pvesm status` was asked, which mounts and imports what was not there (pve-storage)"
UNREACHED = "not every node was reached; nothing was changed on any. One is powered off: see --absent.\n{lines}"


def open_run(run: Run, connect: ConnectOptions, live: Live) -> None:
    """Connect to all nodes, read them once, and create the record's folder.

    Raises UsageError when a node is not reached (checks/ go on with the others) or the folder cannot be made:
    nothing was changed then.
    """
    read_only = run.options.mode == "checks" or run.options.plan
    cluster = Cluster(
        run.options.targets,
        connect,
        run.journal,
        read_only=read_only,
        attempt=run.id,
        timeout_scale=run.options.timeout_scale,
        since=run.options.since,
        activate_storage=run.options.activate_storage,
        begun=run.begun,
    )
    live.follow(run.journal, cluster.waits)
    groups = CHECKED if run.options.mode == "checks" else ()
    failed = cluster.open(*groups, meanwhile=_load_ending)
    if failed and run.options.mode == "runbook":
        failed = _by_the_second_way(run, cluster, failed)
    if run.options.mode == "checks" and len(failed) < len(cluster.nodes):
        failed = _without(run, cluster, failed)
    if failed:
        cluster.close()
        lines = "\n".join(f"  {error}" for error in failed.values())
        raise pytest.UsageError(UNREACHED.format(lines=lines))
    run.attach(cluster, connect)
    _learn_the_cluster(run)
    if run.options.mode == "runbook":
        _take_up(run)
    if run.options.activate_storage:
        run.note("storage", ACTIVATED)
    run.folder = _begin_record(run)
    run.journal.write(
        "run",
        run=run.id,
        work=None if run.options.plan else cluster.work,
        mode=run.options.kind,
        folder=str(run.folder.resolve()),
        cluster=run.cluster_name,
        hosts=[n.name for n in cluster.nodes],
        operator=operator(),
        ticket=run.options.ticket,
        code=code_revision(run.config.rootpath),
        command=typed.again(run.config),
        version=tool_version(),
    )
    if run.rollback is None and not run.options.plan:
        run.note("undo", questions.way_back(cluster.work, str(run.folder)))
    if run.unfinished is not None:
        run.journal.write("continues", folder=run.unfinished.last, head=run.unfinished.head)
        for text in run.unfinished.what_it_did():
            run.note("earlier", text)


def _load_ending() -> None:
    """Load what the end of a run needs while the nodes are waited for: no upgrade later on may cost it its record."""
    for name in ENDING:
        import_module(name)


def _without(run: Run, cluster: Cluster, failed: dict[str, ConnectFailed]) -> dict[str, ConnectFailed]:
    """Go on with the nodes that were reached: all that the others would say is unknown."""
    for name, error in failed.items():
        cluster.node(name).unreached = str(error)
        run.note("unreached", str(error), name)
    run.unreached = tuple(failed)
    return {}


def _by_the_second_way(run: Run, cluster: Cluster, failed: dict[str, ConnectFailed]) -> dict[str, ConnectFailed]:
    """Log in with the key of a run that was cut short: where /etc/pve is not mounted, root's own keys are gone."""
    keys = sorted(run.options.records.glob("*/access/second-way-in"), reverse=True)
    for name, error in list(failed.items()):
        for key in keys if error.kind is Failure.AUTHENTICATION else ():
            if cluster.node(name).reopen(key) is None:
                run.note("access", f"logged in by the key of {key.parents[1].name}: root's own keys are gone", name)
                del failed[name]
                break
    return failed


def _learn_the_cluster(run: Run) -> None:
    """Name and members of the cluster, from every node that still knows them."""
    run.cluster.read(*(CHECKED if run.options.mode == "checks" else JUDGED))
    members: dict[str, None] = {}
    standalone = set()
    for node in run.cluster.nodes:
        conf = known(lambda f=node.facts: f.corosync_conf)  # type: ignore[misc]
        run.hostnames[node.name] = known(lambda f=node.facts: f.hostname) or node.name  # type: ignore[misc]
        if conf is not None:
            run.cluster_name = conf.cluster_name
            run.clusters[node.name] = conf.cluster_name
            members.update({n.name: None for n in conf.nodes})
        if known(lambda f=node.facts: f.state) is NodeState.STANDALONE:  # type: ignore[misc]
            standalone.add(node.name)
    run.standalone_at_start = frozenset(standalone)
    run.member_names = tuple(members)


def _take_up(run: Run) -> None:
    """Find the unfinished run that these nodes are locked for; its baseline is the one that counts."""
    from pve_runbook.plugin.rollback import not_ours
    from pve_runbook.plugin.unfinished import whose

    locks = {}
    for node in run.cluster.nodes:
        try:
            locks[node.name] = node.facts.get(probes.LOCK)
        except UnknownFact as error:
            run.held = str(error)
    if run.rollback is not None:
        run.unfinished = run.rollback.take_over(locks)
        run.held = run.held or not_ours(locks, run.unfinished.work, operator(), run.options.break_lock)
    elif not run.held:
        run.unfinished, run.held = whose(locks, run.options.records, run.options.break_lock)
    if run.unfinished is None:
        return
    run.cluster.work = run.unfinished.work
    found = run.unfinished.baseline
    if found is not None:
        run.first_baseline, run.network = found.snapshot, found.network
        run.scheduled, run.quorate = found.scheduled, found.quorate
        run.member_names, run.clusters = found.members, found.clusters
        run.standalone_at_start = found.standalone
        run.cluster_name = next(iter(found.clusters.values()), run.cluster_name)


def _begin_record(run: Run) -> Path:
    """The record's folder, made, with the journal in it. Raises UsageError."""
    folder: Path | None = None
    try:
        folder = _make_folder(run)
        run.journal.attach(folder / "journal.jsonl")
    except OSError as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise pytest.UsageError(RECORDS.format(path=run.options.records, why=error.strerror)) from None
    return folder


def _make_folder(run: Run) -> Path:
    """Raises OSError."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", run.cluster_name)[:64]
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
