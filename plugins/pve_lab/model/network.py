"""The network between nodes, and the interfaces of each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


class Network:
    """Which nodes' corosync can reach each other: nodes of the same island can."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)
        self.islands: list[set[str]] = [set(self.names)]
        self.latency = 154
        """Microseconds there and back on the cluster's links (recorded: 154)."""

    def connected(self, one: str, other: str) -> bool:
        """Whether two nodes are on one island."""
        return one == other or any(one in island and other in island for island in self.islands)

    def isolate(self) -> None:
        """Every node alone."""
        self.islands = [{name} for name in self.names]

    def heal(self) -> None:
        """Every node reaches every other."""
        self.islands = [set(self.names)]

    def partition(self, islands: Iterable[Iterable[str]]) -> None:
        """The islands given; who is in none is alone."""
        self.islands = [set(island) for island in islands]


@dataclass
class Interface:
    """One network interface; `master` is the bridge or bond it is a port of, `errors` are bad packets it has received,
    `bond_mode` is what its ports share the packets by."""

    index: int
    name: str
    mac: str
    mtu: int = 1500
    kind: str = ""
    master: str = ""
    address: str = ""
    prefix: int = 24
    link: str = ""
    vlan: int = 0
    carrier: bool = True
    errors: int = 0
    bond_mode: str = ""


INTERFACES = "/etc/network/interfaces"
_STANZA = re.compile(r"^iface (\S+) inet static\n((?:[ \t]+.*\n?)*)", re.M)
_ADDRESS = re.compile(r"^[ \t]+address (\S+?)(?:/(\d+))?$", re.M)


def reloaded(interfaces: list[Interface], text: str) -> list[Interface]:
    """The interfaces after `ifreload -a` with ``text`` for /etc/network/interfaces (ifupdown2)."""
    found = {i.name: i for i in interfaces}
    for name, body in _STANZA.findall(text):
        if name not in found and "bridge-ports" in body:
            number = max((i.index for i in found.values()), default=1) + 1
            found[name] = Interface(number, name, f"36:15:be:d7:40:{number:02x}", kind="bridge")
        address = _ADDRESS.search(body)
        if name in found and address is not None:
            found[name].address, found[name].prefix = address[1], int(address[2] or found[name].prefix)
    return list(found.values())


@dataclass
class Route:
    """One default route."""

    gateway: str
    device: str
    metric: int | None = None


@dataclass
class HostRoute:
    """A route to one address of another node."""

    address: str
    gateway: str
    device: str
    protocol: str
