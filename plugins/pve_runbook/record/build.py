"""Make the change record from the events of a journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

from msgspec import Struct, field
from msgspec.structs import replace

from pve_runbook.journal import events
from pve_runbook.journal.events import Approval, End, Entry, Note, Outcome, Plan, Transfer
from pve_runbook.journal.probe_numbers import Questions
from pve_runbook.journal.rows import Asked, GuestRow
from pve_runbook.record.command_counts import count_sent
from pve_runbook.record.model import (
    CUT_SHORT,
    Action,
    Answer,
    Command,
    Continuity,
    GateCommand,
    Header,
    Phase,
    Read,
    Record,
    Sample,
    Step,
)
from pve_runbook.record.printable import printable

__all__ = ["Record", "build"]

NO_ANSWER = "no answer was recorded"

PhaseKey = tuple[int | None, str]
_Open = Union["_OpenRead", Command]


class _OpenRead(Struct):
    """A read while its answers come in."""

    line: int
    node: str
    started: str
    asked: dict[str, Asked]
    """Probe → question, of those of which no answer came yet."""
    answers: list[Answer] = field(default_factory=list)
    repeated: list[Answer] = field(default_factory=list)
    alike: list[Answer] = field(default_factory=list)
    repeated_line: int = 0
    seconds: float = 0.0

    def close(self) -> Read:
        silent = (Answer(self.line, asked.id, asked.argv, asked.why, error=NO_ANSWER) for asked in self.asked.values())
        return Read(
            line=self.line,
            node=self.node,
            started=self.started,
            answers=(*self.answers, *silent),
            repeated=tuple(self.repeated),
            alike=tuple(self.alike),
            repeated_line=self.repeated_line,
            seconds=self.seconds,
        )


class _OpenStep(Struct):
    """A step while its events are being gathered."""

    nodeid: str
    start: events.StepStart | None = None
    started: str = ""
    result: events.Step | None = None
    commands: list[_Open] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def close(self) -> Step:
        said = self.result or self.start
        outcome: Outcome = self.result.outcome if self.result is not None else "unknown"
        return Step(
            nodeid=self.nodeid,
            phase=said.phase if said is not None else None,
            phase_title=said.phase_title if said is not None else "",
            title=said.title if said is not None and said.title else self.nodeid,
            node=said.node if said is not None else None,
            outcome=outcome,
            started=self.started,
            seconds=self.result.seconds if self.result is not None else 0.0,
            message=self.result.message if self.result is not None else CUT_SHORT,
            commands=_closed(self.commands),
            notes=tuple(self.notes),
        )


class _Builder(Struct):
    header: Header = field(default_factory=Header)
    end: End | None = None
    ended: str = ""
    steps: dict[str, _OpenStep] = field(default_factory=dict)
    outside: list[_Open] = field(default_factory=list)
    questions: Questions = field(default_factory=Questions)
    reads: dict[int, _OpenRead] = field(default_factory=dict)
    """By the number of the event that began them."""
    actions: dict[int, tuple[list[_Open], int]] = field(default_factory=dict)
    """Where the action that an event number began stands: its list and its place in there."""
    answers: dict[int, Answer] = field(default_factory=dict)
    """By their lines."""
    approvals: list[Approval] = field(default_factory=list)
    plan: Plan | None = None
    transfers: list[Transfer] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    continuity: list[Continuity] = field(default_factory=list)
    lines: dict[int | None, list[str]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    baseline: str = ""
    as_they_were: dict[int, GuestRow] = field(default_factory=dict)
    """Guest → its row, were it unchanged."""

    def take(self, entry: Entry) -> None:
        """File one event; an unknown kind is ignored."""
        if self.end is None:
            self.ended = entry.time
        match entry.event:
            case events.Run() as run:
                self.header = _header(entry.time, run)
            case events.StepStart() as start:
                step = self._step(start.nodeid)
                step.start, step.started = start, entry.time
            case events.Step() as result:
                self._step(result.nodeid).result = result
            case events.Batch() as batch:
                asked = {asked.id: asked for asked in self.questions.of(batch)}
                read = self.reads[entry.number] = _OpenRead(entry.number, batch.node, entry.time, asked)
                self._commands(entry).append(read)
            case events.Probe() as probe:
                self._answer(entry.number, probe)
            case events.Unchanged() as unchanged:
                self._repeated(entry.number, unchanged)
            case events.ActionIntent() as intent:
                commands = self._commands(entry)
                self.actions[entry.number] = (commands, len(commands))
                commands.append(_intent(entry, intent))
            case events.Action() as action:
                self._outcome_of_action(entry.number, action)
            case events.GateCommand() as command:
                self._commands(entry).append(_gate_command(entry, command))
            case Approval() as approval:
                self.approvals.append(replace(approval, at=entry.time))
            case Plan() as plan:
                self.plan = plan
            case Transfer() as transfer:
                self.transfers.append(transfer)
            case Note() as note:
                self._note(entry.step, note)
            case events.Continuity() as continuity:
                self.continuity.append(self._compared(entry, continuity))
            case events.Baseline() as baseline:
                self.baseline = self.baseline or entry.time
                self.as_they_were = {guest.vmid: GuestRow.unchanged(guest) for guest in baseline.guests}
            case events.Sample() as sample:
                self.samples.append(Sample(entry.time, tuple(map(str, sample.gone))))
            case events.PhaseLine() as line:
                self.lines.setdefault(line.phase, []).append(line.text)
            case End() as end:
                self.end, self.ended = end, entry.time

    def _step(self, nodeid: str) -> _OpenStep:
        return self.steps.setdefault(nodeid, _OpenStep(nodeid))

    def _commands(self, entry: Entry) -> list[_Open]:
        return self.outside if entry.step is None else self._step(entry.step).commands

    def _answer(self, line: int, probe: events.Probe) -> None:
        read = self.reads.get(probe.batch)
        asked = read.asked.pop(probe.id, None) if read is not None else None
        if read is not None and asked is not None:
            answer = self.answers[line] = Answer(
                line=line,
                id=asked.id,
                argv=asked.argv,
                why=asked.why,
                exit_status=probe.exit_status,
                stdout=probe.stdout or "",
                stderr=probe.stderr or "",
                seconds=probe.seconds,
                error=probe.error or None,
            )
            read.answers.append(answer)
            read.seconds = max(read.seconds, answer.seconds)

    def _repeated(self, line: int, event: events.Unchanged) -> None:
        read = self.reads.get(event.batch)
        if read is None:
            return
        read.repeated_line = line
        read.seconds = max(read.seconds, event.seconds)
        for lines, told in ((event.same_as, read.repeated), (event.as_others, read.alike)):
            for said in lines:
                earlier = self.answers.get(said)
                if earlier is not None and read.asked.pop(earlier.id, None) is not None:
                    (told if earlier.is_answered else read.answers).append(earlier)

    def _outcome_of_action(self, line: int, event: events.Action) -> None:
        commands, place = self.actions.get(event.action_id, ([], 0))
        if not commands:
            return
        action = commands[place]
        assert isinstance(action, Action)
        commands[place] = replace(
            action,
            line=line,
            outcome=event.outcome,
            exit_status=event.exit_status,
            stdout=event.stdout,
            stderr=event.stderr,
            seconds=event.seconds,
            error=event.error or None,
        )

    def _note(self, nodeid: str | None, note: Note) -> None:
        self.notes.append(note)
        if nodeid is not None:
            self._step(nodeid).notes.append(note)

    def _compared(self, entry: Entry, event: events.Continuity) -> Continuity:
        """Guests and nodes, held against the baseline; a guest that the event does not name is as it was."""
        differing = {row.vmid: row for row in event.rows}
        return Continuity(
            line=entry.number,
            at=entry.time,
            phase=event.phase,
            label=event.label,
            guests=tuple({**self.as_they_were, **differing}.values()),
            nodes=event.nodes,
        )

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


def build(entries: Sequence[Entry]) -> Record:
    """Return the change record of a journal, whole or cut off anywhere.

    A step that began and has no result is ``unknown``, as is an action that was sent and has no outcome.
    Never raises on account of what an event holds: missing fields read as empty.
    """
    builder = _Builder()
    for entry in entries:
        builder.take(printable(entry))
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
        ended=builder.ended,
        sent=count_sent(entries),
    )


def _header(time: str, run: events.Run) -> Header:
    return Header(
        run=run.run,
        mode=run.mode,
        work=run.work or "",
        folder=run.folder,
        cluster=run.cluster,
        hosts=run.hosts,
        operator=run.operator,
        ticket=run.ticket,
        code=run.code,
        command=run.command,
        version=run.version,
        started=time,
    )


def _intent(entry: Entry, event: events.ActionIntent) -> Action:
    """An action that is about to be sent; what came of it is not known yet."""
    return Action(
        line=entry.number,
        node=event.node,
        name=event.action,
        argv=event.argv,
        why=event.why,
        undo=event.undo,
        started=entry.time,
        stdin_sha256=event.stdin_sha256,
        error=NO_ANSWER,
    )


def _gate_command(entry: Entry, event: events.GateCommand) -> GateCommand:
    return GateCommand(
        line=entry.number,
        node=event.node,
        command=event.command,
        started=entry.time,
        exit_status=event.exit_status,
        stdout=event.stdout,
        stderr=event.stderr,
        seconds=event.seconds,
    )


def _closed(commands: Sequence[_Open]) -> tuple[Command, ...]:
    return tuple(command.close() if isinstance(command, _OpenRead) else command for command in commands)
