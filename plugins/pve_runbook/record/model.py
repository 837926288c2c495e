"""The change record of a run as data: what was done, on which node, by whom, and what came of it.

Only named fields of the journal get here (an allow-list), so that nothing else of a run can slip into a
report. All times are ISO 8601 in UTC, as the journal wrote them; durations are seconds; ``line`` is the
number of the event, which is its line in journal.jsonl.
"""

from __future__ import annotations

from msgspec import Struct, field

from pve_runbook.journal.events import ActionOutcome, Approval, End, Note, Outcome, Plan, RunMode, Transfer
from pve_runbook.journal.rows import GuestRow, NodeRow
from pve_runbook.record.command_counts import Sent

CUT_SHORT = "The run ended here: no result was recorded for this step."

TIMED_OUT = (124, 137)
"""Exit statuses of coreutils' ``timeout -k``: the command did not end in time."""


class Header(Struct, frozen=True):
    """What the run was: its first journal event."""

    run: str = ""
    mode: RunMode = "runbook"
    work: str = ""
    """Names the folder of this work on the nodes: the run that began it."""
    folder: str = ""
    """Where the record was written on the control host, from the root."""
    cluster: str = ""
    hosts: tuple[str, ...] = ()
    operator: str = ""
    ticket: str | None = None
    code: str = ""
    command: str = ""
    version: str = ""
    started: str = ""


class Answer(Struct, frozen=True):
    """One probe of a read and what the node answered."""

    line: int
    """Of the answer; of the read when there is none."""
    id: str
    argv: tuple[str, ...]
    why: str
    exit_status: int | None = None
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    error: str | None = None

    @property
    def is_answered(self) -> bool:
        """Whether the node said something in time; its exit status may still be any."""
        return self.error is None and self.exit_status is not None and self.exit_status not in TIMED_OUT


class Read(Struct, frozen=True):
    """Everything one node was asked in one request."""

    line: int
    node: str
    started: str
    answers: tuple[Answer, ...]
    """What the node had not said before, and what it did not answer."""
    repeated: tuple[Answer, ...] = ()
    """Earlier answers of the node that it gave again, word for word."""
    alike: tuple[Answer, ...] = ()
    """What other nodes had said, word for word."""
    repeated_line: int = 0
    """The line that names both."""
    seconds: float = 0.0
    """Of the whole request: each probe bears the same."""

    @property
    def probes(self) -> int:
        """How many were asked."""
        return len(self.answers) + len(self.repeated) + len(self.alike)

    @property
    def all_answers(self) -> tuple[Answer, ...]:
        """What was said in this read, here or in the lines that it names."""
        return (*self.answers, *self.repeated, *self.alike)

    @property
    def unanswered(self) -> tuple[Answer, ...]:
        """The probes without an answer."""
        return tuple(answer for answer in self.answers if not answer.is_answered)


class Action(Struct, frozen=True):
    """One change to one node: the intent, and the outcome if it was recorded."""

    line: int
    """Of the outcome; of the intent when there is none."""
    node: str
    name: str
    argv: tuple[str, ...]
    why: str
    undo: str
    started: str
    stdin_sha256: str | None = None
    outcome: ActionOutcome = "unknown"
    exit_status: int | None = None
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    error: str | None = None


class GateCommand(Struct, frozen=True):
    """A command that testinfra ran for a gate somebody added."""

    line: int
    node: str
    command: str
    started: str
    exit_status: int | None
    stdout: str
    stderr: str
    seconds: float


Command = Read | Action | GateCommand


class Step(Struct, frozen=True):
    """One gate or one action of the procedure, on one node or on all."""

    nodeid: str
    phase: int | None
    phase_title: str
    title: str
    node: str | None
    outcome: Outcome
    started: str
    """Empty when the step never began (blocked)."""
    seconds: float
    message: str
    commands: tuple[Command, ...] = ()
    notes: tuple[Note, ...] = ()


