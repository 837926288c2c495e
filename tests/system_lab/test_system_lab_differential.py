"""The embedded lab agrees with the system lab: every probe and every action, in the same state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asked import unprepared
from differential import STATES, Model, after_every_action, differing
from pve_lab import shapes

pytestmark = pytest.mark.syslab


@pytest.mark.parametrize("state", STATES)
def test_every_probe_says_the_same(stage: Any, tmp_path: Path, state: str) -> None:
    """Parsed alike; what differs by its nature is at least readable in both labs."""
    assert unprepared() == []
    stage.set(state)
    with Model(tmp_path / "model", stage.lab, STATES[state]) as model:
        differences = differing(stage.lab, model)
    assert not differences, "\n".join(differences)


def test_every_action_does_the_same(stage: Any, tmp_path: Path) -> None:
    """The same exit status, and the same state of the node a moment later."""
    assert unprepared() == []
    stage.set("broken")
    with Model(tmp_path / "model", stage.lab, shapes.broken) as model:
        differences = after_every_action(stage.lab, model)
    assert not differences, "\n".join(differences)
