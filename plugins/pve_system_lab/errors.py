"""What goes wrong with a system lab, and running the host's own tools."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence

POLL = 0.2
"""Seconds between two looks at what is waited for."""


class SystemLabError(Exception):
    """The lab cannot do that; the text says why, in one line."""


def host(*argv: str, stdin: str | None = None, timeout: float = 600) -> str:
    """Run a tool of this machine; its stdout. Raises SystemLabError when it fails."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
        raise SystemLabError(f"{' '.join(argv)} ended with {done.returncode}: {said[0]}")
    return done.stdout


def until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a state; raises SystemLabError when it does not come in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemLabError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(POLL)


def on_path(tools: Sequence[str]) -> list[str]:
    """Those of the tools that this machine does not have."""
    return [tool for tool in tools if shutil.which(tool) is None]
