"""At which of a run's changes a sweep strikes."""

from __future__ import annotations

from typing import Any

from sampling import some

PARTS = 2
"""Into how many tests a sweep is divided: one a core."""
STRIDE = 15
"""Every how many points a sample takes: all the sweeps' samples together take ten minutes on two cores."""


def some_of(count: int, part: int = 0, parts: int = 1) -> list[int]:
    """This part of the points 1 to ``count``."""
    return some(range(1 + part, count + 1, parts), STRIDE)


def points(stage: Any, part: int, scenario: str = "broken") -> list[int]:
    """This part of the points: out of as many as one undisturbed run has changes."""
    stage.set(scenario)
    status, said = stage.run()
    assert status == 0, said
    return some_of(stage.control.mutating_count(), part, PARTS)
