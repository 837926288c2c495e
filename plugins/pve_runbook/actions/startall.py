"""The start of all guests after a boot: held while it waits for quorum, and let go once its node has left.

`systemctl stop` cannot hold it: the unit refuses it, and its ExecStop would stop all guests (pve-manager,
pve-guests.service). A signal reaches the worker, which only waits: it looks once a second whether there is quorum
(PVE/API2/Nodes.pm, startall).
"""

from __future__ import annotations

from pve_runbook.actions.action import ActionTemplate
from pve_runbook.probes.start_jobs import GUESTS

LET_GO = f"systemctl kill --signal=SIGCONT {GUESTS}"
"""As a person types it."""

HOLD = ActionTemplate(
    "hold-startall",
    ("systemctl", "kill", "--signal=SIGSTOP", GUESTS),
    why="the start of all guests waits for quorum, and local mode gives it some a second before its pmxcfs is ended: "
    "a guest that is just starting would lose its config",
    undo=f"{LET_GO} (it waits for quorum again, and starts the guests once there is some)",
    repeatable=True,
    timeout=60,
    detached=False,
)
RELEASE = ActionTemplate(
    "release-startall",
    tuple(LET_GO.split()),
    why="the node has left, and has /etc/pve for good: the start of all guests, which was held, goes on",
    undo="none: a guest that should not run is shut down (qm shutdown, pct shutdown)",
    repeatable=True,
    timeout=60,
    detached=False,
)
ACTIONS = (HOLD, RELEASE)
