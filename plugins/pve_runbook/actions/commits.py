"""What is stopped because it waits for quorum and would then change the node's network (recorded on PVE 9.1).

`systemctl stop` ends both: they do nothing but wait until then, and have no command of their own for a stop.
"""

from __future__ import annotations

from pve_runbook.actions.action import ActionTemplate
from pve_runbook.probes.start_jobs import FIREWALL_COMMIT, SDN_COMMIT


def _stop(name: str, unit: str, why: str) -> ActionTemplate:
    return ActionTemplate(
        name,
        ("systemctl", "stop", unit),
        why=why,
        undo=f"systemctl start --no-block {unit} (it waits for quorum again; what is pending is untouched)",
        repeatable=True,
        timeout=60,
        detached=True,
    )


STOP_SDN_COMMIT = _stop(
    "stop-sdn-commit",
    SDN_COMMIT,
    "it waits for quorum: granted, it commits the pending SDN changes and reloads the network with `ifreload -a` under "
    "running guests, and with it whatever was edited in /etc/network/interfaces",
)
STOP_FIREWALL_COMMIT = _stop(
    "stop-firewall-commit",
    FIREWALL_COMMIT,
    "it waits for quorum: granted, it applies the pending changes of the host's firewall",
)
ACTIONS = (STOP_SDN_COMMIT, STOP_FIREWALL_COMMIT)
