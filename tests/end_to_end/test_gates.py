"""Every gate can fail: another hand changes a node after one of our commands, and the step that reads it says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.sweep

MASK_SCHEDULER = ("systemctl", "mask", "--runtime", "pvescheduler.service")
DISABLE_LRM = ("systemctl", "disable", "pve-ha-lrm.service")
DISABLE_CRM = ("systemctl", "disable", "pve-ha-crm.service")
MASK_COROSYNC = ("systemctl", "mask", "--runtime", "corosync.service")
LEFT = ("systemctl", "disable", "corosync.service")
RESTARTED = ("systemctl", "restart", "pvedaemon.service")
DESTROYED = ("qm", "destroy")
SCHEDULER_STARTED = ("systemctl", "start", "pvescheduler.service")
RELEASED = ("rm", "-f", "/var/lib/pve-runbook/lock")

# node, the command after which the other hand strikes there, what it types, the step that has to notice
CASES = {
    "scheduler": (
        *("pve2", MASK_SCHEDULER, "systemctl unmask --runtime pvescheduler; systemctl start pvescheduler"),
        "Neither backups nor replication start any more.",
    ),
    "lrm": (
        *("pve2", DISABLE_LRM, "systemctl enable pve-ha-lrm.service"),
        "The local resource manager is stopped and stays off after a boot.",
    ),
    "crm": (
        *("pve3", DISABLE_CRM, "systemctl enable pve-ha-crm.service"),
        "The cluster resource manager is stopped and stays off after a boot.",
    ),
    "guest killed": (
        *("pve3", DISABLE_CRM, "kill -9 $(cat /run/qemu-server/301.pid)"),
        "Every guest runs on: same process, same config; no node was rebooted.",
    ),
    "scheduler again": (
        *("pve3", DISABLE_CRM, "systemctl unmask --runtime pvescheduler; systemctl start pvescheduler"),
        "No scheduler runs, and none waits for quorum.",
    ),
    "corosync again": (
        *("pve1", MASK_COROSYNC, "systemctl unmask --runtime corosync"),
        "Corosync is stopped and masked on every peer.",
    ),
    "volume gone": (
        *("pve3", MASK_COROSYNC, "rm -f /var/lib/vz/images/303/*"),
        "Every guest runs on: same process, same config; no node was rebooted.",
    ),
    "ha again": (
        *("pve1", LEFT, "systemctl enable --now pve-ha-crm.service"),
        "HA is off, nothing moves, the peers are silent, and this node's name and network, live too, are as they were.",
    ),
    "network changed": (
        *("pve3", MASK_COROSYNC, "printf '10.9.9.9 other\\n' >> /etc/hosts"),
        "HA is off, nothing moves, the peers are silent, and this node's name and network, live too, are as they were.",
    ),
    "leftover": (
        *("pve1", LEFT, "touch /var/lib/corosync/ringid_1"),
        "The node is standalone: nothing of corosync is left that could act.",
    ),
    "service": (
        *("pve2", RESTARTED, "systemctl stop pvestatd"),
        "pve-cluster, pvedaemon, pveproxy and pvestatd are active.",
    ),
    "corosync enabled": (
        *("pve2", RESTARTED, "systemctl enable corosync.service"),
        "Corosync is stopped, disabled, without configuration, and nothing listens on its ports.",
    ),
    "ha enabled": (
        *("pve2", RESTARTED, "systemctl enable pve-ha-lrm.service"),
        "HA is off and disabled, and none of its files is left to act on.",
    ),
    "config changed": (
        *("pve3", DESTROYED, "printf 'description: x\\n' >> /etc/pve/nodes/pve3/qemu-server/301.conf"),
        "Every guest runs on: same process, same config; no node was rebooted.",
    ),
    "scheduler stopped": (
        *("pve3", SCHEDULER_STARTED, "systemctl stop pvescheduler"),
        "The schedulers that ran before the first change run again.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_gate_notices_what_another_hand_changed(
    start_lab: Callable[..., Any], run: Callable[..., Any], name: str
) -> None:
    node, after, command, title = CASES[name]
    lab = start_lab()
    lab.control.fault("run", when="after", argv=after, node=node, command=command)
    ran = run("runbook/", *lab.options, "--approve=all")
    assert lab.control.faults_fired(), "the other hand never struck"
    assert ran.status == 1, ran.text
    assert [t for t, _ in ran.failed()] == [title]


@pytest.mark.parametrize(
    "scenario",
    [
        "corosync-removed-by-hand",
        "local-mode",
        "hand-started-pmxcfs",
        "unmounted",
        "leftovers",
    ],
)
def test_a_state_that_a_person_left_is_taken_over(
    start_lab: Callable[..., Any], run: Callable[..., Any], scenario: str
) -> None:
    lab = start_lab(scenario)
    ran = run("runbook/", *lab.options, "--approve=all")
    assert ran.status == 0, ran.text
    assert all(n.standalone and n.mode == "standalone" for n in lab.control.state().values())
    assert lab.changed_guests() == {}
