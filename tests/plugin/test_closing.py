"""What a run says last: in what state it leaves the nodes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pve_runbook.journal.events import Outcome, Step
from pve_runbook.options.options import read_options
from pve_runbook.plugin.closing import STANDS_ALONE, STILL_FROZEN, THAWED, still_so
from pve_runbook.plugin.run import Run

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """A run over runbook/ whose command line was read."""
    (pytester.path / "runbook").mkdir()
    config = pytester.parseconfig("runbook/", "--hosts=pve1,pve2,pve3")
    return Run(config, read_options(config, "runbook"))


def stood_alone(run: Run, node: str, outcome: Outcome = "passed") -> None:
    """The gate after a node's window ended so."""
    run.journal.write(
        Step(
            nodeid=f"runbook/{STANDS_ALONE}[{node}]",
            phase=4,
            phase_title="",
            title="",
            node=node,
            outcome=outcome,
            seconds=0.0,
            message="",
        )
    )


def test_a_run_that_stops_between_two_windows_names_the_nodes_that_left(run: Run) -> None:
    assert still_so(run) == STILL_FROZEN
    stood_alone(run, "pve1")
    assert still_so(run) == f"pve1 has left the cluster already; {STILL_FROZEN}"
    stood_alone(run, "pve3")
    stood_alone(run, "pve2", "failed")
    assert still_so(run) == f"pve1, pve3 have left the cluster already; {STILL_FROZEN}"
    run.outcome.thawed = True
    assert still_so(run).endswith(THAWED)


def test_the_gate_that_it_goes_by_is_there() -> None:
    name, _, function = STANDS_ALONE.partition("::")
    tree = ast.parse((PROJECT / "runbook" / name).read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
