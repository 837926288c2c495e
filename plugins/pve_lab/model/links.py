"""Which of corosync's links carry between two nodes: addresses, cables, packet filters."""

from __future__ import annotations

from pve_lab.model.network import Interface
from pve_lab.model.node import Node

PORT = 5405
"""UDP port of link 0; link N has the N-th after it."""


def usable(one: Node, other: Node) -> tuple[int, ...]:
    """The links over which the corosyncs of two nodes hear each other; every node does hear itself."""
    a, b = one.corosync.runtime, other.corosync.runtime
    if a is None or b is None:
        return ()
    if one is other:
        return tuple(a.bound)
    there, back = a.peers.get(b.nodeid, {}), b.peers.get(a.nodeid, {})
    return tuple(
        link
        for link in a.bound.keys() & b.bound.keys()
        if there.get(link) == b.bound[link]
        and back.get(link) == a.bound[link]
        and _hears(one, a.bound[link], link)
        and _hears(other, b.bound[link], link)
        and one.cluster.network.connected(one.name, other.name)
    )


def _hears(node: Node, address: str, link: int) -> bool:
    low, high = node.drops
    carriers = [carries(node, i) for i in node.interfaces if i.address == address]
    return any(carriers) and not low <= PORT + link <= high


def carries(node: Node, interface: Interface) -> bool:
    """Whether the interface has a carrier: its own cable, its VLAN's parent, one of its bridge's cards."""
    if not interface.carrier:
        return False
    if interface.link:
        return all(carries(node, i) for i in node.interfaces if i.name == interface.link)
    ports = [i for i in node.interfaces if i.master == interface.name]
    return not ports or any(carries(node, port) for port in ports)
