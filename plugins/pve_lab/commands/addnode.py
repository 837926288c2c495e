"""`pvecm add` on a standalone node, its password typed.

pve-cluster, PVE/Cluster/Setup.pm: assert_joinable, finish_join; PVE/API2/ClusterConfig.pm: addnode; pve-docs
pvecm.adoc, "Adding Nodes to the Cluster".
"""

from __future__ import annotations

import re

from pve_lab.commands.base import Result
from pve_lab.formats.corosync_conf import Member, with_member
from pve_lab.formats.texts import NO_QUORUM
from pve_lab.model.node import Node

AUTHKEY, CONFIG = "/etc/corosync/authkey", "/etc/corosync/corosync.conf"
_USAGE = "400 not enough arguments\npvecm add <hostname> [OPTIONS]\n"


def add(node: Node, arguments: list[str]) -> Result:
    """Ask a member to list this node, take over its key and configuration, and its database in place of the own one.

    Link 0 is the address of the node's own name, where ``--link0`` names none.
    """
    given = re.fullmatch(r"(\S+)(?: --link0 (\S+))?", " ".join(arguments))
    if given is None:
        return Result("", _USAGE, 255, 0.3)
    if why := _not_joinable(node):
        text = f"detected the following error(s):\n{why}Check if node may join a cluster failed!\n"
        return Result("", text, 255, 0.5)
    everyone = [n for n in node.cluster.nodes.values() if n.powered]
    peer = next((n for n in everyone if given[1] in {i.address for i in n.interfaces}), None)
    if peer is None:
        return Result("", f"hostname lookup '{given[1]}' failed\n", 255, 1.0)
    if refused := _list(peer, node, given[2] or node.resolve(node.hostname) or ""):
        return Result("", f"An error occured on the cluster node: {refused}", 255, 1.0)
    node.units.stop("pve-cluster")
    (node.files.database_directory / "config.db").unlink()
    node.files.put(AUTHKEY, peer.files.read(AUTHKEY))
    node.files.put(CONFIG, peer.files.read(CONFIG))
    node.units.set_enabled("corosync", enabled=True)
    node.units.start("corosync")
    node.units.start("pve-cluster")
    return Result(f"waiting for quorum...OK\nsuccessfully added node '{node.name}' to cluster.\n", seconds=10.0)


def _not_joinable(node: Node) -> str:
    found = {
        f"authentication key '{AUTHKEY}' already exists": node.files.exists(AUTHKEY),
        "cluster config '/etc/pve/corosync.conf' already exists": node.pmxcfs.conf() is not None,
        "this host already contains virtual guests": bool(node.pmxcfs.database.guests()),
        "corosync is already running, is this node already in a cluster?!": node.corosync.runtime is not None,
    }
    return "".join(f"* {text}\n" for text, is_so in found.items() if is_so)


def _list(peer: Node, node: Node, address: str) -> str:
    """Write the node into the nodelist of the peer and all that are connected to it; why it is refused, or ""."""
    conf = peer.pmxcfs.conf()
    if conf is None or not peer.pmxcfs.quorate:
        return NO_QUORUM
    if conf.member(node.name) is not None:
        return f"can't add existing node '{node.name}'\n"
    nodeid = next(i for i in range(1, len(conf.members) + 2) if i not in {m.nodeid for m in conf.members})
    reached = [n for n in peer.cluster.nodes.values() if n.corosync.members == peer.corosync.members]
    text = with_member(peer.pmxcfs.read("corosync.conf").decode(), Member(node.name, nodeid, 1, address))
    peer.pmxcfs.write("corosync.conf", text.encode())
    for other in reached:
        other.corosync.reload()
    return ""
