"""What is being waited for: told to the operator while it lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct


class Wait(Struct, frozen=True):
    """One wait under way. ``since`` is of time.monotonic(), ``bound`` in seconds."""

    node: str
    what: str
    since: float
    bound: float

    def elapsed(self, now: float) -> float:
        """Seconds since it began."""
        return now - self.since


class Waits:
    """The waits under way on all nodes; each node waits in a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, list[Wait]] = {}
        self.ended: Callable[[], object] = lambda: None
        """Told when a wait is over, from the thread that waited."""
        self.say: Callable[[str, str], object] = lambda node, text: None
        """Told what an operator should read whatever he looks at: of which node, and a sentence."""

    @contextmanager
    def on(self, node: str, what: str, bound: float, *, foremost: bool = False) -> Iterator[None]:
        """While ``node`` is waited for, at most ``bound`` seconds; ``foremost``: shown before what it holds up."""
        wait = Wait(node, what, time.monotonic(), bound)
        with self._lock:
            waits = self._open.setdefault(node, [])
            waits.insert(0 if foremost else len(waits), wait)
        try:
            yield
        finally:
            with self._lock:
                self._open[node].remove(wait)
            self.ended()

    @property
    def now(self) -> tuple[Wait, ...]:
        """One wait a node, the longest first: the outermost says what the inner ones are for."""
        with self._lock:
            found = [waits[0] for waits in self._open.values() if waits]
        return tuple(sorted(found, key=lambda wait: wait.since))
