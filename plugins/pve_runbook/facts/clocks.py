"""When the clocks of several nodes agree."""

from __future__ import annotations

from collections.abc import Mapping

CLOCK_SKEW = 5.0
"""Seconds; from there on HA reports a time drift, and logs of two nodes cannot be put in order any more."""


def agree(offsets: Mapping[str, float]) -> bool:
    """Whether clocks that are so many seconds ahead of the control host's agree; by node."""
    return max(offsets.values()) - min(offsets.values()) <= CLOCK_SKEW
