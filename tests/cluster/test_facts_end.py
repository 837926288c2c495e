"""When facts end: no gate reads what was true before the last change, a wait, or a look that is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_run import BenchRun, runs
from pve_runbook.actions.registry import STOP_LRM
from pve_runbook.cluster.node import Node


@pytest.fixture
def run(tmp_path: Path) -> Iterator[BenchRun]:
    """A broken cluster of two, whose facts are read."""
    for make in runs(tmp_path):
        run = make("broken", 2)
        run.cluster.read()
        assert [corosync_runs(node) for node in run.cluster.nodes] == [True, True]
        yield run


def corosync_runs(node: Node) -> bool:
    """By the facts that the node has now."""
    return node.facts.corosync.is_active


def stop_corosync(run: BenchRun) -> None:
    """Another hand, on both nodes; no fact ends with it."""
    for node in run.cluster.nodes:
        assert run.bench.run(node.name, "systemctl stop corosync").exit_status == 0
        assert corosync_runs(node)


def test_an_action_ends_the_facts_of_every_node(run: BenchRun) -> None:
    stop_corosync(run)
    run.cluster.node("pve1").act(STOP_LRM.bind())
    assert [corosync_runs(node) for node in run.cluster.nodes] == [False, False]


def test_side_by_side_an_action_ends_its_own_nodes_facts_and_the_end_of_it_all_those_of_every_node(
    run: BenchRun,
) -> None:
    stop_corosync(run)
    pve1, pve2 = run.cluster.nodes

    def work(node: Node) -> tuple[bool, bool]:
        node.act(STOP_LRM.bind())
        return corosync_runs(node), corosync_runs(pve2)

    assert run.cluster.each(work, [pve1]) == [(False, True)]
    assert not corosync_runs(pve2)


def test_work_that_failed_ends_them_too(run: BenchRun) -> None:
    stop_corosync(run)

    def fails(node: Node) -> None:
        raise RuntimeError(node.name)

    with pytest.raises(RuntimeError):
        run.cluster.each(fails)
    assert [corosync_runs(node) for node in run.cluster.nodes] == [False, False]


def test_a_wait_ends_them(run: BenchRun) -> None:
    stop_corosync(run)
    pve1, pve2 = run.cluster.nodes
    run.cluster.wait_until(pve1, lambda facts: not facts.corosync.is_active, "whether corosync stopped")
    assert not corosync_runs(pve2)
