"""Shapes in which a node was booted and had no quorum since: its boot is not over, and goes on once there is some."""

from __future__ import annotations

from pve_lab.model.cluster import Cluster
from pve_lab.model.network import INTERFACES
from pve_lab.model.units import Unit
from pve_lab.shapes import ha_quorate, nodes_of, reset_without_quorum, second, startall_waiting

EDIT = "\nauto vmbr7\niface vmbr7 inet static\n\taddress 10.77.0.12/24\n\tbridge-ports none\n"
"""What was written into /etc/network/interfaces of pve2, and not applied."""
ZONE = "simple: lan\n\tipam pve\n\n"
UNKNOWN = ("site-sync.service", "Copies what is in /etc/pve once it can be written", ("/usr/local/sbin/site-sync",))


def sdn_pending(cluster: Cluster) -> None:
    """pve2 was reset without quorum; an SDN zone is pending, and an edit of its interfaces file is not applied."""
    nodes_of(cluster)[0].pmxcfs.write("sdn/zones.cfg", ZONE.encode())
    startall_waiting(cluster)
    node = second(cluster)
    node.files.put(INTERFACES, node.files.text(INTERFACES) + EDIT)


def start_queued(cluster: Cluster) -> None:
    """pve2 was reset a minute ago without quorum: the start of its guests is queued behind pveproxy's."""
    reset_without_quorum(cluster, 60.0)


def ha_reset(cluster: Cluster) -> None:
    """HA was active when every node lost quorum: it reset them all, and no guest runs."""
    ha_quorate(cluster)
    cluster.isolate()
    cluster.clock.advance(600.0)


def start_waits(cluster: Cluster) -> None:
    """pve2 was reset without quorum, and a unit of this site's own waits there, of which nobody knows what it does."""
    startall_waiting(cluster)
    units = second(cluster).units
    unit = units.table[UNKNOWN[0]] = Unit(*UNKNOWN)
    unit.active, unit.sub = "activating", "start"
    units.queue_job(unit, "running")
