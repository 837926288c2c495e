"""The append-only journal of a run: what was asked, why, and what was answered.

One JSON object a line. Intent is synced to disk before a command is sent, its outcome is written after.
Every line carries the SHA-256 of the line before it, so that a line cannot be changed or dropped unseen.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

FIRST = "0" * 64

Event = dict[str, object]

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


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
        self._head = FIRST
        self._early: list[bytes] = []
        self.events: list[Event] = []
        self.tell: Callable[[Event], object] = lambda event: None
        """Told of every event after it was written, from the thread that wrote it."""
        self.step: str | None = None
        """The step that is running; every event is filed under it."""

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
            for line in self._early:
                os.write(self._fd, line)
            self._early.clear()
            os.fsync(self._fd)

    def write(self, kind: str, *, sync: bool = False, **fields: object) -> int:
        """Append one event and return its number (from 1). ``sync`` returns only when it is on the disk."""
        with self._lock:
            self._number = number = self._number + 1
            event: Event = {"n": number, "t": utc_now(), "kind": kind, "step": self.step, **fields}
            line = _ENCODER.encode({**event, "prev": self._head})
            data = line.encode("utf-8", "surrogateescape") + b"\n"
            self._head = hashlib.sha256(data).hexdigest()
            if self._fd is None:
                self._early.append(data)
            else:
                os.write(self._fd, data)
                if sync:
                    os.fdatasync(self._fd) if hasattr(os, "fdatasync") else os.fsync(self._fd)
            self.events.append(event)
        self.tell(event)
        return number

    def close(self) -> None:
        """Sync and close the file; the journal takes no more events."""
        with self._lock:
            if self._fd is not None:
                os.fsync(self._fd)
                os.close(self._fd)
                self._fd = None
