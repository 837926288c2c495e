"""checks/ change nothing on a node: seen from this machine, beyond what a login that runs `true` changes."""

from __future__ import annotations

from typing import Any

import pytest
from untouched import Watch

pytestmark = pytest.mark.syslab

RINGS = "var/lib/corosync/ringid_"
"""Corosync writes it down whenever the link comes or goes."""


@pytest.mark.parametrize("state", ["broken", "quorate", "flapping", "half-dismantled", "standalone"])
def test_checks_change_nothing(stage: Any, state: str) -> None:
    """Every unit and process is as it was, and every file but those that a login that runs `true` changes."""
    stage.set(state)
    watch = Watch(stage)
    status, said = stage.run("checks/")
    assert status == (0 if state in ("quorate", "standalone") else 1), said[-4000:]
    by_corosync = RINGS if state == "flapping" else "nothing"
    assert [found for found in watch.differences() if by_corosync not in found] == []
