"""What HA is told before it is stopped, where it knows the command (pve-ha-manager 5.1.3; recorded on PVE 9.1)."""

from __future__ import annotations

from pve_runbook.actions.action import ActionTemplate

DISARM_HA = ActionTemplate(
    "disarm-ha",
    ("ha-manager", "crm-command", "disarm-ha", "freeze"),
    why="on every node HA lets go of its watchdog and leaves its guests as they are; then nothing can reset a node "
    "while HA is stopped",
    undo="ha-manager crm-command arm-ha",
    repeatable=True,
    timeout=60,
    detached=True,
)
ACTIONS = (DISARM_HA,)
