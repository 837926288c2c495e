"""The append-only journal of a run: what was asked, why, and what was answered.

One JSON object a line. Intent is synced to disk before a command is sent, its outcome is written after.
Every line carries the SHA-256 of the line before it, so that a line cannot be changed or dropped unseen.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pve_runbook.journal.events import Entry, Event
from pve_runbook.journal.lines import encode

FIRST = "0" * 64

LOST = (
    "this machine: the journal cannot be written any more: {why}.\n"
    "What is not recorded is not done: nothing further is sent to any node.\n"
    "Check the folder --records (free space, write permission), then run the same command line again: it reads the "
    "nodes first and goes on from what it finds"
)


class JournalLost(Exception):
    """The journal's file takes no more lines; the text is for the operator."""


def is_live(path: Path) -> bool:
    """Whether the process that writes the journal at ``path`` is alive. Raises OSError when it cannot be opened."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def utc_now() -> str:
    """Return the time now as ISO 8601 in UTC with milliseconds, e.g. ``2026-01-08T02:14:09.120Z``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Journal:
    """Write events in order; thread-safe.

    Until :meth:`attach` names the file, lines are kept in memory: the folder carries the cluster's name,
    and that is known only after the first probes. No action may be sent before the file is attached.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._number = 0
        self._size = 0
        self._head = FIRST
        self._early: list[bytes] = []
        self.events: list[Entry] = []
        self.tell: Callable[[Entry], object] = lambda entry: None
        """Told of every event after it was written, from the thread that wrote it."""
        self.step: str | None = None
        """The step that is running; every event is filed under it."""
        self.failure: str | None = None
        """Why the file takes no more lines; events are kept in memory alone from then on."""

    @property
    def head(self) -> str:
        """SHA-256 (hex) of the last line written: names the whole journal up to there."""
        return self._head

    @property
    def is_attached(self) -> bool:
        """Whether lines reach the disk."""
        return self._fd is not None

    def attach(self, path: Path) -> None:
        """Create ``path`` (0600, must not exist), write what was kept so far and sync it.

        The file is locked while this process lives: a second run sees that this one is not dead. Raises OSError
        when the file cannot be created.
        """
        with self._lock:
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            early = b"".join(self._early)
            self._append(early)
            self._size = len(early)
            self._early.clear()
            os.fsync(self._fd)

    def write(self, event: Event, *, sync: bool = False) -> int:
        """Append one event and return its number (from 1). ``sync`` returns only when it is on the disk.

        Raises JournalLost when that cannot be. Without ``sync`` the event is kept in memory then; see :meth:`check`.
        """
        with self._lock:
            self._number = number = self._number + 1
            entry = Entry(number, utc_now(), self.step, event)
            data = encode(entry, self._head)
            if self.failure is None and self._reaches_its_place(data, sync):
                self._head = hashlib.sha256(data).hexdigest()
            self.events.append(entry)
        self.tell(entry)
        if sync:
            self.check()
        return number

    def check(self) -> None:
        """Raises JournalLost when an event did not reach the file: nothing may be asked or changed any more."""
        if self.failure is not None:
            raise JournalLost(LOST.format(why=self.failure))

    def _reaches_its_place(self, data: bytes, sync: bool) -> bool:
        """Whether a line is in the file, or is kept for it; half a line is taken out again."""
        if self._fd is None:
            self._early.append(data)
            return True
        try:
            self._append(data)
            if sync:
                os.fdatasync(self._fd) if hasattr(os, "fdatasync") else os.fsync(self._fd)
        except OSError as error:
            self.failure = error.strerror or str(error)
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            return False
        self._size += len(data)
        return True

    def _append(self, data: bytes) -> None:
        """Raises OSError; a part may be written then."""
        assert self._fd is not None
        left = memoryview(data)
        while left:
            left = left[os.write(self._fd, left) :]

    def close(self) -> None:
        """Sync and close the file; the journal takes no more events."""
        with self._lock:
            if self._fd is not None:
                if self.failure is None:
                    os.fsync(self._fd)
                os.close(self._fd)
                self._fd = None
