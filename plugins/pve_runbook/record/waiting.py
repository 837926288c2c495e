"""Where the time of a phase went: how long its nodes were waited for, and for what, by the journal alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from pve_runbook.journal.events import Approval
from pve_runbook.record.model import Action, Command, Phase, Read, Step

TYPED = "typed"
"""How an approval was given that somebody was waited for."""

_POLLS = frozenset({"pause", "window_status", "window_log"})
"""Probes that are asked for as long as something is waited for that a change set off."""

_Span = tuple[float, float]


class Waited(Struct, frozen=True):
    """Seconds of a phase; what went on on several nodes, or at the same time, counts once."""

    proxmox: float = 0.0
    """commands that change a node, and pauses until what they set off is there"""
    round_trips: float = 0.0
    """requests that only read, while nothing of that was under way"""
    operator: float = 0.0
    """the rest of steps in which somebody typed an answer"""
    own: float = 0.0
    """what is left: this tool's own work"""

    def __add__(self, other: Waited) -> Waited:
        return Waited(
            self.proxmox + other.proxmox,
            self.round_trips + other.round_trips,
            self.operator + other.operator,
            self.own + other.own,
        )


def waited(phase: Phase, approvals: Iterable[Approval]) -> Waited:
    """How the seconds of ``phase`` are made up; ``approvals`` are those of the run."""
    typed = [at for a in approvals if a.how.startswith(TYPED) and (at := _seconds(a.at)) is not None]
    whole = sum((_of_step(step, typed) for step in phase.steps), Waited())
    return Waited(*(round(x, 3) for x in (whole.proxmox, whole.round_trips, whole.operator, whole.own)))


def _of_step(step: Step, typed: Sequence[float]) -> Waited:
    changes = _union(span for c in step.commands if _is_proxmox(c) if (span := _span(c)) is not None)
    everything = _union(span for c in step.commands if (span := _span(c)) is not None)
    rest = max(0.0, step.seconds - everything)
    began = _seconds(step.started)
    is_asked = began is not None and any(began <= at <= began + step.seconds for at in typed)
    return Waited(changes, everything - changes, *((rest, 0.0) if is_asked else (0.0, rest)))


def _is_proxmox(command: Command) -> bool:
    if isinstance(command, Read):
        return any(answer.id.partition(":")[0] in _POLLS for answer in command.all_answers)
    return isinstance(command, Action)


def _span(command: Command) -> _Span | None:
    began = _seconds(command.started)
    return (began, began + command.seconds) if began is not None else None


def _union(spans: Iterable[_Span]) -> float:
    """Seconds in which at least one of ``spans`` was under way."""
    total, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


def _seconds(stamp: str) -> float | None:
    """Since the epoch; None for what is no time."""
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return None
