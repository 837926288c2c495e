"""What a record says in one line: its banner, its verdict and the headings that HTML and Markdown share."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Literal

from pve_runbook.journal.events import Note, RunMode
from pve_runbook.record.html_markup import count, duration
from pve_runbook.record.model import Continuity, Phase, Record, Step
from pve_runbook.refusal.text import is_said, sentence

NO_VERDICT = "The run ended without a word: it was killed. What it did up to there is below."
RUN_AGAIN = "Run the same command again: every phase first asks what state each node is in."


Kind = Literal[
    "EXECUTED", "VERIFIED ONLY", "PLAN", "REHEARSAL", "INTERRUPTED", "PLAN, INTERRUPTED", "REHEARSAL, INTERRUPTED"
]
Judgement = Literal["passed", "failed", "incomplete"]

KINDS: dict[RunMode, Kind] = {
    "runbook": "EXECUTED",
    "checks": "VERIFIED ONLY",
    "plan": "PLAN",
    "rehearsal": "REHEARSAL",
}
"""By the run's mode, what its record is of."""
INTERRUPTED: dict[RunMode, Kind] = {"plan": "PLAN, INTERRUPTED", "rehearsal": "REHEARSAL, INTERRUPTED"}

ON_NO_REAL_NODE = {
    "plan": "Nothing was done: this is what a run would do.",
    "rehearsal": "Nothing was done to the real nodes: all of this happened on a twin of them.",
}


def kind(record: Record) -> Kind:
    """Return what this record is of, in one capital word or two.

    What was interrupted says so; a plan or a rehearsal stays one, so that nobody takes it for a change.
    """
    mode = record.header.mode
    return INTERRUPTED.get(mode, "INTERRUPTED") if record.is_interrupted else KINDS[mode]


def mode_class(record: Record) -> str:
    """Return the class by which a printed page says what it is of; made of letters only."""
    return f"pve-mode-{''.join(letter for letter in record.header.mode if letter.isascii() and letter.isalnum())}"


def judgement(record: Record) -> Judgement:
    """Return ``passed``, ``failed`` or ``incomplete``: how the run ended, by its exit status."""
    if record.end is None or record.end.exit_status is None:
        return "incomplete"
    ended: dict[int, Judgement] = {0: "passed", 1: "failed"}
    return ended.get(record.end.exit_status, "incomplete")


def verdict(record: Record) -> str:
    """Return the sentence the run ended with."""
    return record.end.verdict if record.end is not None and record.end.verdict else NO_VERDICT


def ending(record: Record) -> str:
    """Return how the process ended: its exit status and the signal that ended it."""
    if record.end is None:
        return "no exit status recorded"
    parts = [] if record.end.exit_status is None else [f"exit status {record.end.exit_status}"]
    if record.end.signal is not None:
        parts.append(f"ended by {record.end.signal}")
    return ", ".join(parts) or "no exit status recorded"


def what_next(record: Record) -> str:
    """Return what to type next; empty when the run named nothing."""
    return RUN_AGAIN if record.end is None else record.end.next


def ended_at(record: Record) -> str:
    """Return when the run ended, or wrote its last word."""
    return record.ended


def took(record: Record) -> str:
    """Return how long the run took, empty when its times cannot be read."""
    try:
        start = datetime.fromisoformat(record.header.started)
        end = datetime.fromisoformat(ended_at(record))
        return duration((end - start).total_seconds())
    except (TypeError, ValueError):
        return ""


def phase_name(phase: Phase) -> str:
    """Return ``Phase 4: remove corosync``, or the title alone where phases have no number."""
    if phase.number is None:
        return phase.title or "Other steps"
    if phase.title.startswith(f"Phase {phase.number}"):
        return phase.title
    return f"Phase {phase.number}: {phase.title}" if phase.title else f"Phase {phase.number}"


def step_title(step: Step) -> str:
    """Return what a step is called; a statement only where it passed."""
    return sentence(step.title, step.outcome)


def steps_passed(phase: Phase) -> str:
    """Return ``12 of 14``, of those that had something to judge."""
    return f"{phase.passed} of {phase.applicable}"


