"""The plan of what a run will still send: a pure function of the nodes' forecasts, the work and the code.

It is made by the stages that the run itself takes its commands from, for the nodes as they will be then.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from pve_runbook.journal.rows import Command, Identity
from pve_runbook.plan.by_hand import by_hand_md
from pve_runbook.plan.model import Idleness, Plan
from pve_runbook.plan.script_steps import Steps, steps_of
from pve_runbook.probes.probe import AUTHORIZED_KEYS2, BACKUP_ROOT, LOCK_PATH
from pve_runbook.procedure import stages, window
from pve_runbook.procedure.forecast import Forecast
from pve_runbook.procedure.login_key import MARK
from pve_runbook.procedure.stages import Stage
from pve_runbook.procedure.work import Idle, Work
from pve_runbook.ssh.detached import RUN_ROOT

RUN, ATTEMPT, LOCK, VMID, TAG = "RUN", "ATTEMPT", "LOCK", "VMID", "TAG"
KEY = f"KEY {MARK}-{RUN}"
CARD = b"CARD"
"""What stands in a plan for a value that only the run has."""
MEANINGS = {
    RUN: "the id of the run, and the name of its folder on the nodes",
    ATTEMPT: "the id of this part of it; a run that is taken up again has another one",
    LOCK: "who works on the node, since when, in which run",
    VMID: "of the throw-away guest: the lowest from 9000 that no node and no storage knows",
    TAG: "the last letters of the run's id",
}
"""What the placeholders stand for."""
SECOND_WAY_UNPROVEN = (
    "whether a login with the key made for the run works: where it does not, the run asks for the open console of the "
    "node before it goes on"
)
LATER_GATES = "what the gates will say once the first command was sent: they are judged by the run, before it goes on"
BY_HAND = "by-hand"
"""The folder on the nodes, and the attempt, of a person who works without the tool."""

Done = Collection[tuple[Stage, str]]
"""Stages that are done, each with the node's name."""


class Place(Struct, frozen=True):
    """Where the runbook asks for a stage: the first step that requests its fixture, and that step's phase."""

    stage: Stage
    phase: int
    before: tuple[str, ...]
    """Titles of the gates since the stage before."""
    after: str


def with_placeholders(work: Work) -> Work:
    """The work with names in place of what only the run itself has."""
    backups = RUN if work.back is None else ATTEMPT
    return replace(work, run=RUN, attempt=ATTEMPT, backups=backups, lock=LOCK, tag=TAG, key=KEY, card=CARD)


def plan_ahead(
    forecasts: Mapping[str, Forecast], work: Work, places: Sequence[Place], code: Mapping[str, str], done: Done = ()
) -> Plan:
    """Everything that is still to be sent to the nodes of ``forecasts`` (by their names, in the order of --hosts).

    ``code``: source file → SHA-256 of what decides what is sent. Raises UnknownFact, and Unforeseen for an action of
    which the forecast does not know what it does.
    """
    commands: list[Command] = []
    idle: list[Idleness] = []
    texts: dict[str, str] = {}
    scripts: dict[tuple[str, str], Steps] = {}
    for place in places:
        stage = place.stage
        for name in stages.in_turn(stage, forecasts, work):
            if (stage, name) in done:
                continue
            forecast = forecasts[name]
            for decision in stage.decisions(forecast, work):
                if isinstance(decision, Idle):
                    idle.append(Idleness(place.phase, stage.name, name, decision.why))
                    continue
                action, stdin = decision.action, decision.stdin
                forecast.foresee(action, stdin)
                digest = None
                if stdin is not None:
                    digest = hashlib.sha256(stdin).hexdigest()
                    with contextlib.suppress(UnicodeDecodeError):  # a database is no text for people
                        texts[digest] = stdin.decode()
                    if stdin.startswith(b"#!"):
                        scripts[name, action.argv[-1]] = steps_of(texts[digest], window.known_before(forecast.units))
                commands.append(
                    Command(place.phase, stage.name, name, action.name, action.argv, action.why, action.undo, digest)
                )
        if stage is stages.PEERS_SILENT and any((stage, name) not in done for name in forecasts):
            for name, forecast in forecasts.items():
                if name in work.staying:
                    forecast.foresee_without(work.let_go)
                elif not work.staying:
                    forecast.foresee_alone()
    return Plan(
        cluster=work.cluster,
        nodes=tuple(Identity(f.name, f.hostname, f.boot_id) for f in forecasts.values()),
        members=work.members,
        authority=work.authority,
        code=code,
        commands=tuple(commands),
        idle=tuple(idle),
        texts=texts,
        scripts=scripts,
    )


def card(plan: Plan, places: Sequence[Place], run: str) -> str:
    """What ``plan`` still names, as lines to be typed by hand; ``run`` is the work's folder on each node."""
    titles = {p.stage.name: p.after for p in places}
    left_out = [s.name for s in stages.STAGES if not s.by_hand]
    last = (
        f"rm -rf {LOCK_PATH} {RUN_ROOT}/{run}",
        f"[ ! -e {AUTHORIZED_KEYS2} ] || sed -i '/ pve-runbook-/d' {AUTHORIZED_KEYS2}",
    )
    return by_hand_md(plan, f"{BACKUP_ROOT}/{run}", titles, left_out, last)


def unknown_before(plan: Plan) -> Iterator[str]:
    """What no reading can tell before ``plan`` is carried out, in words."""
    words = {word for c in plan.commands for word in re.findall("[A-Z]+", c.line)}
    for name, meaning in MEANINGS.items():
        if name in words:
            yield f"{name}: {meaning}"
    if any(c.stage == stages.SECOND_WAY.name for c in plan.commands):
        yield SECOND_WAY_UNPROVEN
    yield LATER_GATES
