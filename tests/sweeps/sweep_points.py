"""At which of a run's changes a sweep strikes."""

from __future__ import annotations

import os
from typing import Any

PARTS = 2
"""Into how many tests a sweep is divided: one a core."""
STRIDE = 5
"""Every how many points a sample takes: all the sweeps' samples together take twenty minutes on two cores."""


def stride() -> int:
    """Every how many points are tried; PVE_RUNBOOK_SWEEP=all tries every one."""
    return 1 if os.environ.get("PVE_RUNBOOK_SWEEP") == "all" else STRIDE


def some_of(count: int, part: int = 0, parts: int = 1) -> range:
    """This part of the points 1 to ``count``."""
    return range(1 + part, count + 1, parts * stride())


def points(stage: Any, part: int, scenario: str = "broken") -> range:
    """This part of the points: out of as many as one undisturbed run has changes."""
    stage.set(scenario)
    status, said = stage.run()
    assert status == 0, said
    return some_of(stage.control.mutating_count(), part, PARTS)
