"""Shapes of a cluster: each turns the healthy one into a starting state."""

from __future__ import annotations

import json

from pve_lab.model.cluster import Cluster
from pve_lab.model.node import Node

FLAP_UP, FLAP_DOWN = 12.0, 24.0
"""Seconds that a flapping link holds, and is down (recorded: 13 and 24)."""
LATER = 600.0
"""Seconds after which nobody has to wait for what was changed any more."""
ARMED_SINCE = 20.0
"""Seconds since the loss of quorum in ha-armed."""


def nodes_of(cluster: Cluster) -> list[Node]:
    return list(cluster.nodes.values())


def second(cluster: Cluster) -> Node:
    """pve2, or the only node."""
    return nodes_of(cluster)[min(1, len(cluster.nodes) - 1)]


def let_in(node: Node) -> None:
    """Let the key in by authorized_keys2 as well, where authorized_keys leads into an /etc/pve that does not answer."""
    node.files.put("/root/.ssh/authorized_keys2", node.pmxcfs.read("priv/authorized_keys"), 0o600)


def quorate(cluster: Cluster) -> None:
    """As it was built."""


def broken(cluster: Cluster) -> None:
    """Every node alone; the time of a backup has passed meanwhile."""
    cluster.isolate()
    for node in nodes_of(cluster):
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
    for node in nodes_of(cluster):
        node.units.stop("pve-ha-lrm")
        node.units.stop("pve-ha-crm")
    nodes_of(cluster)[0].corosync.force_expected(1)
    for node in nodes_of(cluster):
        node.units.stop("corosync")
        node.units.set_enabled("corosync", enabled=False)
        for directory in ("/etc/corosync", "/var/lib/corosync"):
            for name in node.files.names(directory):
                node.files.discard(f"{directory}/{name}")
    for node in nodes_of(cluster):
        for name in ("pve-cluster", "pvedaemon", "pveproxy"):
            node.units.restart(name)
    cluster.clock.advance(60.0)


def leave_by_vendors_way(node: Node, *, keep: tuple[str, ...] = ()) -> None:
    """What the documentation says (pve-docs pvecm.adoc), HA's daemons off; `keep` are paths that are forgotten."""
    node.scheduler.overdue = False
    node.units.stop("pve-ha-lrm")
    node.units.stop("pve-ha-crm")
    node.units.set_enabled("pve-ha-lrm", enabled=False)
    node.units.set_enabled("pve-ha-crm", enabled=False)
    node.units.stop("pve-cluster")
    node.units.stop("corosync")
    node.pmxcfs.start(("pmxcfs", "-l"))
    node.pmxcfs.remove("corosync.conf")
    ringids = [f"/var/lib/corosync/{name}" for name in node.files.names("/var/lib/corosync")]
    for path in ("/etc/corosync/corosync.conf", "/etc/corosync/authkey", *ringids):
        if path not in keep:
            node.files.discard(path)
    node.pmxcfs.end()
    node.units.start("pve-cluster")
    node.units.set_enabled("corosync", enabled=False)


def standalone(cluster: Cluster) -> None:
    """Every node after the vendor's way."""
    broken(cluster)
    for node in nodes_of(cluster):
        leave_by_vendors_way(node)
    cluster.clock.advance(30.0)


def ha_quorate(cluster: Cluster) -> None:
    """One guest of each of the first three nodes under HA, all active, quorate."""
    nodes = nodes_of(cluster)
    services = {f"vm:{min(node.guests.running)}": node.name for node in nodes[:3]}
    now = int(cluster.clock.wall)
    master = second(cluster)
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
    reset_without_quorum(cluster, 120.0)


def reset_without_quorum(cluster: Cluster, ago: float) -> None:
    """pve2 was reset without quorum, so many seconds ago."""
    broken(cluster)
    second(cluster).power_cycle()
    cluster.clock.advance(ago)


def storage_readonly(cluster: Cluster) -> None:
    """Two mounts of pve2 went read-only under their guests."""
    broken(cluster)
    node = second(cluster)
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
    nodes_of(cluster)[0].storages.logical_volumes.remove("pve/vm-103-disk-1")
    node = second(cluster)
    node.storages.inactive.add("nas")
    node.storages.mounts = [m for m in node.storages.mounts if m.target != "/mnt/pve/nas"]
    node.files.discard("/mnt/pve/nas")
    node.files.make_directories("/mnt/pve/nas")
    node.journal.add("", "kernel", 0, "nfs: server 10.55.0.9 not responding, timed out", 3)


def hung_nas(cluster: Cluster) -> None:
    """The nas is mounted on pve2, and no access to it returns."""
    node = second(cluster)
    node.files.hung.add("/mnt/pve/nas")
    node.journal.add("", "kernel", 0, "nfs: server 10.55.0.9 not responding, still trying", 3)


def guest_starting(cluster: Cluster) -> None:
    """A VM of the first node begins to run at this moment."""
    guests = nodes_of(cluster)[0].guests
    guests.spawn(next(c for c in guests.own("qemu") if c.vmid not in guests.running))


def guest_twice(cluster: Cluster) -> None:
    """A VM of the first node runs as two processes."""
    node = nodes_of(cluster)[0]
    node.processes.spawn("kvm", next(p for p in node.guests.running.values() if p.comm == "kvm").argv)


def backup_running(cluster: Cluster) -> None:
    """A backup that began before quorum was lost goes on."""
    nodes_of(cluster)[0].scheduler.backup(seconds=7200.0)
    broken(cluster)


def migrating(cluster: Cluster) -> None:
    """A live migration from pve1 to pve2 that began before quorum was lost goes on."""
    source, target = nodes_of(cluster)[0], second(cluster)
    source.tasks.begin("qmigrate", "101")
    source.guests.set_lock(101, "migrate")
    config = source.guests.config(101)
    if config is not None and target is not source:
        target.guests.spawn(config, incoming=True)
    broken(cluster)


def pve9(cluster: Cluster) -> None:
    """Broken, with the rules that Proxmox VE 9 has in place of HA groups."""
    rules = "node-affinity: keep-web\n\tresources vm:101\n\tnodes pve1\n\n"
    nodes_of(cluster)[0].pmxcfs.write("ha/rules.cfg", rules.encode())
    broken(cluster)