def stopped_at(record: Record) -> tuple[Step, ...]:
    """Return the steps that failed or whose result is unknown: why the run did not go on."""
    return tuple(step for step in record.steps if step.outcome in ("failed", "unknown"))


def cause(record: Record) -> str:
    """Return why the verdict is not good, in one line: of checks the evidence that says most, of a run what was seen
    where it stopped; empty when all is well, and where the verdict has it."""
    stops = stopped_at(record)
    if judgement(record) == "passed" or not stops:
        return ""
    notes = record.topic("verdict") if record.header.mode == "checks" else ()
    evidence = [line.removeprefix("- ") for note in notes[-1:] for line in note.text.splitlines() if line[:2] == "- "]
    if evidence:
        return evidence[0]
    seen = stops[0].message.partition("\n")[0]
    return "" if is_said(seen, verdict(record)) else seen


def blocked(record: Record) -> int:
    """Return how many steps did not run because of an earlier one."""
    return sum(step.outcome == "blocked" for step in record.steps)


def survival(item: Continuity) -> str:
    """Return ``14 of 14 guests unchanged, 3 of 3 nodes not restarted``."""
    return (
        f"{item.guests_same} of {count(len(item.guests), 'guest')} unchanged, "
        f"{item.nodes_same} of {count(len(item.nodes), 'node')} not restarted"
    )


def interrupted(item: Continuity) -> str:
    """Return which guests were interrupted, by name, or that none was: by pid and start time, before and after."""
    lost = [f"{row.vmid} {row.name} on {row.node}" for row in item.running if not row.ran_on]
    if lost:
        return f"Guests that were interrupted: {', '.join(lost)}"
    running = len(item.running)
    if not running:
        return "No guest ran when the run began: there was none to be interrupted"
    return f"No guest was interrupted: {running} of {running} that ran have the same process and start time"


def changed(item: Continuity) -> list[str]:
    """Return the guests that are not as they were and the nodes that were restarted, by name."""
    guests = [f"Guest {row.vmid} {row.name} on {row.node} changed" for row in item.guests if not row.same]
    return guests + [f"Node {row.node} was restarted" for row in item.nodes if not row.same]


def approved(record: Record) -> str:
    """Return how the run was approved: ``6 of 6 questions by anna (typed)``, and what was refused; empty when nothing
    was asked."""
    asked = record.approvals
    if not asked:
        return ""
    yes = [item for item in asked if item.answer == "approved"]
    by = ", ".join(dict.fromkeys(f"{item.by} ({item.how})" for item in yes))
    no = ", ".join(f"{item.subject} by {item.by} ({item.how})" for item in asked if item.answer != "approved")
    told = f"{len(yes)} of {count(len(asked), 'question')}" + (f" by {by}" if by else "")
    return told + (f"; refused: {no}" if no else "")


def changes(record: Record) -> str:
    """Return how many changes were sent to how many nodes, and how they ended."""
    actions = record.actions
    if not actions:
        return "none: no command that changes a node was sent"
    ended = Counter(action.outcome for action in actions)
    nodes = len({action.node for action in actions})
    return f"{count(len(actions), 'command')} on {count(nodes, 'node')}: " + ", ".join(
        f"{number} {outcome}" for outcome, number in ended.items()
    )


def authority(record: Record) -> str | None:
    """Return the node that was chosen, None when the run did not get that far."""
    return next((note.node for note in reversed(record.topic("authority")) if note.node), None)


def said(node: str, text: str) -> str:
    """Return ``pve1: text``, or the text alone where no node is named."""
    return f"{node}: {text}" if node else text


def merged(notes: tuple[Note, ...]) -> list[tuple[str, str]]:
    """Return (nodes, text) of notes, those that say the same on several nodes as one."""
    nodes: dict[str, list[str]] = {}
    for note in notes:
        names = nodes.setdefault(note.text, [])
        if note.node is not None and note.node not in names:
            names.append(note.node)
    return [(", ".join(names), text) for text, names in nodes.items()]
