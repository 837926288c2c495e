"""Every kind of event that a journal holds, written and read as these.

Times are ISO 8601 in UTC, durations seconds; ``node`` is a node's name in --hosts. The fields stand in a line in this
order. A field that is None where its writer always has a value is one that a journal of another version did not name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal, TypeVar

from msgspec import Struct

from pve_runbook.journal.rows import Asked, Command, GuestRow, GuestTruth, Identity, NodeRow

RunMode = Literal["runbook", "checks", "plan", "rehearsal"]
"""``runbook``: changes are made; ``checks``: nothing but reading; ``plan``: what a run would do, read only;
``rehearsal``: a run on a twin of the nodes."""

Outcome = Literal["passed", "failed", "unknown", "blocked", "not evaluated"]
"""How a step ended."""

ActionOutcome = Literal["done", "failed", "unknown"]
"""What came of an action; unknown: the command may have run."""

# --- the run ---


class Run(Struct, frozen=True, kw_only=True):
    """What the run is: what is to be done, by whom, on which nodes."""

    kind: ClassVar = "run"
    run: str
    """Names this process's part."""
    work: str | None
    """Names the folder of this work on the nodes: the run that began it. None: a plan has none."""
    mode: RunMode
    folder: str
    """Where the record is written on the control host, from the root."""
    cluster: str
    hosts: tuple[str, ...]
    operator: str
    ticket: str | None
    code: str
    """The revision of the code that runs."""
    command: str
    """The command line, as it would be typed again."""
    version: str
    """Of this package."""


class Continues(Struct, frozen=True, kw_only=True):
    """The run takes up an unfinished one."""

    kind: ClassVar = "continues"
    folder: str
    """The name of that one's record, beside this one."""
    head: str
    """SHA-256 (hex) of the last line of its journal."""


class End(Struct, frozen=True, kw_only=True):
    """How the run ended: its last event."""

    kind: ClassVar = "end"
    exit_status: int | None
    verdict: str
    """The sentence it ended with."""
    next: str
    """What to type next."""
    signal: str | None
    """What interrupted it."""


# --- its steps ---


class StepStart(Struct, frozen=True, kw_only=True):
    """A gate or an action of the procedure begins; what follows is filed under it until it ends."""

    kind: ClassVar = "step-start"
    nodeid: str
    """pytest's id."""
    phase: int | None
    """None in a verification."""
    phase_title: str
    title: str
    node: str | None
    """None: the cluster as a whole."""


class Step(Struct, frozen=True, kw_only=True):
    """A step ended, or is blocked and never began."""

    kind: ClassVar = "step"
    nodeid: str
    phase: int | None
    phase_title: str
    title: str
    node: str | None
    outcome: Outcome
    seconds: float
    message: str
    """Why it did not pass; else what it wants to be known, or empty."""


class PhaseLine(Struct, frozen=True, kw_only=True):
    """The line that closes a phase on the terminal."""

    kind: ClassVar = "phase-line"
    phase: int | None
    text: str


class Note(Struct, frozen=True, kw_only=True):
    """A sentence for the reader, filed under a topic."""

    kind: ClassVar = "note"
    topic: str
    text: str
    node: str | None


# --- what the nodes are asked ---


class Batch(Struct, frozen=True, kw_only=True):
    """One node is about to be asked these questions in one request."""

    kind: ClassVar = "batch"
    node: str
    probes: tuple[Asked | int, ...]
    """A question is written out the first time that it is asked, and is its number after that."""


class Probe(Struct, frozen=True, kw_only=True):
    """What a node answered to one probe (``exit_status``, ``stdout``, ``stderr``), or why there is no answer
    (``error``); the fields of the other case are None and not written."""

    kind: ClassVar = "probe"
    batch: int
    """The line of its batch."""
    node: str
    id: str
    exit_status: int | None = None
    stdout: str | None = None
    """As the probe's own allow-list leaves it, where an answer may hold a secret."""
    stderr: str | None = None
    error: str | None = None
    seconds: float
    """How long the batch took."""


class Unchanged(Struct, frozen=True, kw_only=True):
    """What a node answered that was said before, word for word, by the lines that have it."""

    kind: ClassVar = "unchanged"
    batch: int
    node: str
    same_as: tuple[int, ...]
    """The node's own last answer."""
    as_others: tuple[int, ...] = ()
    """Another node's answer."""
    seconds: float


class Refused(Struct, frozen=True, kw_only=True):
    """The connection did not take a batch: it held a command that is no registered probe."""

    kind: ClassVar = "refused"
    node: str
    batch: int
    why: str


