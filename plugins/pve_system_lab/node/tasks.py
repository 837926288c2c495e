"""/var/log/pve/tasks/active: the tasks of a node, as its workers write it (pve-common INotify.pm)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

LOG = Path("/var/log/pve/tasks")
KEPT = 25
"""How many finished tasks stay in the file."""


class Task:
    """One task under way."""

    def __init__(self, kind: str, ident: str) -> None:
        start = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        node = os.uname().nodename.partition(".")[0]
        self.upid = f"UPID:{node}:{os.getpid():08X}:{start:08X}:{int(time.time()):08X}:{kind}:{ident}:root@pam:"
        self.status = "OK"

    def fail(self, status: str) -> None:
        """It ends with that status."""
        self.status = status


def _rewrite(upid: str, line: str) -> None:
    LOG.mkdir(parents=True, exist_ok=True)
    with (LOG / ".active.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        active = LOG / "active"
        old = [text for text in active.read_text().splitlines() if not text.startswith(upid)] if active.exists() else []
        running = [text for text in [line, *old] if text.endswith(" 0")]
        ended = [text for text in [line, *old] if not text.endswith(" 0")][:KEPT]
        new = LOG / "active.tmp"
        new.write_text("".join(f"{text}\n" for text in [*running, *ended]))
        new.chmod(0o640)
        new.replace(active)


@contextlib.contextmanager
def record(kind: str, ident: str) -> Iterator[Task]:
    """Write the task down, running and then ended."""
    task = Task(kind, ident)
    _rewrite(task.upid, f"{task.upid} 0")
    yield task
    _rewrite(task.upid, f"{task.upid} 1 {int(time.time()):08X} {task.status}")
