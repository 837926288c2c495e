"""The windows of phase 4: what is read again before each, in which order nodes leave, and the way back within one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bench_run import RUN, BenchRun, MakeRun, phase
from pve_lab.faults import Fault
from pve_runbook.cluster.node import Node
from pve_runbook.facts.node_state import NodeState
from pve_runbook.procedure.stages import PMXCFS_BACK, WINDOW, in_turn
from pve_runbook.procedure.window import WindowFailed
from pve_runbook.procedure.window_preconditions import window_obstacle

PHASE = phase("phase4_corosync")


@pytest.fixture
def run(make_run: MakeRun) -> BenchRun:
    """A broken cluster that is frozen; pve2 is the authority."""
    run = make_run("broken")
    run.freeze("pve2")
    return run


def obstacle(run: BenchRun, leaver: Node) -> str:
    """What the gate before the window says of facts that are read for it; "" when it passes."""
    run.cluster.forget()
    try:
        PHASE.test_nothing_stands_in_the_way(leaver, run.cluster, run.members, run.survival)
    except AssertionError as refused:
        return str(refused)
    return ""


# what another hand does to which node, in which words the gate stops, what undoes it
ANOTHER_HAND = [
    (
        *("pve3", "systemctl unmask --runtime corosync; systemctl start corosync"),
        "pve3: corosync is active and enabled; it was stopped and masked.",
        "systemctl stop corosync; systemctl mask --runtime corosync",
    ),
    (
        *("pve3", "systemctl unmask --runtime corosync"),
        "pve3: corosync is inactive and enabled; it was stopped and masked.",
        "systemctl mask --runtime corosync",
    ),
    (
        *("pve3", "systemctl enable --now pve-ha-crm.service"),
        "pve3: pve-ha-crm.service is active and enabled again.",
        "systemctl disable --now pve-ha-crm.service",
    ),
    (
        *("pve2", "systemctl enable pve-ha-lrm.service"),
        "pve2: pve-ha-lrm.service is inactive and enabled again.",
        "systemctl disable pve-ha-lrm.service",
    ),
    (
        *("pve3", "mkdir /run/watchdog-mux.active"),
        "pve3: a watchdog client is active again.",
        "rmdir /run/watchdog-mux.active",
    ),
    (
        *("pve3", "systemctl unmask --runtime pvescheduler; systemctl start pvescheduler"),
        "pve3: the scheduler runs again.",
        "systemctl stop pvescheduler; systemctl mask --runtime pvescheduler",
    ),
    (
        *("LEAVER", "cp -p /etc/hosts /root/hosts; printf '10.9.9.9 other\\n' >> /etc/hosts"),
        "LEAVER: /etc/hosts changed since the baseline.",
        "cp -p /root/hosts /etc/hosts",
    ),
    (
        *("LEAVER", "cp /etc/network/interfaces /etc/network/interfaces.new"),
        "LEAVER: /etc/network/interfaces.new changed since the baseline.",
        "rm /etc/network/interfaces.new",
    ),
    (
        *("LEAVER", "mkdir -p /usr/local/lib/systemd/network; touch /usr/local/lib/systemd/network/50-pve-nic0.link"),
        "LEAVER: /usr/local/lib/systemd/network/50-pve-nic0.link changed since the baseline.",
        "rm /usr/local/lib/systemd/network/50-pve-nic0.link",
    ),
]


def another_hand(run: BenchRun, leaver: Node, refuses: Callable[[], str]) -> None:
    """Let each strike, see that it is refused in its words, and undo it."""
    for where, command, words, undo in ANOTHER_HAND:
        node, said = (text.replace("LEAVER", leaver.name) for text in (where, words))
        assert run.bench.run(node, command).exit_status == 0, command
        assert refuses().startswith(said), command
        assert run.bench.run(node, undo).exit_status == 0, undo
    assert obstacle(run, leaver) == ""


def test_what_came_back_after_the_first_window_stops_the_next(run: BenchRun) -> None:
    first, second, _ = run.members.leaving
    assert obstacle(run, first) == ""
    run.leave(first)
    [(node, command, said, undo), *_] = ANOTHER_HAND
    assert run.bench.run(node, command).exit_status == 0
    with pytest.raises(AssertionError, match=said):  # what was known before the first window counts no more
        PHASE.test_nothing_stands_in_the_way(second, run.cluster, run.members, run.survival)
    assert run.bench.run(node, undo).exit_status == 0
    another_hand(run, second, lambda: obstacle(run, second))


def test_the_authority_leaves_last_and_nobody_waits_for_a_silent_corosync_on_it_or_on_who_left(run: BenchRun) -> None:
    assert [n.name for n in run.members.leaving] == ["pve1", "pve3", "pve2"]
    assert in_turn(WINDOW, ["pve1", "pve2", "pve3"], run.work()) == ["pve1", "pve3", "pve2"]
    for leaver in run.members.leaving:
        assert obstacle(run, leaver) == ""
        run.leave(leaver)
    assert run.survival.losses(4) == "" and run.survival.interrupted == []


def test_what_came_back_while_the_operator_was_asked_stops_the_window(run: BenchRun) -> None:
    """The gate had passed; the answer took its time, and ended what was known."""
    leaver = run.cluster.node("pve1")
    assert obstacle(run, leaver) == ""

    def refused() -> str:
        run.cluster.forget()
        with pytest.raises(AssertionError) as why:
            run.leave(leaver)
        return str(why.value)

    another_hand(run, leaver, refused)
    assert leaver.facts.state is NodeState.COROSYNC_DOWN
    run.leave(leaver)
    assert leaver.facts.state is NodeState.STANDALONE


def test_a_task_that_began_meanwhile_stops_the_window(run: BenchRun) -> None:
    """A backup, of which the node's list of active tasks knows."""
    leaver = run.members.leaving[0]
    run.bench.cluster.nodes[leaver.name].tasks.begin("vzdump", "101")
    assert obstacle(run, leaver).startswith(f"{leaver.name}: a task is running: vzdump 101.")


