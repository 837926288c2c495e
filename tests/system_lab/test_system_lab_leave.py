"""--leave on real corosync: the others' corosync is never started anew, and their membership shrinks by one."""

from __future__ import annotations

from typing import Any

import pytest
from pve_system_lab.cluster import READY
from pve_system_lab.errors import until
from pve_system_lab.faults import strike
from system_lab_stage import standalone

pytestmark = pytest.mark.syslab

STAY = ("pve1", "pve2")


def corosync(stage: Any) -> dict[str, str]:
    """The process of corosync on those that stay."""
    return {name: stage.lab.containers[name].says("pgrep", "-x", "corosync") for name in STAY}


def left(stage: Any, before: dict[str, str]) -> None:
    """Those that stay are a quorate cluster of two, with the corosync that they had."""
    for name in STAY:
        container = stage.lab.containers[name]
        status = container.says("pvecm", "status")
        assert (
            "Expected votes:   2\n" in status
            and "Total votes:      2\n" in status
            and "Quorate:          Yes" in status
        )
        assert "pve3" not in container.says("pvecm", "nodes")
        assert "pve3" not in container.says("cat", "/etc/pve/.members")
        assert container.run("touch", "/etc/pve/probe").returncode == 0
    assert corosync(stage) == before


def test_one_that_is_up_leaves(stage: Any) -> None:
    """It is standalone, and every guest of all three runs on."""
    stage.set("quorate")
    before, guests = corosync(stage), stage.guests()
    status, said = stage.run("runbook/", "--approve=all", "--leave=pve3")
    assert status == 0, said[-4000:]
    assert standalone(stage.lab.containers["pve3"])
    left(stage, before)
    assert stage.guests() == guests


def test_one_that_is_off_is_let_go(stage: Any) -> None:
    """Nothing is done but on the others."""
    stage.set("quorate")
    pve3 = stage.lab.containers["pve3"]
    pve3.power_off()
    strike("link-down", pve3)  # its addresses are this machine's, and would go on to answer
    for name in STAY:
        container = stage.lab.containers[name]
        until(
            lambda c=container: "Total votes:      2\n" in c.says("pvecm", "status"), READY, f"{name} does not notice"
        )
    before, guests = corosync(stage), stage.guests()
    line = ("--hosts=pve1,pve2", "--leave=pve3", "--absent=pve3")
    status, said = stage.run("runbook/", "--approve=all", *line)
    assert status == 0, said[-4000:]
    left(stage, before)
    assert stage.guests() == guests