class GateCommand(Struct, frozen=True, kw_only=True):
    """A command that testinfra ran for a gate somebody added, and what came of it."""

    kind: ClassVar = "testinfra"
    node: str
    command: str
    exit_status: int | None
    """None: a signal ended it."""
    stdout: str
    stderr: str
    seconds: float


# --- what is changed ---


class Approval(Struct, frozen=True, kw_only=True):
    """A question to the operator and the answer."""

    kind: ClassVar = "approval"
    phase: int | None
    subject: str
    """The name that was to be typed."""
    text: str
    """What was said of what will happen."""
    answer: Literal["approved", "refused", "unknown"]
    how: str
    """typed, --approve, no terminal."""
    by: str
    at: str
    plan: str | None = None
    """Hash of the plan of what was left to be sent then; None where an older version made none for a rollback."""


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be sent, as it is known before the first change."""

    kind: ClassVar = "plan"
    hash: str
    commands: tuple[Command, ...]
    nodes: tuple[Identity, ...]


class ActionIntent(Struct, frozen=True, kw_only=True):
    """One node is about to be sent a command that changes it; on the disk before that."""

    kind: ClassVar = "action-intent"
    node: str
    action: str
    """Its name in the registry of actions."""
    argv: tuple[str, ...]
    why: str
    undo: str
    detached: bool
    """Whether it changes more than the tool's own folder: it runs on when the connection is lost."""
    stdin_sha256: str | None
    """SHA-256 (hex) of what is sent on standard input."""


class Action(Struct, frozen=True, kw_only=True):
    """What came of a command that was sent."""

    kind: ClassVar = "action"
    action_id: int
    """The line of its intent."""
    node: str
    exit_status: int | None
    stdout: str
    stderr: str
    seconds: float
    outcome: ActionOutcome
    error: str | None
    """Why there is no exit status."""


class Transfer(Struct, frozen=True, kw_only=True):
    """A file pulled from a node: its name, size in bytes and SHA-256 (hex), never its content."""

    kind: ClassVar = "transfer"
    node: str
    file: str
    size: int | None
    sha256: str


# --- the proof ---


class Baseline(Struct, frozen=True, kw_only=True):
    """Everything as it was before the first change of all attempts; a run that takes this one up relies on it."""

    kind: ClassVar = "baseline"
    guests: tuple[GuestTruth, ...]
    boots: dict[str, str]
    """Node → boot_id."""
    network: dict[str, dict[str, str]]
    """Node → file of its network's configuration → SHA-256 (hex)."""
    members: tuple[str, ...]
    """The cluster's members by their own names."""
    clusters: dict[str, str]
    """Node → the cluster it is in."""
    standalone: tuple[str, ...]
    scheduled: tuple[str, ...]
    """The nodes whose schedulers ran."""
    quorate: tuple[str, ...]
    """The nodes that had quorum."""
    leaving: tuple[str, ...]
    """As --leave named them; empty where every node leaves."""


class Continuity(Struct, frozen=True, kw_only=True):
    """All guests and nodes held against the baseline."""

    kind: ClassVar = "continuity"
    phase: int | None
    label: str
    guests: int | None = None
    """How many were compared."""
    rows: tuple[GuestRow, ...]
    """Those that are not to the letter as they were; of the others the baseline says all."""
    nodes: tuple[NodeRow, ...]


class Sample(Struct, frozen=True, kw_only=True):
    """A look at the guests' processes while a node left."""

    kind: ClassVar = "sample"
    nodes: tuple[str, ...]
    """Those that answered."""
    running: int
    gone: tuple[int, ...]
    """The ids of the guests whose process was not there."""


Event = (
    Run
    | Continues
    | End
    | StepStart
    | Step
    | PhaseLine
    | Note
    | Batch
    | Probe
    | Unchanged
    | Refused
    | GateCommand
    | Approval
    | Plan
    | ActionIntent
    | Action
    | Transfer
    | Baseline
    | Continuity
    | Sample
)


class Unknown(Struct, frozen=True):
    """An event of a kind that this version does not know; nothing of it is kept."""

    kind: str


class Entry(Struct, frozen=True):
    """One line of a journal."""

    number: int
    """Of the line, from 1; 0 when it names none."""
    time: str
    step: str | None
    """The nodeid of the step that ran."""
    event: Event | Unknown
    amiss: str = ""
    """What of the event could not be read as this version writes it and reads as empty; "" when all of it was."""


E = TypeVar("E", bound=Event)


def of_kind(entries: Iterable[Entry], kind: type[E]) -> Iterator[E]:
    """Yield the events of one kind."""
    for entry in entries:
        if isinstance(entry.event, kind):
            yield entry.event


def changes_the_node(entry: Entry) -> bool:
    """Whether a command is sent there that changes more than the tool's own folder."""
    return isinstance(entry.event, ActionIntent) and entry.event.detached
