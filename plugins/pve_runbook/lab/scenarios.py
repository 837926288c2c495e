"""Starting states of the lab: a name, a line that says what it is, a function that shapes the healthy cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from pve_runbook.lab.model.cluster import Cluster
from pve_runbook.lab.model.node import Node
from pve_runbook.lab.model.version import PVE7, PVE8, PVE9, Version

FLAP_UP, FLAP_DOWN = 12.0, 24.0
"""Seconds that a flapping link holds, and is down (recorded: 13 and 24)."""
ARMED_SINCE = 20.0
"""Seconds since the loss of quorum in ha-armed."""


@dataclass(frozen=True)
class Scenario:
    """One starting state."""

    line: str
    shape: Callable[[Cluster], None]
    version: Version = PVE8


def _nodes(cluster: Cluster) -> list[Node]:
    return list(cluster.nodes.values())


def _second(cluster: Cluster) -> Node:
    """pve2, or the only node."""
    return _nodes(cluster)[min(1, len(cluster.nodes) - 1)]


def quorate(cluster: Cluster) -> None:
    """As it was built."""


def broken(cluster: Cluster) -> None:
    """Every node alone; the time of a backup has passed meanwhile."""
    cluster.isolate()
    for node in _nodes(cluster):
        node.scheduler.overdue = True
    cluster.clock.advance(30.0)


def flapping(cluster: Cluster) -> None:
    """The cluster link comes and goes on the model's clock."""

    def down() -> None:
        cluster.isolate()
        cluster.clock.after(FLAP_DOWN, up)

    def up() -> None:
        cluster.heal()
        cluster.clock.after(FLAP_UP, down)

    down()
    cluster.clock.advance(3 * (FLAP_UP + FLAP_DOWN) + 5.0)


def heals_mid_run(cluster: Cluster) -> None:
    """Broken, until corosync is stopped somewhere for the first time: then the link is whole again."""
    broken(cluster)

    def heal() -> None:
        cluster.on_corosync_stop.remove(heal)
        cluster.heal()

    cluster.on_corosync_stop.append(heal)


def half_dismantled(cluster: Cluster) -> None:
    """What the article leaves behind when it is typed literally."""
    broken(cluster)
    for node in _nodes(cluster):
        node.units.stop("pve-ha-lrm")
        node.units.stop("pve-ha-crm")
    _nodes(cluster)[0].corosync.force_expected(1)
    for node in _nodes(cluster):
        node.units.stop("corosync")
        node.units.set_enabled("corosync", enabled=False)
        for directory in ("/etc/corosync", "/var/lib/corosync"):
            for name in node.files.names(directory):
                node.files.discard(f"{directory}/{name}")
    for node in _nodes(cluster):
        for name in ("pve-cluster", "pvedaemon", "pveproxy"):
            node.units.restart(name)
    cluster.clock.advance(60.0)


def standalone(cluster: Cluster) -> None:
    """Every node after the vendor's way."""
    broken(cluster)
    for node in _nodes(cluster):
        node.scheduler.overdue = False
        node.units.stop("pve-ha-lrm")
        node.units.stop("pve-ha-crm")
        node.units.set_enabled("pve-ha-lrm", enabled=False)
        node.units.set_enabled("pve-ha-crm", enabled=False)
        node.units.stop("pve-cluster")
        node.units.stop("corosync")
        node.pmxcfs.start(("pmxcfs", "-l"))
        node.pmxcfs.remove("corosync.conf")
        for path in ("/etc/corosync/corosync.conf", "/etc/corosync/authkey"):
            node.files.discard(path)
        for name in node.files.names("/var/lib/corosync"):
            node.files.discard(f"/var/lib/corosync/{name}")
        node.pmxcfs.end()
        node.units.start("pve-cluster")
        node.units.set_enabled("corosync", enabled=False)
    cluster.clock.advance(30.0)


def ha_quorate(cluster: Cluster) -> None:
    """One guest of each of the first three nodes under HA, all active, quorate."""
    nodes = _nodes(cluster)
    services = {f"vm:{min(node.guests.running)}": node.name for node in nodes[:3]}
    now = int(cluster.clock.wall)
    master = _second(cluster)
    resources = "".join(f"{sid.replace(':', ': ')}\n\tstate started\n\n" for sid in services)
    status = {
        "master_node": master.name,
        "node_status": {node.name: "online" for node in nodes},
        "service_status": {sid: {"node": owner, "state": "started", "uid": "lab"} for sid, owner in services.items()},
        "timestamp": now,
    }
    first = nodes[0].pmxcfs
    first.write("ha/resources.cfg", resources.encode())
    first.write("ha/manager_status", json.dumps(status, separators=(",", ":")).encode())
    for node in nodes:
        lrm = {"mode": "active", "results": {}, "state": "active", "timestamp": now}
        first.write(f"nodes/{node.name}/lrm_status", json.dumps(lrm, separators=(",", ":")).encode())
        node.ha.arm(master=node is master)
    cluster.clock.advance(30.0)