class Continuity(Struct, frozen=True):
    """A comparison of all guests and nodes with the baseline."""

    line: int
    at: str
    phase: int | None
    label: str
    guests: tuple[GuestRow, ...]
    nodes: tuple[NodeRow, ...]

    @property
    def guests_same(self) -> int:
        """How many guests are as they were."""
        return sum(row.same for row in self.guests)

    @property
    def running(self) -> tuple[GuestRow, ...]:
        """The guests that were running before."""
        return tuple(row for row in self.guests if row.ran)

    @property
    def nodes_same(self) -> int:
        """How many nodes were not restarted."""
        return sum(row.same for row in self.nodes)

    @property
    def is_same(self) -> bool:
        """Whether every guest and every node is as it was, and there was something to compare."""
        compared = len(self.guests) + len(self.nodes)
        return compared > 0 and self.guests_same + self.nodes_same == compared


class Sample(Struct, frozen=True):
    """A look at the guests' processes while a node left: the ids of those that were not there."""

    at: str
    gone: tuple[str, ...]


class Phase(Struct, frozen=True):
    """The steps of one phase, in the order in which they ran."""

    number: int | None
    title: str
    steps: tuple[Step, ...]
    lines: tuple[str, ...] = ()
    continuity: tuple[Continuity, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The worst of the steps; what does not apply counts only when nothing else is there."""
        found = {step.outcome for step in self.steps}
        worst: tuple[Outcome, ...] = ("failed", "unknown", "blocked", "passed")
        return next((outcome for outcome in worst if outcome in found), "not evaluated")

    @property
    def started(self) -> str:
        """When the first step began, empty when none did."""
        return next((step.started for step in self.steps if step.started), "")

    @property
    def seconds(self) -> float:
        """The steps together: they run one after the other."""
        return sum(step.seconds for step in self.steps)

    @property
    def passed(self) -> int:
        """How many steps passed."""
        return sum(step.outcome == "passed" for step in self.steps)

    @property
    def applicable(self) -> int:
        """How many steps had something to judge."""
        return sum(step.outcome != "not evaluated" for step in self.steps)


class Record(Struct, frozen=True):
    """A whole run. ``end`` is None when the journal stops before the run said how it ended."""

    header: Header
    phases: tuple[Phase, ...]
    outside: tuple[Command, ...]
    """What was asked before the first step or between two steps."""
    approvals: tuple[Approval, ...]
    transfers: tuple[Transfer, ...]
    notes: tuple[Note, ...]
    """All of them, those of steps too."""
    continuity: tuple[Continuity, ...]
    samples: tuple[Sample, ...]
    baseline: str
    """When everything was written down as it was; empty when the run did not get that far."""
    end: End | None
    ended: str
    """When it said how it ended; else when the last event was written."""
    sent: Sent = field(default_factory=Sent)
    plan: Plan | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of all phases."""
        return tuple(step for phase in self.phases for step in phase.steps)

    @property
    def commands(self) -> tuple[Command, ...]:
        """Everything that was sent within steps, in their order."""
        return tuple(command for step in self.steps for command in step.commands)

    @property
    def actions(self) -> tuple[Action, ...]:
        """Every change that was sent, in the order of the journal."""
        found = [command for command in (*self.outside, *self.commands) if isinstance(command, Action)]
        return tuple(sorted(found, key=lambda action: action.line))

    @property
    def survival(self) -> Continuity | None:
        """The last comparison with the baseline: the proof of what ran through."""
        return self.continuity[-1] if self.continuity else None

    @property
    def is_interrupted(self) -> bool:
        """Whether a signal ended the run, or it stopped without a word."""
        return self.end is None or self.end.signal is not None or self.end.exit_status == 2

    def topic(self, name: str) -> tuple[Note, ...]:
        """Return the notes of one topic."""
        return tuple(note for note in self.notes if note.topic == name)
