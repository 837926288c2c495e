"""SIGKILL and a cut line at every change of a run with --leave: the same command line ends it, and the others' corosync
never ends meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from sweep_points import PARTS, some_of

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
    state = stage.control.state()
    wrong = [f"{n} is no member with quorum" for n in STAY if not state[n].quorate or state[n].mode != "cluster"]
    if not state["pve3"].standalone or state["pve3"].corosync_files not in ((), ("uidgid.d",)):
        wrong.append("pve3 is not standalone")
    for node in STAY:
        if "Expected votes:   2\n" not in stage.control.run(node, "pvecm status").stdout:
            wrong.append(f"{node} still counts pve3")
    if corosync(stage) != before:
        wrong.append("corosync of those that stay was started anew")
    return [f"{where}: {w}" for w in (*wrong, *stage.lost(), *stage.sent_again(), *stage.not_thawed())]


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_change_of_a_leave(three: Any, when: str, part: int) -> None:
    """The control process gets SIGKILL at every change: after its intent was written, and after its effect."""
    wrong = []
    for point in points(three, part):
        three.set("own-link")
        before = corosync(three)
        process = three.begin(*LINE)
        three.control.fault("kill", when=when, at=point, pid=process.pid)
        status, said = three.finish(process)
        fired = three.control.faults_fired()
        where = f"killed {when} change {point}: {fired}"
        if not fired or status != -9:
            wrong.append(f"{where}: ended with {status}\n{said[-3000:]}")
        wrong += converges(three, where, before)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", range(PARTS))
def test_cut_off_at_every_change_of_a_leave(three: Any, part: int) -> None:
    """The SSH connection is cut at every change: it comes back within the run, which ends the work."""
    wrong = []
    for point in points(three, part):
        three.set("own-link")
        before = corosync(three)
        three.control.fault("cut", when="after", at=point)
        status, said = three.typed(*LINE)
        where = f"cut at change {point}: {three.control.faults_fired()}"
        if not three.control.faults_fired() or status != 0 or not a_second_run_is_refused(three, before):
            wrong.append(f"{where}: ended with {status}\n{said[-3000:]}")
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


@pytest.mark.parametrize("part", range(PARTS))
def test_rolled_back_after_every_change_of_a_leave(three: Any, part: int) -> None:
    """Until the others let it go everything is as before; from then on it is refused, and nothing is changed."""
    wrong = []
    for point in points(three, part):
        three.set("own-link")
        before = corosync(three)
        process = three.begin(*LINE)
        three.control.fault("kill", when="after", at=point, pid=process.pid)
        three.finish(process)
        where = f"killed after change {point}: {three.control.faults_fired()}"
        if three.record is None:
            wrong.append(f"{where}: no record")
            continue
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


FAILING = [
    ("systemctl", "stop", "pve-ha-crm.service"),
    ("systemctl", "mask", "--runtime", "corosync.service"),
    ("pmxcfs", "-l"),
    ("rm", "-f", "/etc/pve/corosync.conf"),
    ("rm", "-f", "/etc/corosync/corosync.conf"),
    ("systemctl", "disable", "corosync.service"),
    ("pvecm", "delnode", "pve3"),
]
"""Changes on the way, some of them inside the window."""


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


def test_the_leaver_is_reset_in_its_window(three: Any) -> None:
    """Its guests were lost with it, and nobody else's; the next run ends the work."""
    for argv in (("pmxcfs", "-l"), ("rm", "-f", "/etc/corosync/corosync.conf")):
        three.set("own-link")
        before = corosync(three)
        three.control.fault("power_cycle", when="after", argv=argv, node="pve3")
        status, said = three.typed(*LINE)
        assert three.control.faults_fired() and status in (1, 3), said[-3000:]
        status, said = three.typed(*LINE)
        assert status == 0, said[-3000:]
        state = three.control.state()
        assert state["pve3"].standalone and all(state[n].quorate for n in STAY)
        assert corosync(three) == before
        assert three.lost("pve3") == []


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
