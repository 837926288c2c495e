"""Faults that only a real system has: a disk that is full or failing, a mount that hangs, packets that get lost.

Where the embedded lab has a starting state of that kind, the verdict is the same one (tests/end_to_end/test_refusals.py
and test_one_timeout.py).
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from pve_system_lab import network, truth
from pve_system_lab.cluster import READY, pve_mode
from pve_system_lab.errors import SystemLabError, host, until
from pve_system_lab.faults import FAULTS, heal, strike
from ran import Ran
from strikes import in_window, intent, strike_when
from system_lab_stage import standalone

pytestmark = pytest.mark.syslab

SPACE = "There is space for a backup and for the database."
STORAGES = (
    "The storages of this node's guests are active and writable, or the operator accepted that they do not answer."
)
SPLIT = "No part of the cluster has quorum while another has none."
ANSWERS = "Every mounted storage over the network answers."
WRITABLE = "No storage of files is mounted read-only."
LOGS = "var/log/"
"""What every login writes."""


def files(stage: Any) -> dict[str, dict[str, str]]:
    """Every file of every node, but the logs."""
    found = {c.node.name: truth.files(c) for c in stage.lab.each()}
    return {name: {p: what for p, what in own.items() if not p.startswith(LOGS)} for name, own in found.items()}


def refused(stage: Any, title: str, *words: str) -> None:
    """A run ends with 1, one step failed, its three lines hold the words, and no node has another file than before."""
    before = files(stage)
    status, said = stage.run("runbook/", "--approve=all", "--anyway=a test of what comes after the verdict")
    assert status == 1, said[-4000:]
    ran = Ran(stage)
    assert [t for _, t in ran.bad()] == [title]
    message = ran.message(title)
    assert len(message.splitlines()) == 3 and all(w in message for w in words), message
    assert files(stage) == before
    assert stage.guests() == stage.before


def ends(stage: Any) -> None:
    """A run ends with 0, every node is standalone, every guest is the same process."""
    status, said = stage.run("runbook/", "--approve=all")
    assert status == 0, said[-4000:]
    assert [c.node.name for c in stage.lab.each() if not standalone(c)] == []
    assert stage.guests() == stage.before


def during(stage: Any, action: str, fault: str, *more: str) -> tuple[int, str, Any]:
    """A fault strikes the node that a run is about to send the action to; its exit status, what it said, the node."""
    run = stage.start("runbook/", "--approve=all", *more)
    struck: list[Any] = []

    def befalls() -> None:
        struck.append(stage.lab.containers[intent(stage, action)])
        strike(fault, struck[0])

    assert strike_when(run, lambda: intent(stage, action) is not None, befalls)
    said, _ = run.communicate(timeout=900)
    return run.returncode, said, struck[0]


@pytest.fixture
def pair(stages: Any) -> Any:
    """A lab of two nodes, broken."""
    stage = stages.of(2)
    stage.set("broken")
    return stage


def test_a_nas_that_hangs(stage: Any) -> None:
    """checks/ wait for one timeout, once; beside what was bad before there is what hangs, by node and storage. A run is
    not begun, and the node is switched off all the same."""
    stage.set("quorate")
    stage.run("checks/")
    well = Ran(stage)
    pve2 = stage.lab.containers["pve2"]
    strike("hung-nas", pve2)
    status, said = stage.run("checks/")
    ran = Ran(stage)
    assert status == 1, said[-4000:]
    assert (well.waited(), ran.waited()) == ([], ["pve2"])
    assert ran.bad() == {**well.bad(), ("pve2", ANSWERS): "failed"}  # its guest has its disk open
    assert "pve2: nas: no look at /mnt/pve/nas ended within" in ran.message(ANSWERS)
    refused(stage, STORAGES, "pve2: storage trouble: nas is inactive", "--accept=volumes")
    began = time.monotonic()
    pve2.power_off()
    assert not pve2.pids() and time.monotonic() - began < 60


def test_a_nas_that_hung(pair: Any) -> None:
    """Once it answers again, the run that it held up is ended by the same command line."""
    pve2 = pair.lab.containers["pve2"]
    strike("hung-nas", pve2)
    status, said = pair.run("runbook/", "--approve=all")
    assert status == 1, said[-4000:]
    heal("hung-nas", pve2)
    ends(pair)


def test_a_full_disk(pair: Any) -> None:
    """Refused before the first change; with room again the run goes on from there."""
    pve2 = pair.lab.containers["pve2"]
    strike("disk-full", pve2)
    refused(pair, SPACE, "pve2: / has 0 MiB left")
    heal("disk-full", pve2)
    ends(pair)


def test_a_storage_that_failed(pair: Any) -> None:
    """A disk met an error: known for read-only by checks/, refused by the runbook."""
    strike("storage-readonly", pair.lab.containers["pve2"])
    status, said = pair.run("checks/")
    assert status == 1, said[-4000:]
    assert "pve2: disks: mounted read-only at /mnt/disks" in Ran(pair).message(WRITABLE)
    refused(pair, STORAGES, "pve2: storage trouble:", "disks", "mounted read-only at /mnt/disks")
    with pytest.raises(SystemLabError, match=r"storage-readonly is not healed: .* reset"):
        heal("storage-readonly", pair.lab.containers["pve2"])


def test_a_root_that_failed(pair: Any) -> None:
    """An overlay does not tell: the first change there fails, the run stops, and no node is left half way."""
    strike("root-readonly", pair.lab.containers["pve2"])
    status, said = pair.run("runbook/", "--approve=all")
    assert status in (1, 3), said[-4000:]
    assert "Read-only file system" in said, said[-4000:]
    assert [c.node.name for c in pair.lab.each() if not c.named("corosync")] == []
    assert pair.guests() == pair.before


def test_one_node_cut_off(stage: Any) -> None:
    """One member alone beside a quorate part: nothing is forced."""
    stage.set("quorate")
    pve1 = stage.lab.containers["pve1"]
    strike("partition", pve1)
    until(lambda: pve_mode(pve1) == "555", READY, "pve1 keeps its quorum")
    refused(stage, SPLIT, "pve2, pve3 have quorum together, pve1 has none")
    heal("partition", pve1)
    stage.lab.wait_quorate()


def test_packets_get_lost(pair: Any) -> None:
    """One in five, both ways: checks/ and runbook/ end with what they can see, and the next run ends the work."""
    pve2 = pair.lab.containers["pve2"]
    strike("loss", pve2)
    for suite in ("checks/", "runbook/"):
        status, said = pair.run(suite, *(["--approve=all"] if suite == "runbook/" else []))
        assert status in ((1,) if suite == "checks/" else (0, 1, 3)), said[-4000:]
        assert pair.guests() == pair.before
    heal("loss", pve2)
    ends(pair)


def test_packets_come_late(pair: Any) -> None:
    """300 ms: checks/ end as without. A kernel that cannot do it is told in one line."""
    pve2 = pair.lab.containers["pve2"]
    try:
        strike("delay", pve2)
    except SystemLabError as error:
        assert str(error) == "packets cannot be delayed here: this kernel has no netem (CONFIG_NET_SCH_NETEM)"
    else:
        status, said = pair.run("checks/")
        assert status == 1 and not Ran(pair).waited(), said[-4000:]


@pytest.mark.parametrize("fault", ["sshd-dead", "link-down"])
def test_no_way_in(pair: Any, fault: str) -> None:
    """A clear stop; with the way back the next run ends the work."""
    status, said, struck = during(pair, "put-window-script", fault, "-o", "pve_timeout_scale=0.2")
    assert status == 3, said[-4000:]
    heal(fault, struck)
    ends(pair)


def test_corosync_was_killed_before(pair: Any) -> None:
    """On both nodes: the run takes them from there."""
    for container in pair.lab.each():
        strike("corosync-dead", container)
    ends(pair)


def test_corosync_is_killed_in_the_window(pair: Any) -> None:
    """At the first command of the authority's window: until then it runs there. The window goes on to its end."""
    run = pair.start("runbook/", "--approve=all")

    def leaving() -> Any:
        first = "systemctl stop pve-cluster.service"
        return next((c for c in pair.lab.each() if in_window(c, first) and c.named("corosync")), None)

    assert strike_when(run, lambda: leaving() is not None, lambda: strike("corosync-dead", leaving()))
    said, _ = run.communicate(timeout=900)
    assert run.returncode == 0, said[-4000:]
    assert [c.node.name for c in pair.lab.each() if not standalone(c)] == []
    assert pair.guests() == pair.before


def test_a_reset_mends_it_all(pair: Any) -> None:
    """Whatever befell a node, and all at once: then all members have quorum, and all guests run."""
    pve2 = pair.lab.containers["pve2"]
    running, last = pair.before.keys(), ("frozen",)
    for fault in (*(f for f in FAULTS if f not in ("delay", "power-cycle", *last)), *last):
        strike(fault, pve2)
    pair.set("quorate")
    assert network.TABLE not in host("nft", "list", "tables", "bridge")
    assert pair.before.keys() == running
