"""record.json: the change record to process. These classes are its schema, docs/record.schema.json; see schema.py.

The outputs of commands are not in it. Reads are folded: how many probes were asked, and which did not answer.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from pve_runbook.journal.events import ActionOutcome, Approval, Note, Outcome, Plan, Transfer
from pve_runbook.journal.rows import GuestRow, NodeRow
from pve_runbook.record import model, phrases
from pve_runbook.record.command_counts import Sent
from pve_runbook.record.model import Header, Record, Sample
from pve_runbook.record.waiting import Waited, waited
from pve_runbook.refusal.text import ids_in

SCHEMA_VERSION = 3
"""Counted up when a field goes or means something else."""

_ORDER: dict[type, tuple[str, ...]] = {GuestRow: ("vmid", "name", "node", "kind"), Note: ("text", "topic", "node")}
"""The fields that stand first, where that is another order than a journal's."""


class Action(Struct, frozen=True, kw_only=True):
    """One change to one node."""

    kind: Literal["action"] = "action"
    line: int
    """line of journal.jsonl"""
    node: str
    name: str
    argv: tuple[str, ...]
    why: str
    undo: str
    started: str
    seconds: float
    stdin_sha256: str | None
    """SHA-256 of what was sent on standard input"""
    outcome: ActionOutcome
    exit_status: int | None
    error: str | None


class Unanswered(Struct, frozen=True):
    """A probe without an answer; one that timed out may have an exit status and no error."""

    id: str
    error: str | None


class Read(Struct, frozen=True, kw_only=True):
    """Everything one node was asked in one request; answers are in journal.jsonl."""

    kind: Literal["read"] = "read"
    line: int
    node: str
    started: str
    seconds: float
    """of the whole request"""
    probes: int
    """how many were asked"""
    unanswered: tuple[Unanswered, ...]


class GateCommand(Struct, frozen=True, kw_only=True):
    """A command that testinfra ran for a gate somebody added."""

    kind: Literal["testinfra"] = "testinfra"
    line: int
    node: str
    command: str
    started: str
    seconds: float
    exit_status: int | None


class Step(Struct, frozen=True, kw_only=True):
    """One gate or one action of the procedure."""

    nodeid: str
    """pytest's id"""
    title: str
    node: str | None
    """null: the cluster as a whole"""
    outcome: Outcome
    started: str | None
    """null: it never began"""
    seconds: float
    message: str
    refusals: tuple[str, ...]
    """ids of the refusals that the message says, PVE-R and a number: docs/refusals.md"""
    commands: tuple[Action | Read | GateCommand, ...]


class Phase(Struct, frozen=True, kw_only=True):
    """The steps of one phase."""

    phase: int | None
    """null in a verification"""
    title: str
    outcome: Outcome
    started: str | None
    seconds: float
    waited: Waited
    """what they are made up of"""
    steps_passed: int
    steps_total: int
    lines: tuple[str, ...]
    """the lines that close the phase"""
    steps: tuple[Step, ...]


class PlannedCommand(Struct, frozen=True, kw_only=True):
    """One command of a plan."""

    phase: int
    node: str
    name: str
    """of the action"""
    argv: tuple[str, ...]
    """names in capitals stand for values that only the run has"""
    why: str
    undo: str


class Planned(Struct, frozen=True):
    """What was to be sent, as it was known before the first change."""

    hash: str
    commands: tuple[PlannedCommand, ...]


class Comparison(Struct, frozen=True, kw_only=True):
    """All guests and nodes held against the baseline."""

    line: int
    at: str
    phase: int | None
    label: str
    compared: int
    """how many guests were compared"""
    guests: tuple[GuestRow, ...]
    """in the last comparison all guests, in the others those that were not as at the baseline"""
    nodes: tuple[NodeRow, ...]


