"""Shapes that the runbook has to refuse, or to ask about: each is broken and has one thing more."""

from __future__ import annotations

import functools
from collections.abc import Callable

from pve_lab import shapes
from pve_lab.formats.corosync_conf import parse, render
from pve_lab.model.cluster import Cluster
from pve_lab.model.corosync import AUTHKEY, CONFIG
from pve_lab.model.node import Node
from pve_lab.model.pmxcfs import BUSY, Pmxcfs
from pve_lab.model.units import Unit
from pve_lab.shapes import LATER, broken, let_in, nodes_of, second

CLOCK_SKEW = 90.0
"""Seconds that one node's clock is ahead in clock-skew."""
DEVICE = "10.55.0.5"
"""Address of the QDevice's host."""
CEPH_CONF = (
    "[global]\n\tauth_client_required = cephx\n\tauth_cluster_required = cephx\n\tcluster_network = 10.55.0.0/24\n"
    "\tfsid = 5c7b1a0e-3d0f-4f5e-9d0e-0c6f2b7a9d11\n\tmon_allow_pool_delete = true\n\tmon_host = {hosts}\n"
    "\tpublic_network = 10.55.0.0/24\n\n[client]\n\tkeyring = /etc/pve/priv/$cluster.$name.keyring\n"
)
CEPH_STORAGE = "rbd: ceph-vm\n\tcontent images\n\tkrbd 0\n\tpool ceph-vm\n\n"


def _last(cluster: Cluster) -> Node:
    """The node with the highest number."""
    return nodes_of(cluster)[-1]


def watchdog_client_left(cluster: Cluster) -> None:
    """Something holds the watchdog of pve2 although HA has nothing to do there."""
    node = second(cluster)
    node.processes.spawn("watchdog-client", ("/usr/local/sbin/watchdog-client",))
    node.ha.stray_client = "watchdog-client"
    node.ha.update_marker()
    broken(cluster)


def peer_quorate(cluster: Cluster) -> None:
    """pve1 is alone; the others see each other and have quorum where they are a majority."""
    names = list(cluster.nodes)
    cluster.partition([names[:1], names[1:]])
    nodes_of(cluster)[0].scheduler.overdue = True
    cluster.clock.advance(30.0)


def member_unreachable(cluster: Cluster) -> None:
    """The last node is powered off."""
    broken(cluster)
    if len(cluster.nodes) > 1:
        _last(cluster).power_off()
    cluster.clock.advance(30.0)


def conf_differs(cluster: Cluster) -> None:
    """/etc/corosync/corosync.conf of the last node was edited by hand, with a higher config_version."""
    node = _last(cluster)
    version = parse(node.files.text(CONFIG)).config_version
    text = node.files.text(CONFIG).replace(f"config_version: {version}", f"config_version: {version + 1}")
    node.files.put(CONFIG, text.replace("  version: 2\n", "  token: 10000\n  version: 2\n"))
    broken(cluster)


def authkey_differs(cluster: Cluster) -> None:
    """The last node's authkey is another one; its corosync was restarted with it."""
    node = _last(cluster)
    node.files.put(AUTHKEY, bytes(reversed(node.files.read(AUTHKEY))), 0o400)
    node.units.restart("corosync")
    broken(cluster)


def _edit_alone(node: Node, *edits: Callable[[Pmxcfs], None]) -> None:
    """Force quorum on a node that is alone, change its database, and let the forced value go."""
    node.corosync.force_expected(1)
    node.clock.advance(BUSY + 1)
    for edit in edits:
        edit(node.pmxcfs)
    node.units.restart("corosync")
    node.clock.advance(10.0)


def duplicate_id(cluster: Cluster) -> None:
    """pve1's database has guest 203 on pve1, pve2's has it on pve2, where it runs; its disk is on the nas."""
    cluster.isolate()
    node = nodes_of(cluster)[0]
    config = node.guests.config(203)
    if config is not None:
        old, new = config.path, f"nodes/{node.name}/qemu-server/203.conf"
        _edit_alone(node, lambda pmxcfs: pmxcfs.rename(old, new))
    broken(cluster)


def volume_elsewhere(cluster: Cluster) -> None:
    """The disk of container 111, stopped, is on the last node; its config on pve1."""
    broken(cluster)
    volume = "tank/guests/subvol-111-disk-0"
    nodes_of(cluster)[0].storages.datasets.remove(volume)
    _last(cluster).storages.datasets.append(volume)


def guest_locked(cluster: Cluster) -> None:
    """A snapshot of guest 102 was interrupted: its lock stayed, no task runs."""
    nodes_of(cluster)[0].guests.set_lock(102, "snapshot")
    broken(cluster)


def name_on_loopback(cluster: Cluster) -> None:
    """The last node's own name resolves to 127.0.1.1 only; its pmxcfs started before that."""
    broken(cluster)
    node = _last(cluster)
    text = node.files.text("/etc/hosts")
    own = f"{node.address} {node.name}.lab.local {node.name}\n"
    node.files.put("/etc/hosts", text.replace(own, f"127.0.1.1 {node.name}.lab.local {node.name}\n"))


def clock_skew(cluster: Cluster) -> None:
    """The last node's clock is 90 s ahead."""
    _last(cluster).skew = CLOCK_SKEW
    broken(cluster)


