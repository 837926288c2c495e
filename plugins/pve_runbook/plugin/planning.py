"""The plan of what a run will still send, made by the procedure that the run itself takes its commands from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pve_runbook.plan.model import Command, Identity, Idleness, Plan
from pve_runbook.plan.model import Question as Asked
from pve_runbook.plugin import questions, stages
from pve_runbook.plugin.order import phase_of
from pve_runbook.plugin.run import Run
from pve_runbook.plugin.steps import title_of
from pve_runbook.work import actions, authority, procedure, thaw
from pve_runbook.work.outlook import CRON, Outlook
from pve_runbook.work.procedure import Idle, Stage, Work

PACKAGE = Path(__file__).parents[1]
LAB = "lab"

MEANINGS = {
    stages.RUN: "the id of the run, and the name of its folder on the nodes",
    stages.ATTEMPT: "the id of this part of it; a run that is taken up again has another one",
    stages.LOCK: "who works on the node, since when, in which run",
    stages.VMID: "of the throw-away guest: the lowest from 9000 that no node and no storage knows",
    stages.TAG: "the last letters of the run's id",
}
"""What the placeholders stand for."""
SECOND_WAY_UNPROVEN = (
    "whether a login with the key made for the run works: where it does not, the run asks for the open console of the "
    "node before it goes on"
)
CRON_LINK = "{node}: whether pveproxy's start puts /etc/cron.d/vzdump back (PVE 7): it is parked once more then"
LATER_GATES = "what the gates will say once the first command was sent: they are judged by the run, before it goes on"


@dataclass(frozen=True)
class Place:
    """Where the runbook asks for a stage: the first step that requests its fixture, and that step's phase."""

    stage: Stage
    phase: int
    before: tuple[str, ...]
    """Titles of the gates since the stage before."""
    after: str


PLACES = pytest.StashKey[list[Place]]()
"""Where the config keeps the places of the selected steps, which do not change any more."""


def placeholders(run: Run) -> Work:
    """The work with names in place of what only the run itself has."""
    return replace(
        stages.work_of(run),
        run=stages.RUN,
        attempt=stages.ATTEMPT,
        lock=stages.LOCK,
        tag=stages.TAG,
    )


def plan_ahead(run: Run, work: Work | None = None) -> Plan:
    """Everything that ``run`` has still to send, as the nodes are now, with placeholders or the values of ``work``.

    Raises UnknownFact.
    """
    work = work or placeholders(run)
    run.code = run.code or sources(run.config.rootpath / "runbook")
    if work.authority is None:
        work = replace(work, authority=_foreseen_authority(run))
    outlooks = {n.name: Outlook(n) for n in run.cluster.nodes}
    names = [n.name for n in run.cluster.nodes]
    leaving = [*(n for n in names if n != work.authority), *(n for n in names if n == work.authority)]
    commands: list[Command] = []
    idle: list[Idleness] = []
    texts: dict[str, str] = {}
    for place in places(run):
        stage = place.stage
        for name in leaving if stage is procedure.WINDOW else names:
            if (stage, name) in run.done:
                continue
            outlook = outlooks[name]
            for decision in stage.decide(outlook, work):
                if isinstance(decision, Idle):
                    idle.append(Idleness(place.phase, stage.name, name, decision.why))
                    continue
                action, stdin = decision.action, decision.stdin
                outlook.foresee(action, stdin)
                digest = None
                if stdin is not None:
                    digest = hashlib.sha256(stdin).hexdigest()
                    texts[digest] = stdin.decode()
                commands.append(
                    Command(place.phase, stage.name, name, action.name, action.argv, action.why, action.undo, digest)
                )
        if stage is procedure.PEERS_SILENT and any((stage, name) not in run.done for name in outlooks):
            for outlook in outlooks.values():
                outlook.foresee_alone()
    return Plan(
        cluster=run.cluster_name,
        nodes=tuple(Identity(n.name, n.facts.hostname, n.facts.boot_id) for n in run.cluster.nodes),
        members=run.member_names,
        authority=work.authority,
        code=run.code,
        commands=tuple(commands),
        idle=tuple(idle),
        questions=tuple(_questions(run, work, commands)),
        unknown=tuple(_unknown(run, commands)),
        texts=texts,
    )


def _foreseen_authority(run: Run) -> str:
    if run.foreseen_authority is None:
        found = authority.candidates(run.cluster.nodes)
        run.foreseen_authority = authority.pick(found, wanted_authority(run, found)).node
    return run.foreseen_authority


