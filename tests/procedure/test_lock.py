"""The lock on the nodes: one run at a time, and whose it is decides who may go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_run import BenchRun, MakeRun
from pve_runbook.actions.errors import ActionFailed
from pve_runbook.actions.registry import TAKE_LOCK
from pve_runbook.journal import events
from pve_runbook.journal.journal import Journal
from pve_runbook.parsers.own_files import Lock
from pve_runbook.procedure.rollback import not_ours
from pve_runbook.procedure.stages import LOCKED
from pve_runbook.procedure.unfinished import read_run, whose
from pve_runbook.record.verify import NoRecord

ME, SOMEBODY = "me@here", "alice@ops1"
WORK = "20260101T000000Z-abcd"


def holders(run: BenchRun) -> set[str]:
    """The runs that the nodes are locked for."""
    run.cluster.forget()
    locks = [node.facts.lock for node in run.cluster.nodes]
    return {lock.run if lock is not None else "" for lock in locks}


def test_of_two_runs_that_found_the_nodes_free_the_first_has_them(make_run: MakeRun) -> None:
    """Both have read, and both were approved; the lock itself lets only one in."""
    first = make_run("broken", 2)
    second = make_run(first.bench, attempt="20260101T000001Z-cafe")
    for run in (first, second):
        assert all(node.facts.lock is None for node in run.cluster.nodes)
    first.perform(LOCKED)
    with pytest.raises(ActionFailed, match="File exists"):
        second.perform(LOCKED)
    assert holders(second) == {first.cluster.work}


def test_a_race_for_one_node_gives_neither_the_lock_of_the_other(make_run: MakeRun) -> None:
    """Each was the first on one node: neither takes the other's, whichever goes on."""
    first = make_run("broken", 2)
    second = make_run(first.bench, attempt="20260101T000001Z-cafe")
    for run in (first, second):
        assert all(node.facts.lock is None for node in run.cluster.nodes)
    first.perform(LOCKED, [first.cluster.node("pve1")])
    second.perform(LOCKED, [second.cluster.node("pve2")])
    with pytest.raises(ActionFailed):
        first.cluster.node("pve2").act(TAKE_LOCK.bind(lock=first.lock))
    with pytest.raises(ActionFailed):
        second.cluster.node("pve1").act(TAKE_LOCK.bind(lock=second.lock))
    assert holders(first) == {first.cluster.work, second.cluster.work}


# --- whose a lock is


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A folder of records with that of one run, which is dead."""
    live = begun(tmp_path / "first")
    live.close()
    return tmp_path


def begun(folder: Path) -> Journal:
    """The journal of a run that goes on until it is closed."""
    folder.mkdir()
    journal = Journal()
    journal.attach(folder / "journal.jsonl")
    run = events.Run(
        run=WORK,
        work=WORK,
        mode="runbook",
        folder=str(folder),
        cluster="labcluster",
        hosts=("pve1", "pve2"),
        operator=ME,
        ticket=None,
        code="code",
        command="command",
        version="0.1.0",
    )
    journal.write(run, sync=True)
    return journal


def lock(run: str = WORK, by: str = ME) -> Lock:
    return Lock(run, by, "2026-01-01T00:00:00Z", "first")


def test_nodes_without_a_lock_are_free(records: Path) -> None:
    assert whose({"pve1": None, "pve2": None}, records, None, ME) == (None, "")


def test_the_own_dead_run_is_taken_up(records: Path) -> None:
    found, held = whose({"pve1": None, "pve2": lock()}, records, None, ME)
    assert found is not None and (found.work, found.folder, held) == (WORK, records / "first", "")


def test_another_operators_run_is_not_even_where_its_record_is_here(records: Path) -> None:
    found, held = whose({"pve1": lock(by=SOMEBODY), "pve2": None}, records, None, ME)
    assert found is None
    assert held.startswith(f"pve1: held by {SOMEBODY} since 2026-01-01T00:00:00Z, run {WORK} (record first); ")
    assert f"you are {ME}" in held and f"--break-lock={WORK}" in held


def test_a_run_that_lives_is_not(records: Path) -> None:
    alive = begun(records / "second")
    try:
        found, held = whose({"pve1": lock()}, records, None, ME)
    finally:
        alive.close()
    assert found is None and "a run of yours is under way: second" in held
    assert whose({"pve1": lock()}, records, None, ME)[0] is not None


def test_a_run_that_lives_is_not_rolled_back(records: Path) -> None:
    assert read_run(records / "first").work == WORK
    alive = begun(records / "second")
    try:
        with pytest.raises(NoRecord, match="second: this run is still under way"):
            read_run(records / "first")
    finally:
        alive.close()


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (None, ""),
        ((WORK, ME), ""),
        ((WORK, SOMEBODY), f"pve1: held by {SOMEBODY}"),
        (("20260101T000009Z-0000", ME), "pve1: held by me@here since 2026-01-01T00:00:00Z, run 20260101T000009Z-0000"),
    ],
)
def test_a_rollback_is_of_the_own_run_alone(held: tuple[str, str] | None, said: str) -> None:
    locks = {"pve1": None if held is None else lock(*held)}
    assert not_ours(locks, WORK, ME, None).startswith(said)
    assert bool(not_ours(locks, WORK, ME, None)) is bool(said)
    assert held is None or not_ours(locks, WORK, ME, held[0]) == ""


def test_a_run_whose_journal_was_changed_is_not(records: Path) -> None:
    path = records / "first" / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":2'))
    found, held = whose({"pve1": lock()}, records, None, ME)
    assert found is None and "journal in first was changed" in held


def test_a_run_whose_record_is_elsewhere_is_not(records: Path) -> None:
    found, held = whose({"pve1": lock("20260101T000009Z-0000")}, records, None, ME)
    assert found is None and "its record is not in" in held


def test_two_runs_on_the_nodes_are_not_and_one_of_them_is_broken_by_its_name(records: Path) -> None:
    other = "20260101T000009Z-0000"
    found, held = whose({"pve1": lock(), "pve2": lock(other)}, records, None, ME)
    assert found is None and "other nodes are held by other runs" in held
    found, held = whose({"pve1": lock(), "pve2": lock(other)}, records, other, ME)
    assert found is not None and held == ""
    assert whose({"pve1": lock(), "pve2": None}, records, WORK, ME) == (None, "")
