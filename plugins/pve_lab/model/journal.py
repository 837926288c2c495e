"""The system journal of one node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One line of the journal; `time` is Unix time in seconds, `priority` as in syslog."""

    time: float
    unit: str
    identifier: str
    pid: int
    priority: int
    message: str


class Journal:
    """What the services of a node have logged, oldest first."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.entries: list[Entry] = []

    def add(self, unit: str, identifier: str, pid: int, message: str, priority: int = 6) -> None:
        """Log one message at the present time of the node."""
        self.entries.append(Entry(self._wall(), unit, identifier, pid, priority, message))

    def systemd(self, unit: str, message: str, priority: int = 6) -> None:
        """Log one message of systemd about a unit."""
        self.add(unit, "systemd", 1, message, priority)

    def backdate(self, seconds: float) -> None:
        """Make all that was logged so far happen `seconds` earlier."""
        self.entries = [
            Entry(e.time - seconds, e.unit, e.identifier, e.pid, e.priority, e.message) for e in self.entries
        ]
