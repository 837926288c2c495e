"""Shapes that somebody left behind on the way out of the cluster: the runbook recognises them and goes on."""

from __future__ import annotations

import json

from pve_lab.model.cluster import Cluster
from pve_lab.model.node import Node
from pve_lab.shapes import broken, leave_by_vendors_way, let_in, nodes_of


def _first(cluster: Cluster) -> Node:
    return nodes_of(cluster)[0]


def _stopped(cluster: Cluster) -> Node:
    """pve1, its pve-cluster and corosync stopped."""
    node = _first(cluster)
    node.units.stop("pve-cluster")
    node.units.stop("corosync")
    return node


def corosync_removed_by_hand(cluster: Cluster) -> None:
    """The article's first mistake, on every node: corosync stopped and disabled, /etc/corosync emptied."""
    broken(cluster)
    for node in nodes_of(cluster):
        node.units.stop("corosync")
        node.units.set_enabled("corosync", enabled=False)
        for name in node.files.names("/etc/corosync"):
            node.files.discard(f"/etc/corosync/{name}")
    cluster.clock.advance(10.0)


def local_mode(cluster: Cluster) -> None:
    """pve1: pve-cluster and corosync stopped, pmxcfs -l started by hand."""
    broken(cluster)
    _stopped(cluster).pmxcfs.start(("pmxcfs", "-l"))
    cluster.clock.advance(5.0)


def hand_started_pmxcfs(cluster: Cluster) -> None:
    """pve1: pve-cluster stopped, pmxcfs started by hand, in cluster mode."""
    broken(cluster)
    node = _first(cluster)
    node.units.stop("pve-cluster")
    node.pmxcfs.start(("pmxcfs",))
    cluster.clock.advance(5.0)


def unmounted(cluster: Cluster) -> None:
    """pve1: pve-cluster and corosync stopped. The key is let in by authorized_keys2."""
    broken(cluster)
    let_in(_first(cluster))
    _stopped(cluster)


def standalone_corosync_running(cluster: Cluster) -> None:
    """pve1 lost its power in the window: corosync.conf is out of its database, /etc/corosync is still there."""
    broken(cluster)
    node = _stopped(cluster)
    node.pmxcfs.start(("pmxcfs", "-l"))
    node.pmxcfs.remove("corosync.conf")
    node.power_cycle()
    cluster.clock.advance(60.0)


def leftovers(cluster: Cluster) -> None:
    """Every node has left; the authkey, corosync's ring ids and HA's files were forgotten."""
    nodes = nodes_of(cluster)
    resources = "".join(f"vm: {min(node.guests.running)}\n\tstate started\n\n" for node in nodes[:3])
    status = {
        "master_node": nodes[-1].name,
        "node_status": {node.name: "online" for node in nodes},
        "service_status": {},
        "timestamp": int(cluster.clock.wall),
    }
    _first(cluster).pmxcfs.write("ha/resources.cfg", resources.encode())
    _first(cluster).pmxcfs.write("ha/manager_status", json.dumps(status, separators=(",", ":")).encode())
    broken(cluster)
    for number, node in enumerate(nodes):
        leave_by_vendors_way(node, keep=("/etc/corosync/authkey", f"/var/lib/corosync/ringid_{number + 1}"))
    cluster.clock.advance(30.0)
