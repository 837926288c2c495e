"""When facts end: no gate reads what was true before the last change, a wait, or a look that is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench_run import BenchRun, runs
from pve_lab.faults import Fault
from pve_runbook.actions.errors import ActionFailed
from pve_runbook.actions.registry import MAKE_FOLDER, STOP_LRM
from pve_runbook.cluster.node import Node
from pve_runbook.facts.node import NodeFacts
from pve_runbook.journal.events import Batch
from pve_runbook.journal.rows import Asked
from pve_runbook.probes.per_subject import OPEN_FILES
from pve_runbook.probes.registry import DB_DIR, JOBS, PMXCFS_PROCESS, PVE_MOUNT, TREE, UNIT_STATES
from pve_runbook.procedure.stages import STATE_ASKS


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


def asked(run: BenchRun, since: int = 0) -> list[list[str]]:
    """What each request asked, of those after the event with that number, by the names of the probes."""
    names: dict[int | None, str] = {}
    found = []
    for entry in run.journal.events:
        if isinstance(entry.event, Batch):
            probes = entry.event.probes
            names.update((p.q, p.id) for p in probes if isinstance(p, Asked))
            if entry.number > since:
                found.append([p.id if isinstance(p, Asked) else names[p] for p in probes])
    return found


def now(run: BenchRun) -> int:
    """The number of the last event."""
    return run.journal.events[-1].number


def test_work_that_changed_nothing_and_waited_for_nothing_leaves_them(run: BenchRun) -> None:
    since = now(run)
    assert run.cluster.each(corosync_runs) == [True, True]
    assert [corosync_runs(node) for node in run.cluster.nodes] == [True, True]
    assert asked(run, since) == []


def test_work_that_waited_ends_them(run: BenchRun) -> None:
    stop_corosync(run)
    pve1, pve2 = run.cluster.nodes
    run.cluster.each(lambda node: node.poll(1), [pve1])
    assert not corosync_runs(pve2)


def test_between_two_actions_only_what_is_named_is_asked(run: BenchRun) -> None:
    pve1 = run.cluster.node("pve1")
    with pve1.asking_only((UNIT_STATES, JOBS)):
        pve1.act(STOP_LRM.bind())
        since = now(run)
        assert not pve1.facts.units["pve-ha-lrm.service"].is_active
        assert asked(run, since) == [["units", "jobs"]]
        assert run.bench.run("pve1", "systemctl stop corosync").exit_status == 0
    assert not corosync_runs(pve1), "what was read so is nothing that a gate is judged by"


@pytest.mark.parametrize(
    "other",
    [
        lambda facts: facts.hostname,
        lambda facts: facts.tree.files,
        lambda facts: facts.pve_hangs,
        lambda facts: facts.database_is_damaged,
        lambda facts: facts.own_addresses,
        lambda facts: sorted(facts.listed),
        lambda facts: facts.about(OPEN_FILES),
    ],
    ids=["hostname", "database", "silence", "damage", "family", "tools", "families"],
)
def test_a_fact_that_rests_on_anything_else_has_the_node_read_whole(
    run: BenchRun, other: Callable[[NodeFacts], object]
) -> None:
    pve1 = run.cluster.node("pve1")
    before = other(pve1.facts)
    with pve1.asking_only((UNIT_STATES, PVE_MOUNT)):
        pve1.act(STOP_LRM.bind())
        assert pve1.facts.corosync.is_active and pve1.facts.pve_mounts
        since = now(run)
        assert other(pve1.facts) == before
        first, *_ = asked(run, since)
        assert {"hostname", "units", "guest_processes"} < set(first)


def test_which_proxmox_it_is_is_asked_once(run: BenchRun) -> None:
    assert [batch.count("version") for batch in asked(run) if "version" in batch] == [1, 1]
    run.cluster.node("pve1").act(STOP_LRM.bind())
    assert [node.facts.version is not None for node in run.cluster.nodes] == [True, True]
    assert [batch.count("version") for batch in asked(run) if "version" in batch] == [1, 1]


def test_few_things_are_asked_of_all_nodes_for_gates_that_rest_on_them(run: BenchRun) -> None:
    pve1, pve2 = run.cluster.nodes
    pve1.act(STOP_LRM.bind())
    since = now(run)
    run.cluster.read_few(UNIT_STATES)
    assert [corosync_runs(node) for node in run.cluster.nodes] == [True, True]
    with pve1.asking_only((JOBS,)):
        assert corosync_runs(pve1)
    assert corosync_runs(pve1)
    assert asked(run, since) == [["units"], ["units"]]
    assert pve2.facts.hostname == "pve2"
    assert len(asked(run, since)) > 2, "a gate that rests on more has the nodes read whole"


def test_facts_that_are_there_are_not_asked_again_for_few(run: BenchRun) -> None:
    since = now(run)
    run.cluster.read_few(UNIT_STATES)
    assert asked(run, since) == []


def of(since: list[list[str]]) -> list[list[str]]:
    """The requests, each without order."""
    return [sorted(request) for request in since]


def test_what_was_read_goes_on_to_hold_where_only_the_tools_own_places_were_changed(run: BenchRun) -> None:
    before = [node.facts.hostname for node in run.cluster.nodes]
    run.cluster.each(lambda node: node.act(MAKE_FOLDER.bind(run=run.cluster.work)))
    since = now(run)
    run.cluster.renew(UNIT_STATES)
    assert [node.facts.hostname for node in run.cluster.nodes] == before
    assert asked(run, since) == [["units"], ["units"]]


def test_what_is_renewed_is_what_the_node_says_now(run: BenchRun) -> None:
    pve1 = run.cluster.node("pve1")
    before = pve1.facts.tree.version
    pve1.act(MAKE_FOLDER.bind(run=run.cluster.work))
    assert run.bench.run("pve1", "systemctl stop corosync").exit_status == 0
    run.cluster.renew(UNIT_STATES, PMXCFS_PROCESS, DB_DIR, TREE)
    assert not corosync_runs(pve1)
    assert pve1.facts.tree.version >= before


@pytest.mark.parametrize("own_last", [False, True], ids=["a-unit-at-last", "an-own-folder-at-last"])
def test_nothing_goes_on_to_hold_once_anything_else_was_changed(run: BenchRun, own_last: bool) -> None:
    pve1, pve2 = run.cluster.nodes
    assert corosync_runs(pve2)
    folder, lrm = MAKE_FOLDER.bind(run=run.cluster.work), STOP_LRM.bind()
    for action in (lrm, folder) if own_last else (folder, lrm):
        run.cluster.each(lambda node, action=action: node.act(action), [pve1])  # type: ignore[misc]
    assert run.bench.run("pve2", "systemctl stop corosync").exit_status == 0
    run.cluster.renew(JOBS)
    assert not corosync_runs(pve2)
    assert not pve1.facts.units["pve-ha-lrm.service"].is_active


def test_nothing_goes_on_to_hold_after_an_own_action_that_failed_on_another_node(run: BenchRun) -> None:
    pve1, pve2 = run.cluster.nodes
    assert corosync_runs(pve2)
    run.bench.site.faults.arm(Fault("fail", argv=("install", "-d")))
    with pytest.raises(ActionFailed):
        run.cluster.each(lambda node: node.act(MAKE_FOLDER.bind(run=run.cluster.work)), [pve1])
    assert run.bench.run("pve2", "systemctl stop corosync").exit_status == 0
    run.cluster.renew(JOBS)
    assert not corosync_runs(pve2)


def test_the_database_is_read_with_the_few_that_tell_the_state(run: BenchRun) -> None:
    pve1 = run.cluster.node("pve1")
    before = pve1.facts.state
    pve1.act(STOP_LRM.bind())
    since = now(run)
    run.cluster.read_few(*STATE_ASKS)
    assert [node.facts.state for node in run.cluster.nodes] == [before, before]
    assert of(asked(run, since))[2:] == [["tree"], ["tree"]] and len(asked(run, since)) == 4
