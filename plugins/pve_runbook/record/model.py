"""Make the change record from the events of a journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Union

from pve_runbook.record import events, fields
from pve_runbook.record.asked import Asked, Questions
from pve_runbook.record.fields import Fields, Scalar
from pve_runbook.record.parts import (
    CUT_SHORT,
    Action,
    Answer,
    Approval,
    Command,
    Continuity,
    End,
    GuestRow,
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
_Open = Union["_OpenRead", Command]


@dataclass
class _OpenRead:
    """A read while its answers come in."""

    event: Fields
    asked: dict[str, Asked]
    """Probe → question, of those of which no answer came yet."""
    answers: list[Answer] = field(default_factory=list)
    repeated: list[Answer] = field(default_factory=list)
    alike: list[Answer] = field(default_factory=list)
    repeated_line: int = 0
    seconds: float = 0.0

    def close(self) -> Read:
        line = events.line(self.event)
        return Read(
            line=line,
            node=fields.text(self.event, "node"),
            started=fields.text(self.event, "t"),
            answers=(*self.answers, *(events.silence(asked, line) for asked in self.asked.values())),
            repeated=tuple(self.repeated),
            alike=tuple(self.alike),
            repeated_line=self.repeated_line,
            seconds=self.seconds,
        )


@dataclass
class _OpenStep:
    """A step while its events are being gathered."""

    nodeid: str
    start: Fields = field(default_factory=dict)
    result: Fields | None = None
    commands: list[_Open] = field(default_factory=list)
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
            commands=_closed(self.commands),
            notes=tuple(self.notes),
        )


@dataclass
class _Builder:
    header: Header = field(default_factory=Header)
    end: End | None = None
    steps: dict[str, _OpenStep] = field(default_factory=dict)
    outside: list[_Open] = field(default_factory=list)
    questions: Questions = field(default_factory=Questions)
    reads: dict[int | None, _OpenRead] = field(default_factory=dict)
    """By the number of the event that began them."""
    actions: dict[int | None, tuple[list[_Open], int]] = field(default_factory=dict)
    """Where the action that an event number began stands: its list and its place in there."""
    answers: dict[int, Answer] = field(default_factory=dict)
    """By their lines."""
    approvals: list[Approval] = field(default_factory=list)
    plan: Planned | None = None
    transfers: list[Transfer] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    continuity: list[Continuity] = field(default_factory=list)
    lines: dict[int | None, list[str]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    baseline: str = ""
    as_they_were: dict[Scalar, GuestRow] = field(default_factory=dict)
    """Guest → its row, were it unchanged."""

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
                read = _OpenRead(event, {asked.id: asked for asked in self.questions.of(event)})
                self.reads[fields.integer(event, "n")] = read
                self._commands(event).append(read)
            case "probe":
                self._answer(event)
            case "unchanged":
                self._repeated(event)
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
                self.continuity.append(events.continuity(event, self.as_they_were))
            case "baseline":
                self.baseline = self.baseline or fields.text(event, "t")
                self.as_they_were = events.baseline(event)
            case "sample":
                self.samples.append(Sample(fields.text(event, "t"), fields.texts(event, "gone")))
            case "phase-line":
                self.lines.setdefault(fields.integer(event, "phase"), []).append(fields.text(event, "text"))
            case "end":
                self.end = events.end(event)

    def _step(self, nodeid: str) -> _OpenStep:
        return self.steps.setdefault(nodeid, _OpenStep(nodeid))

    def _commands(self, event: Fields) -> list[_Open]:
        nodeid = fields.text_or_none(event, "step")
        return self.outside if nodeid is None else self._step(nodeid).commands

    def _answer(self, event: Fields) -> None:
        read = self.reads.get(fields.integer(event, "batch"))
        asked = read.asked.pop(fields.text(event, "id"), None) if read is not None else None
        if read is not None and asked is not None:
            answer = self.answers[events.line(event)] = events.answer(event, asked)
            read.answers.append(answer)
            read.seconds = max(read.seconds, answer.seconds)

    def _repeated(self, event: Fields) -> None:
        read = self.reads.get(fields.integer(event, "batch"))
        if read is None:
            return
        read.repeated_line = events.line(event)
        read.seconds = max(read.seconds, fields.seconds(event))
        for name, told in (("same_as", read.repeated), ("as_others", read.alike)):
            for line in fields.integers(event, name):
                earlier = self.answers.get(line)
                if earlier is not None and read.asked.pop(earlier.id, None) is not None:
                    (told if earlier.is_answered else read.answers).append(earlier)

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
        outside=_closed(builder.outside),
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


def _closed(commands: Sequence[_Open]) -> tuple[Command, ...]:
    return tuple(command.close() if isinstance(command, _OpenRead) else command for command in commands)
