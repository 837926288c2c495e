"""The unchanged runbook against real services; the guests are looked at from this machine, not through a probe."""

from __future__ import annotations

from typing import Any

import pytest
from system_lab_stage import standalone

pytestmark = pytest.mark.syslab

SIZES = (3, 5)
"""All runs of one size come before the next one: the lab is made once for each."""
STATES = ("broken", "half-dismantled", "flapping", "quorate", "standalone")


@pytest.mark.parametrize(("nodes", "state"), [(nodes, state) for nodes in SIZES for state in STATES])
def test_ends_standalone(stages: Any, nodes: int, state: str) -> None:
    """The run ends with 0, every node is standalone, every guest is the same process."""
    stage = stages.of(nodes)
    stage.set(state)
    more: tuple[str, ...] = ()
    if state == "quorate":  # refused without a reason, taken apart with one
        status, said = stage.run("runbook/", "--approve=all")
        assert status == 1, said[-4000:]
        more = ("--anyway=it moves to a new rack",)
    status, said = stage.run("runbook/", "--approve=all", *more)
    assert status == 0, said[-4000:]
    assert stage.guests() == stage.before
    assert [c.node.name for c in stage.lab.each() if not standalone(c)] == []
