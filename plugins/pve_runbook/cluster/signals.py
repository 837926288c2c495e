"""Ctrl-C, SIGTERM, SIGHUP: the run stops between two commands, never inside one.

A signal only leaves a mark; it takes effect at the next :meth:`Brakes.check`. Raised anywhere else it could tear a
line of the journal, or a command's intent from its outcome.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

HEARD = "{name}: stopping as soon as the command under way has ended; a window may take some minutes"


class Brakes:
    """Counts the commands under way; a signal that comes meanwhile takes effect when the last one has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._asking = False
        self.say: Callable[[str], object] = lambda text: None
        """Tells the operator, from within a signal's handler."""
        self.pending: str | None = None
        """The name of a signal that came."""

    def install(self) -> Callable[[], None]:
        """Take the signals over; returns what puts the earlier handlers back. In the main thread only."""
        before: dict[signal.Signals, Any] = {number: signal.signal(number, self._on_signal) for number in SIGNALS}

        def put_back() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        return put_back

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.pending = signal.Signals(number).name
        if self._asking:
            raise KeyboardInterrupt(self.pending)
        self.say(HEARD.format(name=self.pending))

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While a person is asked: nothing else is done, and a signal takes effect at once."""
        self.check()
        self._asking = True
        try:
            yield
        finally:
            self._asking = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """While a command is under way. Raises KeyboardInterrupt when a signal came before it or meanwhile."""
        self.check()
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
        self.check()

    def stop_if_asked(self) -> None:
        """Between two commands, in any thread: raises KeyboardInterrupt when a signal came. What is under way on other
        nodes comes to its end."""
        if self.pending:
            raise KeyboardInterrupt(self.pending)

    def check(self) -> None:
        """Raises KeyboardInterrupt when a signal came and nothing is under way; in the main thread only."""
        if self.pending and not self._under_way and threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt(self.pending)
