"""Shapes with what a person wrote into a file, or started by hand: Proxmox goes on with it, corosync may not start."""

from __future__ import annotations

from collections.abc import Callable

from pve_lab.formats.corosync_conf import parse
from pve_lab.model.cluster import Cluster
from pve_lab.model.corosync import CONFIG
from pve_lab.model.node import Node
from pve_lab.shapes import LATER, broken, nodes_of, second

JUNK = "what is this\n10.55.0.12/24 pve2.lab.local pve2\n010.055.0.13 pve3\npve4\n"
TOKEN = ("  version: 2\n", "  version: 2\n  token 5000\n")
"""The colon forgotten."""
VOTE = ("    quorum_votes: 1\n", "    quorum_votes: 1  # one for each\n")
NODELIST = ("nodelist {\n", "nodelist\n")
"""The brace forgotten."""
SERVERS = (
    "pbs: vault\n\tdatastore x\n\tserver fd00:55::9\n\tcontent backup\n\n"
    "cephfs: far\n\tmonhost [v2:10.9.0.1:3300/0,v1:10.9.0.1:6789/0],[fd00:9::1]:6789\n\tcontent backup\n\n"
)
SECTIONS = (
    "dir: more\n\tpath /mnt/first\n\tcontent iso\nstray\npath /mnt/x\n\tcontent backup\n\n"
    "more\n\tcontent iso\n\n"
    "dir: more\n\tpath /var/lib/vz\n\tcontent backup\n\tdisable perhaps\n\n"
)


def hosts_with_junk(cluster: Cluster) -> None:
    """Lines that mean nothing in /etc/hosts of pve2."""
    node = second(cluster)
    node.files.put("/etc/hosts", node.files.text("/etc/hosts") + JUNK)
    broken(cluster)


def guests_by_hand(cluster: Cluster) -> None:
    """A container of the first node was started by hand, to debug it; a VM of it is one of another architecture."""
    node = nodes_of(cluster)[0]
    container = next(v for v, p in node.guests.running.items() if p.comm == "lxc-start")
    _run_as(node, container, ("lxc-start", "-n", str(container), "-F", "-lDEBUG", "-o", "/tmp/lxc.log"))
    guest = next(v for v, p in node.guests.running.items() if p.comm == "kvm")
    rest = node.guests.running[guest].argv[3:]
    _run_as(node, guest, ("/usr/bin/qemu-system-aarch64", "-id", str(guest), *rest))
    broken(cluster)


def _run_as(node: Node, vmid: int, argv: tuple[str, ...]) -> None:
    was = node.guests.running[vmid]
    comm = argv[0].rpartition("/")[2][:15]
    node.processes.end(was.pid)
    node.guests.running[vmid] = node.processes.spawn(comm, argv, vmid=vmid, age=900.0, pid=was.pid)


def task_of_any_type(cluster: Cluster) -> None:
    """A task of a type that is newer than this tool goes on on the first node."""
    nodes_of(cluster)[0].tasks.begin("bulk-start", "")
    broken(cluster)


def conf_unreadable(old: str, new: str) -> Callable[[Cluster], None]:
    """corosync.conf was edited in /etc/pve, so it is the same everywhere, and corosync was restarted: it ends on every
    node."""

    def shape(cluster: Cluster) -> None:
        nodes = nodes_of(cluster)
        text = nodes[0].files.text(CONFIG)
        version = parse(text).config_version
        text = text.replace(old, new, 1).replace(f"config_version: {version}", f"config_version: {version + 1}")
        if nodes[0].pmxcfs.quorate:
            nodes[0].pmxcfs.write("corosync.conf", text.encode())
        for node in nodes:
            node.files.put(CONFIG, text)
            node.scheduler.overdue = True
            node.units.restart("corosync")
        cluster.clock.advance(LATER)

    return shape


def conf_unreadable_on_last(cluster: Cluster) -> None:
    """The copy in /etc/corosync of the last node was edited, and its corosync ended."""
    node = nodes_of(cluster)[-1]
    node.files.put(CONFIG, node.files.text(CONFIG).replace(*VOTE, 1))
    node.units.restart("corosync")
    cluster.clock.advance(LATER)
