"""`pvecm delnode` (pve-cluster, PVE/API2/ClusterConfig.pm, delnode; pve-docs pvecm.adoc, "Remove a Cluster Node")."""

from __future__ import annotations

import re

from pve_lab.commands.base import Result
from pve_lab.formats.corosync_conf import without
from pve_lab.formats.texts import NO_QUORUM
from pve_lab.model.node import Node

_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?")
LOCK_WAIT = 10.0
"""Seconds that it waits for the lock in /etc/pve; after quorum returned that is busy for a while."""


def delnode(node: Node, arguments: list[str]) -> Result:
    """Take a member out of the nodelist of all that are connected; its corosync is killed where it is among them."""
    if len(arguments) != 1:
        return Result("", "400 not enough arguments\npvecm delnode <node>\n", 255, 0.3)
    name = arguments[0]
    if not _NAME.fullmatch(name):
        why = "invalid format - value does not look like a valid node name"
        return Result("", f"400 Parameter verification failed.\nnode: {why}\npvecm delnode <node>\n", 255, 0.3)
    if name == node.name:
        return Result("", "Cannot delete myself from cluster!\n", 255, 0.3)
    if not node.pmxcfs.quorate:
        return Result("", NO_QUORUM, 2, 0.3)
    conf = node.pmxcfs.conf()
    member = conf.member(name) if conf is not None else None
    if member is None:
        return Result("", f"Node/IP: {name} is not a known host of the cluster.\n", 255, 0.3)
    busy = max(node.pmxcfs.busy_until - node.clock.now, 0.0)
    if busy > LOCK_WAIT:
        return Result("", "cfs-lock 'file-corosync_conf' error: got lock request timeout\n", 255, LOCK_WAIT)
    node.clock.advance(busy)
    reached = [n for n in node.cluster.nodes.values() if n.corosync.members == node.corosync.members]
    node.pmxcfs.write("corosync.conf", without(node.pmxcfs.read("corosync.conf").decode(), name).encode())
    target = next((n for n in reached if n.name == name), None)
    text = f"Killing node {member.nodeid}\n"
    if target is None:
        return Result(text, "Could not kill node (error = CS_ERR_NOT_EXIST)\n", seconds=0.6 + busy)
    target.corosync.log("CFG", f"Killed by node {member.nodeid}: Killed by corosync-cfgtool")
    target.corosync.exit()
    return Result(text, seconds=0.6 + busy)