def disk_full(cluster: Cluster) -> None:
    """The root file system of pve2 has 8 KiB left."""
    broken(cluster)
    root = second(cluster).storages.mounts[0]
    root.used = root.total - 8


def root_readonly(cluster: Cluster) -> None:
    """The root file system of pve2 met an error of its disk and went read-only."""
    broken(cluster)
    root = second(cluster).storages.mounts[0]
    root.options = root.options.replace("rw,", "ro,", 1)


def disk_short(cluster: Cluster) -> None:
    """The root file system of pve2 has 256 MiB and 16 KiB left: less than a backup needs beside what must stay free."""
    broken(cluster)
    root = second(cluster).storages.mounts[0]
    root.used = root.total - 256 * 1024 - 16


def stacked_mount(cluster: Cluster) -> None:
    """pve2: a pmxcfs that lives is mounted over the mount of one that died."""
    broken(cluster)
    second(cluster).files.dead_mounts = 1


def stale_mount(cluster: Cluster) -> None:
    """pve2: pmxcfs was killed; its mount is there and nobody serves it. The key is let in by authorized_keys2."""
    broken(cluster)
    node = second(cluster)
    unit = node.units.get("pve-cluster")
    let_in(node)
    node.pmxcfs.crash()
    unit.active, unit.sub, unit.result, unit.exec_status, unit.main_pid = "failed", "failed", "signal", 9, 0


def hung_pve(cluster: Cluster) -> None:
    """pve2: no access to /etc/pve returns. The key is let in by authorized_keys2."""
    broken(cluster)
    node = second(cluster)
    let_in(node)
    node.files.hung.add("/etc/pve")


def other_run_live(cluster: Cluster) -> None:
    """pve2: a window goes on as a transient unit; no lock says whose it is."""
    broken(cluster)
    name = "pve-runbook-20260101T000000Z-abcd-window.service"
    unit = Unit(name, "pve-runbook", ("/bin/bash",), enablement="transient", active="activating", sub="start")
    second(cluster).units.table[name] = unit


def diverged(cluster: Cluster) -> None:
    """Each node had quorum alone for a while, and was edited: once, twice, three times."""
    cluster.isolate()
    for number, node in enumerate(nodes_of(cluster)):
        guest = min(node.guests.own(), key=lambda g: g.vmid)
        text = f"#changed on {node.name}\n{guest.text}".encode()
        _edit_alone(node, *[functools.partial(_write, path=guest.path, data=text)] * (number + 1))
    cluster.clock.advance(LATER)
    broken(cluster)


def _write(pmxcfs: Pmxcfs, path: str, data: bytes) -> None:
    pmxcfs.write(path, data)


def ceph(cluster: Cluster) -> None:
    """Ceph's monitors, managers and OSDs run on all nodes; its storage is empty."""
    nodes = nodes_of(cluster)
    first = nodes[0].pmxcfs
    first.write("ceph.conf", CEPH_CONF.format(hosts=" ".join(n.address for n in nodes)).encode())
    first.write("priv/ceph.client.admin.keyring", b"[client.admin]\n\tkey = LAB-SECRET-ceph-admin\n")
    first.write("storage.cfg", (first.database.data("storage.cfg") or b"") + CEPH_STORAGE.encode())
    for number, node in enumerate(nodes):
        node.files.make_directories("/etc/ceph")
        node.files.put_link("/etc/pve/ceph.conf", "/etc/ceph/ceph.conf")
        for kind, ident, what in (
            ("mon", node.name, "cluster monitor"),
            ("mgr", node.name, "cluster manager"),
            ("osd", str(number), "object storage"),
        ):
            argv = (f"/usr/bin/ceph-{kind}", "-f", "--cluster", "ceph", "--id", ident)
            unit = Unit(f"ceph-{kind}@{ident}.service", f"Ceph {what} daemon", argv)
            node.units.table[unit.name] = unit
            node.units.start_one(unit)
    broken(cluster)


def qdevice(cluster: Cluster) -> None:
    """A QDevice with one vote: the node that has it sees two votes of the three it needs."""
    nodes = nodes_of(cluster)
    conf = parse(nodes[0].files.text(CONFIG))
    text = render(conf.cluster_name, conf.config_version + 1, conf.members, device=DEVICE)
    nodes[0].pmxcfs.write("corosync.conf", text.encode())
    for node in nodes:
        node.units.stop("corosync")
    for node in nodes:
        node.files.make_directories("/etc/corosync/qdevice/net/nssdb")
        unit = Unit(
            "corosync-qdevice.service",
            "Corosync Qdevice daemon",
            ("/usr/sbin/corosync-qdevice", "-f"),
            wants=("corosync.service",),
            sysv=True,
        )
        node.units.table[unit.name] = unit
        node.units.start(unit.name)
    cluster.clock.advance(LATER)
    broken(cluster)


def startall_shared(cluster: Cluster) -> None:
    """startall-waiting, and one of the guests that wait has its disk on the nas."""
    node = second(cluster)
    config = node.guests.config(203)
    if config is not None:
        node.pmxcfs.write(config.path, config.text.replace("ostype:", "onboot: 1\nostype:", 1).encode())
    shapes.startall_waiting(cluster)
