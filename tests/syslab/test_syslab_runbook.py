"""The unchanged runbook against real services; the guests are looked at from this machine, not through a probe."""

from __future__ import annotations

from typing import Any

import pytest
from syslab_stage import standalone

pytestmark = pytest.mark.syslab


def ends_standalone(stage: Any, *more: str) -> None:
    """One run ends with 0, every node is standalone, every guest is the same process."""
    status, said = stage.run("runbook/", "--approve=all", *more)
    assert status == 0, said[-4000:]
    assert stage.guests() == stage.before
    assert [c.node.name for c in stage.lab.each() if not standalone(c)] == []


def test_broken(stage: Any) -> None:
    """Every node alone, without quorum."""
    stage.set("broken")
    ends_standalone(stage)


def test_half_dismantled(stage: Any) -> None:
    """Every node as the published procedure leaves it."""
    stage.set("half-dismantled")
    ends_standalone(stage)


def test_flapping(stage: Any) -> None:
    """The link comes and goes while the runbook runs."""
    stage.set("flapping")
    ends_standalone(stage)


def test_quorate(stage: Any) -> None:
    """A healthy cluster is refused without a reason, and taken apart with one."""
    stage.set("quorate")
    status, said = stage.run("runbook/", "--approve=all")
    assert status == 1, said[-4000:]
    ends_standalone(stage, "--anyway=it moves to a new rack")


def test_standalone(stage: Any) -> None:
    """Nothing is left to take apart."""
    stage.set("standalone")
    ends_standalone(stage)


def test_five_nodes(stages: Any) -> None:
    """Broken, with five nodes."""
    stage = stages.of(5)
    stage.set("broken")
    ends_standalone(stage)