def places(run: Run) -> list[Place]:
    """The stages in the order in which the selected steps of the runbook ask for them; those not asked for are not."""
    known = run.config.stash.get(PLACES, None)
    if known is None:
        known = run.config.stash[PLACES] = _places(run)
    return known


def _places(run: Run) -> list[Place]:
    found: list[Place] = []
    seen: set[str] = set()
    since: list[str] = []
    told: set[tuple[int, str]] = set()
    for item in run.steps:
        asked = set(getattr(item, "fixturenames", ()))
        new = [s for s in procedure.STAGES if s.fixture in asked and s.fixture not in seen]
        title = title_of(item)
        phase = phase_of(item.path) or 0
        found += [Place(stage, phase, tuple(since), title) for stage in new]
        seen |= {s.fixture for s in new}
        # The same gate on the next node, or for the next one that leaves, is the same gate.
        since = [] if new else since if (phase, title) in told else [*since, title]
        told.add((phase, title))
    return found


def wanted_authority(run: Run, found: Sequence[authority.Candidate]) -> str | None:
    """The node that --authority names, or the one that the run taken up chose, if it is still in the cluster."""
    earlier = run.unfinished.authority if run.unfinished is not None else None
    return run.options.authority or next((c.node for c in found if c.node == earlier), None)


def overdue_jobs(run: Run) -> dict[str, list[str]]:
    """Node name → what its scheduler would do that deserves a look, for every scheduler that was switched off.

    Raises UnknownFact.
    """
    return {
        n.name: thaw.risky_jobs(n.facts)
        for n in run.cluster.nodes
        if n.name in run.scheduled and n.name not in run.standalone_at_start
    }


def sources(runbook: Path) -> dict[str, str]:
    """Every source file that decides what is sent → its SHA-256. The lab is only spoken to."""
    package = [p for kind in ("*.py", "*.sh") for p in PACKAGE.rglob(kind) if p.relative_to(PACKAGE).parts[0] != LAB]
    named = {f"pve_runbook/{p.relative_to(PACKAGE).as_posix()}": p for p in package}
    named |= {f"runbook/{p.name}": p for p in runbook.glob("*.py")}
    return {name: hashlib.sha256(named[name].read_bytes()).hexdigest() for name in sorted(named)}


def _questions(run: Run, work: Work, commands: Sequence[Command]) -> Iterator[Asked]:
    """What will be asked, with what is at stake as the nodes are now. Raises UnknownFact."""
    nodes = run.cluster.nodes
    by_name = {n.name: n for n in nodes}
    left = {c.stage for c in commands}
    if procedure.LOCKED.name in left and run.baseline is not None:
        for name in run.options.absent:
            yield Asked(0, "locked", None, f"{name} is powered off", questions.without(name, nodes, run.options.absent))
        yield Asked(0, "locked", None, run.cluster_name, run.freeze_text())
    if any(c.stage in (procedure.PEERS_SILENT.name, procedure.QUORUM_FORCED.name) for c in commands):
        one = by_name[work.authority or ""]
        peers = [n for n in nodes if n is not one]
        yield Asked(2, procedure.PEERS_SILENT.name, None, run.cluster_name, questions.quorum(one, peers, nodes))
    for command in commands:
        if command.name == actions.RUN_WINDOW.name:
            text = questions.window(by_name[command.node], work.run, command.node == work.authority)
            yield Asked(4, command.stage, command.node, command.node, text)
    jobs = overdue_jobs(run)
    if jobs:
        yield Asked(7, procedure.SCHEDULER_BACK.name, None, run.cluster_name, questions.thaw(jobs))


def _unknown(run: Run, commands: Sequence[Command]) -> Iterator[str]:
    """What no reading can tell before the run, in words. Raises UnknownFact."""
    words = {word for c in commands for word in re.findall("[A-Z]+", c.line)}
    for name, meaning in MEANINGS.items():
        if name in words:
            yield f"{name}: {meaning}"
    if any(c.stage == procedure.SECOND_WAY.name for c in commands):
        yield SECOND_WAY_UNPROVEN
    for node in run.cluster.nodes:
        version = node.facts.version
        if version is not None and version.major == 7 and CRON in node.facts.cron_files:
            yield CRON_LINK.format(node=node.name)
    yield LATER_GATES
