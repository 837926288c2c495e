"""What a process of a benchmark says: its next line, or the process is ended."""

from __future__ import annotations

import json
import subprocess
from threading import Timer
from typing import Any

MOST_SECONDS = 600
"""The largest lab, 32 nodes with 2,000 guests, is there after a minute."""


def answer(process: subprocess.Popen[Any], seconds: float = MOST_SECONDS) -> Any:
    """The next line that a process prints, as JSON. Raises RuntimeError when none comes within that time."""
    assert process.stdout is not None
    end = Timer(seconds, process.kill)
    end.start()
    try:
        line = process.stdout.readline()
    finally:
        end.cancel()
    if not line:
        raise RuntimeError(f"{process.args!r} said nothing within {seconds:g} s, or ended")
    return json.loads(line)
