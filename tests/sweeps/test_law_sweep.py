"""`runbook/ --approve=all` changes nothing where the cluster is not to be taken apart, in any starting state."""

from __future__ import annotations

from typing import Any

import pytest
from pve_lab.expected import VERDICTS
from pve_lab.scenarios import SCENARIOS
from pve_runbook.diagnosis.verdict import MEANT_FOR

pytestmark = pytest.mark.sweep

LEFT_ALONE = [name for name in SCENARIOS if VERDICTS.get(name, "dismantle") not in {str(v) for v in MEANT_FOR}]


def changes(stage: Any) -> list[tuple[str, tuple[str, ...]]]:
    """(node, argv) of every command that changed a node, by the nodes' own logs."""
    return [(node, line.argv) for node in stage.before for line in stage.control.log(node) if line.mutating]


@pytest.mark.parametrize("scenario", LEFT_ALONE)
def test_nothing_is_changed(three: Any, scenario: str) -> None:
    three.set(scenario)
    off = [n.name for n in three.before.values() if not n.powered]
    ways: list[list[str]] = [[]]
    if off and VERDICTS[scenario] != "power on":  # there --absent says that they are dead, and what is left is meant
        ways.append([f"--absent={','.join(off)}"])
    for more in ways:
        three.set(scenario)
        status, said = three.without(*off).typed("runbook/", "--approve=all", *more)
        assert status in (1, 3), said
        assert three.record is not None, said
        assert changes(three) == []
        assert any(three.control.log(node) for node in three.before)


def test_states_are_tried() -> None:
    assert len(LEFT_ALONE) > len(SCENARIOS) / 4
