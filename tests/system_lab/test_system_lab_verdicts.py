"""What checks/ judge of real corosync, and that a run leaves a cluster alone in which a majority is quorate.

A run is given no reason here: it sends nothing, by what each node itself has of it.
"""

from __future__ import annotations

from typing import Any

import pytest
from pve_system_lab import network
from pve_system_lab.cluster import READY, pve_mode
from pve_system_lab.errors import until
from pve_system_lab.faults import heal, strike
from ran import Ran
from system_lab_stage import standalone
from untouched import Watch

pytestmark = pytest.mark.syslab

QUIET = 360
"""Seconds: a minute more than a cluster is waited for."""
FLAPS = 3
SEEN = 300
"""Seconds until corosync must have lost members so often: a flap takes 40."""
LOST = "Failed to receive the leave message"
"""What every node says of a member that is gone; that the token was lost is said by those alone that wait for it."""
MAJORITY = "No majority is quorate together, or the operator said why the cluster is taken apart anyway."
MEMBERS = "--hosts names every member of the cluster, and nobody else."
NOT_REACHED = "not every node was reached; nothing was changed on any."


def judged(stage: Any, *more: str, ends: int = 1) -> str:
    """The verdict of checks/, with its evidence; nothing in it contradicts itself."""
    status, said = stage.run("checks/", *more)
    assert status == ends, said[-4000:]
    found = Ran(stage).verdict()
    assert "does not fit together" not in found, found
    return found


def sent(stage: Any, *off: str) -> list[str]:
    """What the nodes' own journals have of a run's actions: each of them is a unit."""
    units = ("--unit=pve-runbook-*", "--output=cat", "--quiet", "--no-pager")
    nodes = (c for c in stage.lab.each() if c.node.name not in off)
    return [f"{c.node.name}: {line}" for c in nodes for line in c.says("journalctl", *units).splitlines()]


def left_alone(stage: Any, *more: str, off: tuple[str, ...] = (), stops_at: str = MAJORITY) -> None:
    """A run with every approval stops at that step, or reaches not all nodes; no file, unit or process of a node is
    another, no guest either."""
    guests = stage.guests()
    watch = Watch(stage, *off)
    status, said = stage.run("runbook/", "--approve=all", *more)
    if stops_at == NOT_REACHED:
        assert status == 4 and NOT_REACHED in said, said[-4000:]
    else:
        assert status == 1, said[-4000:]
        assert [title for _, title in Ran(stage).bad()] == [stops_at]
    assert watch.differences() == []
    assert sent(stage, *off) == []
    assert stage.guests() == guests


def cut_off(stage: Any, node: str) -> None:
    """The node's cluster link is cut, and it has noticed."""
    container = stage.lab.containers[node]
    strike("partition", container)
    until(lambda: pve_mode(container) == "555", READY, f"{node} keeps its quorum")


def test_a_link_is_cut(stage: Any) -> None:
    """Two of three are quorate: it is one node's link that is looked at."""
    stage.set("quorate")
    cut_off(stage, "pve3")
    found = judged(stage)
    assert found.startswith("REPAIR IN PLACE: the others see each other and not pve3: look at its link"), found
    left_alone(stage)


def test_a_node_is_off(stage: Any) -> None:
    """The others work without it, whether --hosts still names it, leaves it out, or --absent names it."""
    stage.set("quorate")
    pve3 = stage.lab.containers["pve3"]
    pve3.power_off()
    strike("link-down", pve3)  # its addresses are this machine's, and would go on to answer
    for node in ("pve1", "pve2"):
        container = stage.lab.containers[node]
        until(lambda c=container: LOST in corosync(c), READY, f"{node} does not notice")
    without = "--hosts=pve1,pve2"
    for more, ends, stops_at in (
        ((), 4, NOT_REACHED),
        ((without,), 1, MEMBERS),
        ((without, "--absent=pve3"), 1, MAJORITY),
    ):
        found = judged(stage, *more, ends=ends)
        assert found.startswith("HEALTHY WITHOUT A MEMBER: the cluster works without pve3"), found
        left_alone(stage, *more, off=("pve3",), stops_at=stops_at)


