"""What happens while a question stands is seen before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from at_a_terminal import at_a_terminal

StartLab = Callable[..., Any]


def test_quorum_comes_back(start_lab: StartLab, tmp_path: Path) -> None:
    """The network was mended: a cluster with a quorate majority is not changed, whatever was typed."""
    lab = start_lab()

    def mended() -> str:
        lab.control.heal()
        lab.control.advance(60)
        return "labcluster"

    status, screen = at_a_terminal(lab, tmp_path, [mended])
    assert status == 1, screen
    assert "While this question stood: cluster: a majority is quorate: pve1, pve2, pve3" in screen
    assert "[PVE-R" in screen
    assert lab.mutating() == []


@pytest.mark.parametrize("question", [pytest.param(0, marks=pytest.mark.sweep), 1])
def test_a_guest_stops(start_lab: StartLab, tmp_path: Path, question: int) -> None:
    """It is not laid at the door of what comes next, and what comes next does not come."""
    lab = start_lab(nodes=2)
    before: list[tuple[str, tuple[str, ...]]] = []

    def stopped() -> str:
        before.extend(lab.mutating())
        lab.control.run("pve2", "qm stop 201")
        return "labcluster"

    status, screen = at_a_terminal(lab, tmp_path, [*["labcluster"] * question, stopped])
    assert status == 1, screen
    assert "While this question stood:" in screen and "guest 201" in screen.split("While this question stood:")[1]
    assert [c for c in lab.mutating() if c not in before and c[1][:2] != ("qm", "stop")] == []
