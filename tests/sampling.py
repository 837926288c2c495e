"""How much of what is too long for every run is tried: a sample, or with PVE_RUNBOOK_SWEEP=all everything."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

EVERYTHING = os.environ.get("PVE_RUNBOOK_SWEEP") == "all"


def some(items: Iterable[T], every: int) -> list[T]:
    """Every so many-th, the first among them; or all."""
    return list(items)[:: 1 if EVERYTHING else every]
