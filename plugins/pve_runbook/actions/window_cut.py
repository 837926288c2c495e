"""What brings a node back whose window was cut short, while the machine itself ran on."""

from __future__ import annotations

from pve_runbook.actions.action import ActionTemplate

UNMASK_PVE_CLUSTER = ActionTemplate(
    "unmask-pve-cluster",
    ("systemctl", "unmask", "--runtime", "pve-cluster.service"),
    why="a window that was cut short left its mask: pve-cluster could not be started",
    undo="systemctl mask --runtime pve-cluster.service",
    repeatable=True,
    timeout=60,
    detached=True,
)
ACTIONS = (UNMASK_PVE_CLUSTER,)