def test_a_name_that_has_come_to_lie_on_loopback_stops_the_window(run: BenchRun) -> None:
    leaver = run.members.leaving[0]
    assert run.bench.run(leaver.name, f"echo 127.0.1.1 {leaver.name} > /etc/hosts").exit_status == 0
    run.cluster.forget()
    as_now = leaver.facts.network_files
    assert window_obstacle(leaver, run.cluster.nodes, run.members.authority, as_now).startswith(
        f"{leaver.name}: its own name resolves to loopback only."
    )


# --- one window by itself


@pytest.fixture
def begun(make_run: MakeRun) -> BenchRun:
    """A broken cluster of two that is frozen; pve2 is the authority."""
    run = make_run("broken", 2)
    run.freeze("pve2")
    return run


def test_a_node_that_has_something_of_corosync_left_is_not_standalone(begun: BenchRun) -> None:
    node = begun.cluster.node("pve1")
    begun.leave(node)
    PHASE.test_node_leaves(node, None)
    PHASE.test_node_is_standalone(node)
    assert begun.bench.run("pve1", "touch /var/lib/corosync/ringid_1").exit_status == 0
    begun.cluster.forget()
    with pytest.raises(AssertionError, match=r"left: /var/lib/corosync/ringid_1\.\n"):
        PHASE.test_node_is_standalone(node)


def test_a_guest_that_ends_within_a_window_stops_the_run_after_it(begun: BenchRun) -> None:
    kill = Fault("run", argv=("pmxcfs", "-l"), command="kill -9 $(cat /run/qemu-server/101.pid)")
    begun.bench.site.faults.arm(kill)
    with pytest.raises(AssertionError, match="101"):
        begun.leave(begun.cluster.node("pve1"))
    assert begun.survival.interrupted == [101]


FAILING = [
    ("systemctl", "stop", "pve-cluster.service"),
    ("cp", "-p", "/var/lib/pve-cluster/config.db"),
    ("pmxcfs", "-l"),
    ("rm", "-f", "/etc/pve/corosync.conf"),
    ("rm", "-f", "/etc/corosync/corosync.conf"),
    ("rm", "-rf", "/etc/corosync/qdevice"),
]
"""Commands of the window up to its point of no return."""


def test_a_window_that_fails_puts_the_node_back_as_it_was(begun: BenchRun) -> None:
    node = begun.cluster.node("pve1")
    before = is_now(node)
    for number, argv in enumerate(FAILING):
        begun.cluster.attempt = f"{RUN}-{number}"
        begun.bench.site.faults.arm(Fault("fail", argv=argv, node=node.name))
        with pytest.raises(WindowFailed, match=r"put the node back: it is the cluster member it was\."):
            begun.leave(node)
        assert len(begun.bench.site.faults.fired) == number + 1
        assert is_now(node) == before, argv
    with pytest.raises(AssertionError, match="The next start of pve-cluster would make it a member again"):
        PHASE.test_node_leaves(node, None)
    assert begun.survival.losses(4) == ""
    begun.cluster.attempt = f"{RUN}-last"
    begun.leave(node)
    assert node.facts.state is NodeState.STANDALONE


def test_a_window_that_fails_gives_the_authority_its_corosync_back(begun: BenchRun) -> None:
    """It has no mask to keep: its corosync ran."""
    node = begun.cluster.node("pve2")
    assert node.facts.is_quorate
    begun.bench.site.faults.arm(Fault("fail", argv=("rm", "-f", "/etc/pve/corosync.conf"), node=node.name))
    with pytest.raises(WindowFailed, match=r"put the node back: it is the cluster member it was\."):
        begun.leave(node)
    corosync = node.facts.corosync
    assert (corosync.active, corosync.file_state) == ("active", "enabled")


def is_now(node: Node) -> dict[str, object]:
    """What a window may not leave changed on a node that did not leave."""
    facts = node.facts
    return {
        "state": facts.state,
        "database": facts.tree,
        "corosync": (facts.conf_in_database, facts.conf_in_etc, facts.authkey),
        "mounts": len(facts.pve_mounts),
        "units": {name: (unit.active, unit.file_state) for name, unit in facts.units.items()},
    }


def test_past_the_point_of_no_return_a_failure_is_said_to_go_forward(begun: BenchRun) -> None:
    node = begun.cluster.node("pve1")
    begun.bench.site.faults.arm(Fault("fail", argv=("systemctl", "disable", "corosync.service"), node=node.name))
    with pytest.raises(WindowFailed, match=r"There is no way back from here but forward\."):
        begun.leave(node)
    assert not node.facts.has_corosync_conf_in_database and node.facts.is_writable


def test_a_window_that_was_killed_leaves_a_mask_and_the_next_run_takes_it_away(begun: BenchRun) -> None:
    """Nothing but a boot does so by itself."""
    node = begun.cluster.node("pve1")
    assert begun.bench.run("pve1", "systemctl stop pve-cluster; systemctl mask --runtime pve-cluster").exit_status == 0
    begun.cluster.forget()
    assert node.facts.state is NodeState.UNMOUNTED
    begun.perform(PMXCFS_BACK)
    assert node.facts.state is NodeState.COROSYNC_DOWN
    unit = node.facts.units["pve-cluster.service"]
    assert unit.is_active and not unit.is_masked
    begun.leave(node)
    assert node.facts.state is NodeState.STANDALONE