@pytest.mark.parametrize("how", ["stopped", "failed"])
def test_pve_cluster_does_not_run(stage: Any, how: str) -> None:
    """The others are quorate: the one service is started again, and what it said is named."""
    stage.set("quorate")
    pve3 = stage.lab.containers["pve3"]
    pve3.run("cp", "/etc/pve/priv/authorized_keys", "/root/.ssh/authorized_keys2")  # the other key file is in /etc/pve
    if how == "failed":
        pve3.run("sed", "-i", "/pve3/d", "/etc/hosts")
        assert pve3.run("systemctl", "restart", "pve-cluster").returncode != 0
    else:
        pve3.run("systemctl", "stop", "pve-cluster")
    found = judged(stage)
    by_name = "REPAIR IN PLACE: write pve3's own name with its address into /etc/hosts there"
    assert found.startswith(by_name if how == "failed" else "REPAIR IN PLACE: see why on pve3"), found
    left_alone(stage)


def test_pve_cluster_does_not_run_and_nobody_gets_in(stage: Any) -> None:
    """The key is in /etc/pve: what the others know of the node is enough, and no run begins."""
    stage.set("quorate")
    stage.lab.containers["pve3"].run("systemctl", "stop", "pve-cluster")
    found = judged(stage, ends=4)
    assert found.startswith("REPAIR IN PLACE: see why on pve3"), found
    left_alone(stage, off=("pve3",), stops_at=NOT_REACHED)
    without = ("--hosts=pve1,pve2", "--absent=pve3")
    found = judged(stage, *without)
    assert found.startswith("REPAIR IN PLACE: see why on pve3"), found
    left_alone(stage, *without, off=("pve3",))


def test_a_token_was_lost(stage: Any) -> None:
    """Cut for some seconds and whole again: to be waited for at first, healthy once it held for five minutes."""
    stage.set("quorate")
    cut_off(stage, "pve3")
    heal("partition", stage.lab.containers["pve3"])
    stage.lab.wait_quorate()
    found = judged(stage)
    assert found.startswith("WAIT: "), found
    stage.lab.is_earlier(QUIET)
    found = judged(stage, ends=0)
    assert found.startswith("HEALTHY: ") and "the token was lost" in found, found
    left_alone(stage)


def test_all_were_just_started(stage: Any) -> None:
    """Every node's corosync was restarted a moment ago."""
    stage.set("quorate")
    for container in stage.lab.each():
        container.run("systemctl", "restart", "corosync")
    stage.lab.wait_quorate()
    found = judged(stage)
    assert found.startswith("WAIT: "), found
    left_alone(stage)


def test_the_link_comes_and_goes(stage: Any) -> None:
    """Dismantled while it flaps, and not once it holds again."""
    stage.set("flapping")
    for container in stage.lab.each():
        until(lambda c=container: corosync(c).count(LOST) >= FLAPS, SEEN, f"{container.node.name} does not flap")
    for _ in range(3):
        found = judged(stage)
        assert found.startswith("DISMANTLE: "), found
    stage.lab.end_flapping()
    network.whole()
    stage.lab.wait_quorate()
    stage.lab.is_earlier(QUIET)
    found = judged(stage)
    assert found.startswith("WAIT: "), found
    left_alone(stage)


def test_all_are_cut(stage: Any) -> None:
    """The nodes are taken apart, and their journals say so."""
    stage.set("broken")
    found = judged(stage)
    assert found.startswith("DISMANTLE: "), found
    status, said = stage.run("runbook/", "--approve=all")
    assert status == 0, said[-4000:]
    assert [c.node.name for c in stage.lab.each() if not standalone(c)] == []
    assert {line.partition(":")[0] for line in sent(stage)} == set(stage.lab.containers)


def corosync(container: Any) -> str:
    """What the node's corosync said."""
    return str(container.says("journalctl", "--unit=corosync.service", "--output=cat", "--quiet", "--no-pager"))
