"""SIGKILL and a cut line at every change of a run with --leave: the same command line ends it, and the others' corosync
never ends meanwhile."""

from __future__ import annotations

import shlex
import time
from typing import Any

import pytest
from bounded import BOUND
from pve_runbook.probes.registry import OUR_UNITS
from sampling import some
from sweep_points import NO_RETURN, PARTS, WINDOW, cut_off, killed, some_of

pytestmark = pytest.mark.sweep

LINE = ("runbook/", "--approve=all", "--leave=pve3")
STAY = ("pve1", "pve2")


def corosync(stage: Any) -> dict[str, str]:
    """The process of corosync on those that stay."""
    return {node: stage.control.run(node, "pgrep -x corosync").stdout for node in STAY}


def points(stage: Any, part: int) -> list[int]:
    """This part of the points: out of as many as one undisturbed run has changes."""
    stage.set("own-link")
    status, said = stage.typed(*LINE)
    assert status == 0, said
    return some_of(stage.control.mutating_count(), part, PARTS)


def converges(stage: Any, where: str, before: dict[str, str]) -> list[str]:
    """The same command line ends the work; what did not hold."""
    status, said = stage.typed(*LINE)
    if status != 0:
        return [f"{where}: the next run ended with {status}\n{said[-3000:]}"]
    return [f"{where}: {w}" for w in has_left(stage, before)]


def has_left(stage: Any, before: dict[str, str], *rebooted: str) -> list[str]:
    """What is not as a run that ended with 0 leaves it."""
    leaver = stage.control.state()["pve3"]
    wrong = not_a_cluster_of_two(stage, before)
    if not leaver.standalone or leaver.corosync_files not in ((), ("uidgid.d",)):
        wrong.append("pve3 is not standalone")
    return [*wrong, *stage.lost(*rebooted), *stage.sent_again(), *stage.not_thawed()]


def not_a_cluster_of_two(stage: Any, before: dict[str, str]) -> list[str]:
    """What is not as it should be on those that stay."""
    state = stage.control.state()
    wrong = [f"{n} is no member with quorum" for n in STAY if not state[n].quorate or state[n].mode != "cluster"]
    for node in STAY:
        if "Expected votes:   2\n" not in stage.control.run(node, "pvecm status").stdout:
            wrong.append(f"{node} still counts pve3")
    if corosync(stage) != before:
        wrong.append("corosync of those that stay was started anew")
    return wrong


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_change_of_a_leave(three: Any, when: str, part: int) -> None:
    """The control process gets SIGKILL at every change: after its intent was written, and after its effect."""
    wrong = []
    for point in points(three, part):
        three.set("own-link")
        before = corosync(three)
        where, otherwise = killed(three, when, point, lambda: three.begin(*LINE))
        wrong += otherwise + converges(three, where, before)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("when", ["before", "after"])
