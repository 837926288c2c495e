"""What a stand-in says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """Both streams and the exit status of a tool."""

    stdout: str = ""
    stderr: str = ""
    exit_status: int = 0
