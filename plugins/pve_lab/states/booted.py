"""Starting states in which a node was booted and had no quorum since."""

from __future__ import annotations

from pve_lab.model.version import PVE9
from pve_lab.scenario import Scenario
from pve_lab.shapes import booted

BOOTED: dict[str, Scenario] = {
    "sdn-pending": Scenario(
        "startall-waiting on Proxmox VE 9.1, SDN changes are pending on pve2, and an edit of its interfaces file",
        booted.sdn_pending,
        PVE9,
    ),
    "startall-queued": Scenario(
        "broken on Proxmox VE 9.1, pve2 was reset a minute ago: its guests' start is queued behind pveproxy's",
        booted.start_queued,
        PVE9,
    ),
    "ha-reset": Scenario("HA was active, and reset every node after quorum was lost: no guest runs", booted.ha_reset),
    "start-waits": Scenario(
        "startall-waiting, and a unit waits on pve2 of which nobody knows what it does", booted.start_waits
    ),
}