def test_cut_off_at_every_change_of_a_leave(three: Any, when: str, part: int) -> None:
    """The SSH connection is cut at every change: it comes back within the run, which ends the work."""
    wrong = []
    for point in points(three, part):
        three.set("own-link")
        before = corosync(three)
        where, otherwise = cut_off(three, when, point, lambda: three.typed(*LINE))
        wrong += otherwise + [f"{where}: {w}" for w in has_left(three, before)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("when", ["before", "after"])
def test_cut_off_while_the_others_let_it_go(three: Any, when: str) -> None:
    """The line to a node that stays is lost as it is told to forget the one that left: it is told so once."""
    three.set("own-link")
    before = corosync(three)
    three.control.fault("cut", when=when, argv=("pvecm", "delnode"))
    status, said = three.typed(*LINE)
    assert three.control.faults_fired() and status == 0, said[-3000:]
    told = [x for node in STAY for x in three.control.log(node) if x.argv[:2] == ("pvecm", "delnode")]
    assert [(x.argv, x.exit_status) for x in told] == [(("pvecm", "delnode", "pve3"), 0)]
    assert a_second_run_is_refused(three, before)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_change_while_a_dead_node_is_let_go(three: Any, when: str) -> None:
    """The leaver is off for good: only those that stay are sent anything."""
    line = (*LINE, "--absent=pve3")
    three.set("last-off")
    status, said = three.without("pve3").typed(*line)
    assert status == 0, said
    wrong = []
    for point in some_of(three.control.mutating_count()):
        three.set("last-off")
        before, rest = corosync(three), three.without("pve3")
        where, otherwise = killed(three, when, point, lambda rest=rest: rest.begin(*line))
        status, said = rest.typed(*line)
        if status != 0:
            wrong.append(f"{where}: the next run ended with {status}\n{said[-3000:]}")
        wrong += otherwise
        wrong += [f"{where}: {w}" for w in (*not_a_cluster_of_two(three, before), *three.lost(), *three.sent_again())]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("what", "when"),
    [("kill", "before"), ("kill", "after"), ("cut", "before"), ("cut", "after"), ("fail", "before")],
)
def test_struck_while_ha_lets_its_guest_go(three: Any, what: str, when: str) -> None:
    """HA manages a guest of the leaver: struck as it is told to let it go, the guest runs on, and the work is ended."""
    three.set("ha-quorate")
    before = corosync(three)
    process = three.begin(*LINE)
    three.control.fault(what, when=when, argv=("ha-manager", "remove"), pid=process.pid if what == "kill" else None)
    status, said = three.finish(process)
    assert three.control.faults_fired() and status == {"kill": -9, "cut": 0, "fail": 1}[what], said[-3000:]
    if status:
        status, said = three.typed(*LINE)
    assert status == 0, said[-3000:]
    assert has_left(three, before) == []


@pytest.mark.parametrize("part", range(PARTS))
def test_rolled_back_after_every_change_of_a_leave(three: Any, part: int) -> None:
    """Until the others let it go everything is as before; from then on it is refused, and nothing is changed."""
    wrong = []
    for point in points(three, part):
        three.set("own-link")
        before = corosync(three)
        where, otherwise = killed(three, "after", point, lambda: three.begin(*LINE))
        wrong += otherwise
        if three.record is None:
            wrong.append(f"{where}: no record")
            continue
        nothing_goes_on(three)
        forgotten = "pve3" not in three.control.run("pve1", "cat /etc/pve/corosync.conf").stdout
        sent = three.control.mutating_count()
        status, said = three.typed("runbook/", "--approve=8", f"--rollback={three.record}")
        if forgotten:
            words = "have let pve3 go" in " ".join(said.split())
            if status != 1 or not words or three.control.mutating_count() != sent:
                wrong.append(f"{where}: not refused, {status}\n{said[-3000:]}")
        else:
            wrong += [f"{where}: {w}" for w in (*as_members(status, said), *not_as_members(three))]
        if corosync(three) != before:
            wrong.append(f"{where}: corosync of those that stay was started anew")
        wrong += [f"{where}: {w}" for w in three.lost()]
    assert not wrong, "\n".join(wrong)


def nothing_goes_on(stage: Any) -> None:
    """Returns when what a killed run had sent has come to its end without it."""
    end = time.monotonic() + BOUND
    for node in (*STAY, "pve3"):
        while stage.control.run(node, shlex.join(OUR_UNITS.argv)).stdout:
            assert time.monotonic() < end, f"{node}: a command goes on"


def as_members(status: int, said: str) -> list[str]:
    """Whether the way back came to its end."""
    return [] if status == 0 else [f"the rollback ended with {status}\n{said[-3000:]}"]


def not_as_members(stage: Any) -> list[str]:
    """Nodes that are not the members that they were."""
    found = []
    for name, node in stage.control.state().items():
        was = stage.before[name]
        if not node.quorate or (node.mode, set(node.corosync_files)) != (was.mode, set(was.corosync_files)):
            found.append(f"{name}: {node.mode}, quorate: {node.quorate}, {node.corosync_files}")
        if node.units["corosync.service"] != was.units["corosync.service"]:
            found.append(f"{name}: corosync is {node.units['corosync.service']}")
    return found


PHASE2 = (("systemctl", "stop", "corosync.service"), ("systemctl", "mask", "--runtime", "corosync.service"))
"""What the leaver gets in phase 2 already, and in its window again."""


