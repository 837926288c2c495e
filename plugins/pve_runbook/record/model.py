"""Make the change record from the events of a journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pve_runbook.record import events, fields
from pve_runbook.record.fields import Fields
from pve_runbook.record.parts import (
    CUT_SHORT,
    Action,
    Answer,
    Approval,
    Command,
    Continuity,
    End,
    Header,
    Note,
    Outcome,
    Phase,
    Planned,
    Read,
    Record,
    Sample,
    Step,
    Transfer,
)
from pve_runbook.record.sent import count_sent

__all__ = ["Record", "build"]

PhaseKey = tuple[int | None, str]


@dataclass
class _OpenStep:
    """A step while its events are being gathered."""

    nodeid: str
    start: Fields = field(default_factory=dict)
    result: Fields | None = None
    commands: list[Command] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def close(self) -> Step:
        said = self.result if self.result is not None else self.start
        outcome: Outcome = "unknown"
        if self.result is not None:
            outcome = events.outcome(fields.text(self.result, "outcome"))
        return Step(
            nodeid=self.nodeid,
            phase=fields.integer(said, "phase"),
            phase_title=fields.text(said, "phase_title"),
            title=fields.text(said, "title") or self.nodeid,
            node=fields.text_or_none(said, "node"),
            outcome=outcome,
            started=fields.text(self.start, "t"),
            seconds=fields.seconds(said),
            message=CUT_SHORT if self.result is None else fields.text(said, "message"),
            commands=tuple(self.commands),
            notes=tuple(self.notes),
        )


@dataclass
class _Builder:
    header: Header = field(default_factory=Header)
    end: End | None = None
    steps: dict[str, _OpenStep] = field(default_factory=dict)
    outside: list[Command] = field(default_factory=list)
    reads: dict[int | None, tuple[list[Command], int]] = field(default_factory=dict)
    """Where the read that an event number began stands: its list and its place in there."""
    actions: dict[int | None, tuple[list[Command], int]] = field(default_factory=dict)
    answers: dict[int, Answer] = field(default_factory=dict)
    last: dict[tuple[str, str], Answer] = field(default_factory=dict)
    """What a node said last to a probe, where it was something else than before."""
    approvals: list[Approval] = field(default_factory=list)
    plan: Planned | None = None
    transfers: list[Transfer] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    continuity: list[Continuity] = field(default_factory=list)
    lines: dict[int | None, list[str]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    baseline: str = ""

    def take(self, event: Fields) -> None:
        """File one event; an unknown kind is ignored."""
        match event.get("kind"):
            case "run":
                self.header = events.header(event)
            case "step-start":
                self._step(fields.text(event, "nodeid")).start = event
            case "step":
                self._step(fields.text(event, "nodeid")).result = event
            case "batch":
                commands = self._commands(event)
                self.reads[fields.integer(event, "n")] = (commands, len(commands))
                commands.append(events.read(event))
            case "probe":
                self._answer(event)
            case "action-intent":
                commands = self._commands(event)
                self.actions[fields.integer(event, "n")] = (commands, len(commands))
                commands.append(events.intent(event))
            case "action":
                self._outcome_of_action(event)
            case "testinfra":
                self._commands(event).append(events.gate_command(event))
            case "approval":
                self.approvals.append(events.approval(event))
            case "plan":
                self.plan = events.plan(event)
            case "transfer":
                self.transfers.append(events.transfer(event))
            case "note":
                self._note(event)
            case "continuity":
                self.continuity.append(events.continuity(event))
            case "baseline":
                self.baseline = self.baseline or fields.text(event, "t")
            case "sample":
                self.samples.append(Sample(fields.text(event, "t"), fields.texts(event, "gone")))
            case "phase-line":
                self.lines.setdefault(fields.integer(event, "phase"), []).append(fields.text(event, "text"))
            case "end":
                self.end = events.end(event)

    def _step(self, nodeid: str) -> _OpenStep:
        return self.steps.setdefault(nodeid, _OpenStep(nodeid))

    def _commands(self, event: Fields) -> list[Command]:
        nodeid = fields.text_or_none(event, "step")
        return self.outside if nodeid is None else self._step(nodeid).commands

    def _answer(self, event: Fields) -> None:
        commands, place = self.reads.get(fields.integer(event, "batch"), ([], 0))
        if not commands:
            return
        read = commands[place]
        assert isinstance(read, Read)
        probe_id = fields.text(event, "id")
        ids = [asked.id for asked in read.answers]
        if probe_id in ids:
            at = ids.index(probe_id)
            answers = (*read.answers[:at], self._answered(read.answers[at], event), *read.answers[at + 1 :])
            commands[place] = replace(read, answers=answers)

    def _answered(self, asked: Answer, event: Fields) -> Answer:
        line = events.line(event)
        same_as = fields.integer(event, "same_as")
        earlier = self.answers.get(same_as) if same_as is not None else None
        exit_status = fields.integer(event, "exit_status")
        answer = replace(
            asked,
            line=line,
            exit_status=earlier.exit_status if exit_status is None and earlier else exit_status,
            stdout=fields.text(event, "stdout"),
            stderr=fields.text(event, "stderr"),
            seconds=fields.seconds(event),
            error=fields.text_or_none(event, "error"),
            same_as=same_as,
        )
        self.answers[line] = answer
        return answer if same_as is not None else self._unless_said_before(fields.text(event, "node"), answer)

    def _unless_said_before(self, node: str, answer: Answer) -> Answer:
        """Make an answer that is the node's last one to this probe again a reference to that one: the journal does so
        for long ones only."""
        key = (node, answer.id)
        was = self.last.get(key)
        if was is not None and answer.error is None and _said(was) == _said(answer):
            return replace(answer, stdout="", stderr="", same_as=was.line)
        self.last[key] = answer
        return answer

    def _outcome_of_action(self, event: Fields) -> None:
        commands, place = self.actions.get(fields.integer(event, "action_id"), ([], 0))
        if not commands:
            return
        action = commands[place]
        assert isinstance(action, Action)
        commands[place] = replace(
            action,
            line=events.line(event),
            outcome=fields.text(event, "outcome") or "unknown",
            exit_status=fields.integer(event, "exit_status"),
            stdout=fields.text(event, "stdout"),
            stderr=fields.text(event, "stderr"),
            seconds=fields.seconds(event),
            error=fields.text_or_none(event, "error"),
        )

    def _note(self, event: Fields) -> None:
        note = Note(
            text=fields.text(event, "text"),
            topic=fields.text(event, "topic"),
            node=fields.text_or_none(event, "node"),
        )
        self.notes.append(note)
        nodeid = fields.text_or_none(event, "step")
        if nodeid is not None:
            self._step(nodeid).notes.append(note)

    def phases(self) -> tuple[Phase, ...]:
        """Group the steps: by number, or by title where a step belongs to no numbered phase."""
        grouped: dict[PhaseKey, list[Step]] = {}
        for open_step in self.steps.values():
            step = open_step.close()
            key = (step.phase, step.phase_title if step.phase is None else "")
            grouped.setdefault(key, []).append(step)
        return tuple(
            Phase(
                number=number,
                title=next((step.phase_title for step in steps if step.phase_title), ""),
                steps=tuple(steps),
                lines=tuple(self.lines.get(number, ())) if number is not None else (),
                continuity=tuple(item for item in self.continuity if number is not None and item.phase == number),
            )
            for (number, _), steps in grouped.items()
        )


def build(events: Sequence[Mapping[str, object]]) -> Record:
    """Return the change record of a journal, whole or cut off anywhere.

    A step that began and has no result is ``unknown``, as is an action that was sent and has no outcome.
    Never raises on account of what an event holds: missing fields read as empty.
    """
    builder = _Builder()
    for event in events:
        builder.take(event)
    return Record(
        header=builder.header,
        phases=builder.phases(),
        outside=tuple(builder.outside),
        approvals=tuple(builder.approvals),
        plan=builder.plan,
        transfers=tuple(builder.transfers),
        notes=tuple(builder.notes),
        continuity=tuple(builder.continuity),
        samples=tuple(builder.samples),
        baseline=builder.baseline,
        end=builder.end,
        last_event=fields.text(events[-1], "t") if events else "",
        sent=count_sent(events),
    )


def _said(answer: Answer) -> tuple[int | None, str, str, str | None]:
    return answer.exit_status, answer.stdout, answer.stderr, answer.error