def ha_armed(cluster: Cluster) -> None:
    """HA active, quorum lost 20 s ago: the watchdogs run out in 40 s."""
    ha_quorate(cluster)
    cluster.isolate()
    cluster.clock.advance(ARMED_SINCE)


def startall_waiting(cluster: Cluster) -> None:
    """pve2 was reset without quorum: its guests are down, their start waits for quorum."""
    broken(cluster)
    _second(cluster).power_cycle()
    cluster.clock.advance(120.0)


def storage_readonly(cluster: Cluster) -> None:
    """Two mounts of pve2 went read-only under their guests."""
    broken(cluster)
    node = _second(cluster)
    for mount in node.storages.mounts:
        if mount.target in ("/tank/guests", "/mnt/pve/nas"):
            mount.options = mount.options.replace("rw,", "ro,", 1)
    node.journal.add(
        "",
        "kernel",
        0,
        "EXT4-fs error: I/O error while writing superblock, remounting filesystem read-only",
        2,
    )


def storage_missing(cluster: Cluster) -> None:
    """A disk of a stopped guest of pve1 is gone, the nas does not answer on pve2."""
    broken(cluster)
    _nodes(cluster)[0].storages.logical_volumes.remove("pve/vm-103-disk-1")
    node = _second(cluster)
    node.storages.inactive.add("nas")
    node.storages.mounts = [m for m in node.storages.mounts if m.target != "/mnt/pve/nas"]
    node.files.discard("/mnt/pve/nas")
    node.files.make_directories("/mnt/pve/nas")
    node.journal.add("", "kernel", 0, "nfs: server 10.55.0.9 not responding, timed out", 3)


def backup_running(cluster: Cluster) -> None:
    """A backup that began before quorum was lost goes on."""
    _nodes(cluster)[0].scheduler.backup(seconds=7200.0)
    broken(cluster)


def migrating(cluster: Cluster) -> None:
    """A live migration from pve1 to pve2 that began before quorum was lost goes on."""
    source, target = _nodes(cluster)[0], _second(cluster)
    source.tasks.begin("qmigrate", "101")
    source.guests.set_lock(101, "migrate")
    config = source.guests.config(101)
    if config is not None and target is not source:
        target.guests.spawn(config, incoming=True)
    broken(cluster)


def pve9(cluster: Cluster) -> None:
    """Broken, with the rules that Proxmox VE 9 has in place of HA groups."""
    rules = "node-affinity: keep-web\n\tresources vm:101\n\tnodes pve1\n\n"
    _nodes(cluster)[0].pmxcfs.write("ha/rules.cfg", rules.encode())
    broken(cluster)


SCENARIOS: dict[str, Scenario] = {
    "broken": Scenario("every node alone without quorum, guests running, root causes in the network (default)", broken),
    "quorate": Scenario("a healthy cluster", quorate),
    "flapping": Scenario("quorum comes and goes", flapping),
    "heals-mid-run": Scenario(
        "broken, until corosync is first stopped on a node: then the link is whole", heals_mid_run
    ),
    "half-dismantled": Scenario(
        "left by the article typed literally: read-only, corosync failed, authkey gone", half_dismantled
    ),
    "standalone": Scenario("every node has left the cluster already", standalone),
    "ha-quorate": Scenario("quorate, high availability active with three services", ha_quorate),
    "ha-armed": Scenario("high availability active, quorum lost 20 s ago, watchdogs running", ha_armed),
    "startall-waiting": Scenario("broken, pve2 was reset: its guests' start waits for quorum", startall_waiting),
    "storage-readonly": Scenario("broken, two storages of pve2 are mounted read-only", storage_readonly),
    "storage-missing": Scenario("broken, a volume is gone on pve1, the nas does not answer on pve2", storage_missing),
    "backup-running": Scenario("broken, a backup is running on pve1", backup_running),
    "migrating": Scenario("broken, guest 101 is on its way from pve1 to pve2", migrating),
    "pve7": Scenario("broken, on Proxmox VE 7.0: pvesr.timer and vzdump's cron file, no pvescheduler", broken, PVE7),
    "pve9": Scenario("broken, on Proxmox VE 9.1: HA rules, the fencing line, the KiB header of pvesm", pve9, PVE9),
}