def in_the_window(argv: tuple[str, ...]) -> dict[str, Any]:
    """Where a fault strikes: at this command of the leaver's window."""
    return {"argv": argv, "node": "pve3", "skip": int(argv in PHASE2)}


def test_what_fails_in_the_window_is_put_back_and_taken_up(three: Any) -> None:
    """A command of the window fails once: before the point of no return the leaver is the member it was, and the same
    command line ends the work; after it the run goes on, or the next one does."""
    wrong = []
    for index, argv in some(enumerate(WINDOW), 3):
        three.set("own-link")
        before = corosync(three)
        three.control.fault("fail", **in_the_window(argv))
        status, said = three.typed(*LINE)
        where = f"{' '.join(argv)} failed: {three.control.faults_fired()}"
        if not three.control.faults_fired() or status != (0 if index == NO_RETURN else 1):
            wrong.append(f"{where}: ended with {status}\n{said[-3000:]}")
        truth = three.control.state()["pve3"]
        if not truth.mounted or truth.mode != ("cluster" if index < NO_RETURN else "standalone"):
            wrong.append(f"{where}: {truth.mode}, mounted: {truth.mounted}")
        if status == 0:
            wrong += [f"{where}: {w}" for w in has_left(three, before)]
        else:
            wrong += converges(three, where, before)
    assert not wrong, "\n".join(wrong)


FAILING = [("systemctl", "stop", "pve-ha-crm.service"), ("pvecm", "delnode", "pve3")]
"""Changes before the window and after it."""


def test_what_fails_is_taken_up_by_the_next_run(three: Any) -> None:
    """A command fails without an effect: a clear stop, and the same command line ends it."""
    wrong = []
    for argv in FAILING:
        three.set("own-link")
        before = corosync(three)
        three.control.fault("fail", argv=argv)
        status, said = three.typed(*LINE)
        where = f"{' '.join(argv)} failed: {three.control.faults_fired()}"
        if not three.control.faults_fired() or status != 1:
            wrong.append(f"{where}: ended with {status}\n{said[-3000:]}")
        wrong += converges(three, where, before)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_leaver_is_reset_in_its_window(three: Any, when: str) -> None:
    """Its guests were lost with it, and nobody else's; the next run ends the work."""
    wrong = []
    for argv in some(WINDOW, 6):
        three.set("own-link")
        before = corosync(three)
        three.control.fault("power_cycle", when=when, **in_the_window(argv))
        status, said = three.typed(*LINE)
        where = f"reset {when} {' '.join(argv)}: {three.control.faults_fired()}"
        if not three.control.faults_fired() or status not in (1, 3):
            wrong.append(f"{where}: ended with {status}\n{said[-3000:]}")
        if not three.control.state()["pve3"].mounted:
            wrong.append(f"{where}: /etc/pve is away")
        status, said = three.typed(*LINE)
        if status != 0:
            wrong.append(f"{where}: the next run ended with {status}\n{said[-3000:]}")
        state = three.control.state()
        if not state["pve3"].standalone or not all(state[n].quorate for n in STAY) or corosync(three) != before:
            wrong.append(f"{where}: not as a run leaves it")
        wrong += [f"{where}: {w}" for w in three.lost("pve3")]
    assert not wrong, "\n".join(wrong)


def test_a_node_that_another_hand_let_go_is_let_go(three: Any) -> None:
    """`pvecm delnode` fails where it was typed a moment before, and in old releases where the node is off: the nodelist
    tells."""
    three.set("own-link")
    before = corosync(three)
    three.control.fault("run", argv=("pvecm", "delnode"), command="pvecm delnode pve3", on="pve1")
    status, said = three.typed(*LINE)
    assert three.control.faults_fired() and status == 0, said[-3000:]
    assert a_second_run_is_refused(three, before)


def a_second_run_is_refused(stage: Any, before: dict[str, str]) -> bool:
    """What left is no member any more: a second run says so, and changes nothing."""
    sent = stage.control.mutating_count()
    status, said = stage.typed(*LINE)
    assert status == 1 and "corosync.conf does not name this node" in " ".join(said.split()), said[-3000:]
    return bool(stage.control.mutating_count() == sent and corosync(stage) == before)
