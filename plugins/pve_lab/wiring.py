"""How the nodes of a cluster are wired, addressed and named."""

from __future__ import annotations

from dataclasses import dataclass

from pve_lab.formats.corosync_conf import Member
from pve_lab.model.network import Interface, Route
from pve_lab.model.node import Node

GATEWAY = "10.55.0.1"
ASTRAY = "10.66.0.11"
"""What pve3 takes for pve1's address where the cluster is not tidy."""


@dataclass(frozen=True)
class Wiring:
    """`rings` are the networks (first three octets) of cards that corosync has for itself; without any it uses the
    guests' bridge. `tidy`: one default gateway a node, names that mean the same everywhere. `by_name`: names stand in
    corosync.conf for the ring addresses.

    A node's /etc/hosts has its own name alone, as installed (`pvecm add` adds nobody); by name the rings' names too."""

    rings: tuple[str, ...] = ()
    tidy: bool = True
    by_name: bool = False

    def member(self, node: Node, number: int) -> Member:
        """The node in corosync.conf."""
        names = [f"{node.name}-ring"] if self.by_name else node.rings
        return Member(node.name, number + 1, 1, names[0], *names[1:])

    def wire(self, node: Node, number: int) -> None:
        """Give the node its interfaces and routes."""
        mac = f"36:15:be:d7:10:{number + 16:02x}"
        node.interfaces = [
            Interface(2, "eno1", mac, master="vmbr0"),
            Interface(3, "vmbr0", mac, kind="bridge", address=node.address),
        ]
        node.default_routes = [Route(GATEWAY, "vmbr0")]
        if not self.tidy and node.name == "pve2":
            node.interfaces.append(Interface(4, "eno2", "36:15:be:d7:20:12", address="192.168.7.12"))
            node.default_routes.append(Route("192.168.7.1", "eno2"))
        for link, network in enumerate(self.rings):
            mac = f"36:15:be:d7:{0x30 + link:02x}:{number + 16:02x}"
            address = f"{network}.{11 + number}"
            node.interfaces.append(Interface(5 + link, f"eno{3 + link}", mac, address=address))
        if self.rings:
            node.rings = [f"{network}.{11 + number}" for network in self.rings]

    def hosts(self, node: Node) -> str:
        """The node's /etc/hosts."""
        text = "127.0.0.1 localhost.localdomain localhost\n"
        for other in node.cluster.nodes.values():
            astray = not self.tidy and node.name == "pve3" and other.name == "pve1"
            if astray or other is node:
                text += f"{ASTRAY if astray else other.address} {other.name}.lab.local {other.name}\n"
            if self.by_name:
                text += f"{other.rings[0]} {other.name}-ring.lab.local {other.name}-ring\n"
        return text

    def interfaces(self, node: Node) -> str:
        """The node's /etc/network/interfaces."""
        text = (
            "auto lo\niface lo inet loopback\n\niface eno1 inet manual\n\nauto vmbr0\niface vmbr0 inet static\n"
            f"\taddress {node.address}/24\n\tgateway {GATEWAY}\n\tbridge-ports eno1\n\tbridge-stp off\n\tbridge-fd 0\n"
        )
        if not self.tidy and node.name == "pve2":
            text += "\nauto eno2\niface eno2 inet static\n\taddress 192.168.7.12/24\n\tgateway 192.168.7.1\n"
        for link, address in enumerate(node.rings if self.rings else ()):
            text += f"\nauto eno{3 + link}\niface eno{3 + link} inet static\n\taddress {address}/24\n"
        return f"{text}\nsource /etc/network/interfaces.d/*\n"


MIXED = Wiring(tidy=False)
"""Several of the article's root causes at once."""
ONE_FOR_ALL = Wiring()
"""Tidy, but corosync shares the bridge with everything."""
OWN_LINK = Wiring(("10.99.0",))
"""As it should be."""
TWO_LINKS = Wiring(("10.99.0", "10.98.0"))
BY_NAME = Wiring(("10.99.0",), by_name=True)
