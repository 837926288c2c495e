"""One process and all it starts: how long it took, and its CPU seconds, those of daemons that it leaves included."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Measured:
    """``began`` and ``ended`` are wall-clock times, ``seconds`` CPU, ``kilobytes`` the largest process's peak."""

    began: float
    ended: float
    seconds: float
    kilobytes: int
    status: int
    text: str


def measure(argv: Sequence[str | Path], cwd: Path, environment: Mapping[str, str], seconds: float) -> Measured:
    """Run ``argv`` for at most ``seconds``."""
    done = subprocess.run(
        [sys.executable, "-S", __file__, *map(str, argv)],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    text, _, figures = done.stdout.rstrip("\n").rpartition("\n")
    return Measured(**json.loads(figures), text=text + done.stderr)


def main(argv: list[str]) -> None:
    """Run it as the one that inherits its orphans; print the figures as the last line."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    began = time.time()
    status = subprocess.run(argv, check=False).returncode
    ended = time.time()
    me = os.getpid()
    with contextlib.suppress(ChildProcessError):
        while True:
            for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGTERM)
            os.waitpid(-1, 0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {
        "began": began,
        "ended": ended,
        "seconds": used.ru_utime + used.ru_stime,
        "kilobytes": used.ru_maxrss,
        "status": status,
    }
    print("\n" + json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
