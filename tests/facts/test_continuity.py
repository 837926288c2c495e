"""What "ran on" means: each single thing that can differ, by itself, is a loss; what is no loss is none."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from pve_runbook.facts.continuity import Snapshot, compare, rebased, resettled
from pve_runbook.journal.rows import GuestTruth

VM = GuestTruth(101, "web", "qemu", "pve1", pid=4711, start=88_000, config="c" * 64, volumes=2, volumes_found=2)
STOPPED = replace(VM, vmid=102, name="spare", pid=None, start=None)
BEFORE = Snapshot({101: VM, 102: STOPPED}, {"pve1": "boot-1", "pve2": "boot-2"})


def now(**changed: object) -> Snapshot:
    """BEFORE, with one thing of the running guest changed."""
    return replace(BEFORE, guests={**BEFORE.guests, 101: replace(VM, **changed)})  # type: ignore[arg-type]


def test_what_is_as_it_was_is_no_loss() -> None:
    found = compare(BEFORE, BEFORE)
    assert found.problems == () and found.vmids == "" and found.rows_for_journal() == ()
    assert found.line == "guests 1/1 same pid · nodes 2/2 same boot · configs 2/2 same · volumes 4/4"


def test_a_run_in_which_no_guest_ran_says_so() -> None:
    none = Snapshot({102: STOPPED}, BEFORE.boots)
    assert compare(none, none).line.startswith("no guest ran at the start · nodes 2/2 same boot")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"pid": 4712, "start": 99_000}, "its process was pid 4711 and is pid 4712", id="another process"),
        pytest.param({"pid": None, "start": None}, "its process was pid 4711 and is gone", id="no process"),
        pytest.param(
            {"start": 88_001},
            "its process ended, and another one that began later has its pid 4711",
            id="its pid, another start",
        ),
        pytest.param({"pid": 4712}, "its process was pid 4711 and is pid 4712", id="its start, another pid"),
        pytest.param({"config": "d" * 64}, "its config changed", id="config"),
        pytest.param({"node": "pve2"}, "it moved from pve1 to pve2", id="owner"),
        pytest.param({"volumes_found": 1}, "1 of 2 volumes are found, 2 of 2 before", id="a volume is gone"),
        pytest.param({"volumes": 1, "volumes_found": 1}, "1 of 1 volumes are found", id="a volume is named no more"),
    ],
)
def test_each_change_alone_is_a_loss(changed: dict[str, object], said: str) -> None:
    found = compare(BEFORE, now(**changed))
    [problem] = found.problems
    assert problem.startswith("guest 101 (web) on pve1: ") and said in problem
    assert found.vmids == "101"
    [row] = found.rows_for_journal()
    assert (row.vmid, row.same) == (101, False)


def test_a_guest_that_nobody_owns_is_lost() -> None:
    found = compare(BEFORE, Snapshot({102: STOPPED}, BEFORE.boots))
    assert found.problems == ("guest 101 (web) is in no node's database any more, it was on pve1",)


def test_a_guest_that_did_not_run_may_be_started_and_not_changed() -> None:
    started = replace(BEFORE, guests={**BEFORE.guests, 102: replace(STOPPED, pid=5000, start=99_000)})
    assert compare(BEFORE, started).problems == ()
    changed = replace(BEFORE, guests={**BEFORE.guests, 102: replace(STOPPED, config="d" * 64)})
    assert compare(BEFORE, changed).vmids == "102"


def test_a_new_guest_is_no_loss() -> None:
    new = replace(BEFORE, guests={**BEFORE.guests, 103: replace(VM, vmid=103)})
    assert compare(BEFORE, new).problems == ()


@pytest.mark.parametrize("boots", [{"pve1": "boot-1", "pve2": "boot-3"}, {"pve1": "boot-1"}], ids=["booted", "silent"])
def test_a_boot_alone_is_a_loss(boots: dict[str, str]) -> None:
    """Even where every guest looks as before: after a boot the same pid and start are another process."""
    found = compare(BEFORE, replace(BEFORE, boots=boots))
    assert found.problems == ("pve2 was rebooted",)
    assert [(n.node, n.same) for n in found.nodes_for_journal()] == [("pve1", True), ("pve2", False)]
    assert "nodes 1/2 same boot" in found.line


def test_what_a_boot_took_is_named_once_and_everything_else_still_counts() -> None:
    booted = Snapshot({**BEFORE.guests, 101: replace(VM, pid=600, start=900)}, {**BEFORE.boots, "pve1": "boot-9"})
    held, rebooted, lost = rebased(BEFORE, booted, accepted=())
    assert (rebooted, lost) == (["pve1"], [101])
    assert compare(held, booted).problems == ()
    assert compare(held, replace(booted, guests={**booted.guests, 101: replace(VM, config="d" * 64)})).problems


def test_only_the_guest_that_is_accepted_is_taken_as_it_is() -> None:
    other = replace(VM, pid=600, start=900)
    held, rebooted, lost = rebased(BEFORE, now(pid=600, start=900), accepted=[101])
    assert (held.guests[101], rebooted, lost) == (other, [], [101])
    held, _, lost = rebased(BEFORE, now(pid=600, start=900), accepted=[102])
    assert (held.guests[101], lost) == (VM, [])


def test_a_guest_that_is_gone_and_was_accepted_is_looked_for_no_more() -> None:
    gone = Snapshot({102: STOPPED}, BEFORE.boots)
    held, rebooted, lost = rebased(BEFORE, gone, accepted=[101])
    assert (compare(held, gone).problems, rebooted, lost) == ((), [], [101])
    held, _, lost = rebased(BEFORE, gone, accepted=[102])
    assert compare(held, gone).problems and lost == []


def test_a_node_that_is_not_there_any_more_was_not_rebooted() -> None:
    off = Snapshot(BEFORE.guests, {"pve1": "boot-1"})
    held, rebooted, _ = rebased(BEFORE, off, accepted=())
    assert (compare(held, off).problems, rebooted) == ((), [])


def test_after_a_run_that_had_ended_processes_are_new_and_configs_are_not() -> None:
    later = Snapshot({101: replace(VM, pid=600, start=900, config="d" * 64)}, {"pve1": "boot-9", "pve2": "boot-2"})
    settled = resettled(BEFORE, later)
    assert settled.guests[101] == replace(VM, pid=600, start=900)
    assert settled.boots == later.boots and settled.guests[102] == STOPPED
