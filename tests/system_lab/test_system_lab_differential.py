"""The embedded lab agrees with the system lab: every probe and every action, in the same state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from differential import STATES, compare_actions, compare_probes

pytestmark = pytest.mark.syslab


@pytest.mark.parametrize("state", STATES)
def test_every_probe_says_the_same(stage: Any, tmp_path: Path, state: str) -> None:
    """Parsed alike; what differs by its nature is at least readable in both labs."""
    compare_probes(stage, tmp_path, state)


def test_every_action_does_the_same(stage: Any, tmp_path: Path) -> None:
    """The same exit status, and the same state of the node a moment later."""
    compare_actions(stage, tmp_path)
