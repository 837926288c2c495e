"""Time in the model: it is driven by commands, never by the real clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(order=True)
class Event:
    """Something that happens at a moment of model time (seconds since the lab's start)."""

    time: float
    order: int
    action: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        """Make the event not happen."""
        self.cancelled = True


class Clock:
    """Model seconds since the lab's start; `epoch` is the Unix time of that start."""

    def __init__(self, epoch: float) -> None:
        self.epoch = epoch
        self.now = 0.0
        self._events: list[Event] = []
        self._order = 0

    @property
    def wall(self) -> float:
        """Unix time in the model, in seconds."""
        return self.epoch + self.now

    def after(self, delay: float, action: Callable[[], None]) -> Event:
        """Let `action` happen `delay` model seconds from now."""
        self._order += 1
        event = Event(self.now + delay, self._order, action)
        heapq.heappush(self._events, event)
        return event

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass; due events happen in order, each at its own time."""
        self.advance_to(self.now + seconds)

    def advance_to(self, time: float) -> None:
        """Let time pass until `time`; a time that is over already changes nothing."""
        while self._events and self._events[0].time <= time:
            event = heapq.heappop(self._events)
            self.now = max(self.now, event.time)
            if not event.cancelled:
                event.action()
        self.now = max(self.now, time)