class Document(Struct, frozen=True, kw_only=True):
    """Made from journal.jsonl by an allow-list: outputs of commands are only in the journal. Times are ISO 8601 in
    UTC, durations seconds."""

    schema_version: int = SCHEMA_VERSION
    kind: phrases.Kind
    judgement: phrases.Judgement
    verdict: str
    """the sentence the run ended with"""
    next: str
    """what to type next"""
    exit_status: int | None
    """0 passed, 1 failed, 2 interrupted, 3 incomplete, 4 usage; null: it was killed"""
    signal: str | None
    """what interrupted the run"""
    ended: str
    run: Header
    authority: str | None
    """the node that was given quorum"""
    sent: Sent
    phases: tuple[Phase, ...]
    outside: tuple[Action | Read | GateCommand, ...]
    """sent before the first step or between two"""
    baseline: str | None
    """when everything was written down as it was"""
    approvals: tuple[Approval, ...]
    plan: Planned | None
    """null when the run did not get that far"""
    transfers: tuple[Transfer, ...]
    """files pulled into backups/NODE/"""
    notes: tuple[Note, ...]
    continuity: tuple[Comparison, ...]
    samples: tuple[Sample, ...]
    """looks at the guests' processes while a node left"""
    journal_head: str
    """SHA-256 of the journal's last line"""


def record_json(record: Record, journal_head: str) -> dict[str, Any]:
    """Return what record.json holds, made of JSON types only.

    ``journal_head`` is the SHA-256 of the journal's last line, which names the journal as a whole.
    """
    found: dict[str, Any] = _plain(_document(record, journal_head))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Struct):
        names = dict.fromkeys((*_ORDER.get(type(value), ()), *value.__struct_fields__))
        return {name: _plain(getattr(value, name)) for name in names}
    return value


def _document(record: Record, journal_head: str) -> Document:
    end = record.end
    return Document(
        kind=phrases.kind(record),
        judgement=phrases.judgement(record),
        verdict=phrases.verdict(record),
        next=phrases.what_next(record),
        exit_status=end.exit_status if end is not None else None,
        signal=end.signal if end is not None else None,
        ended=phrases.ended_at(record),
        run=record.header,
        authority=phrases.authority(record),
        sent=record.sent,
        phases=tuple(_phase(phase, record.approvals) for phase in record.phases),
        outside=tuple(map(_command, record.outside)),
        baseline=record.baseline or None,
        approvals=record.approvals,
        plan=_plan(record.plan) if record.plan is not None else None,
        transfers=record.transfers,
        notes=record.notes,
        continuity=tuple(_comparison(item, is_last=item is record.survival) for item in record.continuity),
        samples=record.samples,
        journal_head=journal_head,
    )


def _comparison(item: model.Continuity, is_last: bool) -> Comparison:
    return Comparison(
        line=item.line,
        at=item.at,
        phase=item.phase,
        label=item.label,
        compared=len(item.guests),
        guests=tuple(row for row in item.guests if is_last or not row.same),
        nodes=item.nodes,
    )


def _plan(plan: Plan) -> Planned:
    return Planned(
        plan.hash,
        tuple(
            PlannedCommand(phase=c.phase, node=c.node, name=c.name, argv=c.argv, why=c.why, undo=c.undo)
            for c in plan.commands
        ),
    )


def _phase(phase: model.Phase, approvals: tuple[Approval, ...]) -> Phase:
    return Phase(
        phase=phase.number,
        title=phase.title,
        outcome=phase.outcome,
        started=phase.started or None,
        seconds=round(phase.seconds, 3),
        waited=waited(phase, approvals),
        steps_passed=phase.passed,
        steps_total=len(phase.steps),
        lines=phase.lines,
        steps=tuple(map(_step, phase.steps)),
    )


def _step(step: model.Step) -> Step:
    return Step(
        nodeid=step.nodeid,
        title=step.title,
        node=step.node,
        outcome=step.outcome,
        started=step.started or None,
        seconds=step.seconds,
        message=step.message,
        refusals=ids_in(step.message),
        commands=tuple(map(_command, step.commands)),
    )


def _command(command: model.Command) -> Action | Read | GateCommand:
    match command:
        case model.Action():
            return Action(
                line=command.line,
                node=command.node,
                name=command.name,
                argv=command.argv,
                why=command.why,
                undo=command.undo,
                started=command.started,
                seconds=command.seconds,
                stdin_sha256=command.stdin_sha256,
                outcome=command.outcome,
                exit_status=command.exit_status,
                error=command.error,
            )
        case model.Read():
            return Read(
                line=command.line,
                node=command.node,
                started=command.started,
                seconds=command.seconds,
                probes=command.probes,
                unanswered=tuple(Unanswered(item.id, item.error) for item in command.unanswered),
            )
        case model.GateCommand():
            return GateCommand(
                line=command.line,
                node=command.node,
                command=command.command,
                started=command.started,
                seconds=command.seconds,
                exit_status=command.exit_status,
            )
