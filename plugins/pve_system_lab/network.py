"""The nodes' network: one bridge on this machine, a cable to each node, and what can happen to them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from pve_system_lab.container import Container
from pve_system_lab.errors import SystemLabError, host
from pve_system_lab.inventory import GATEWAY

BRIDGE = "syslab0"
TABLE = "pve_runbook_syslab"
CLUSTER_LINK = "udp dport 5404-5412"
"""corosync's packets."""


def lay(containers: Sequence[Container]) -> None:
    """The bridge and the cables. Raises SystemLabError when the address range is in use."""
    if f"{GATEWAY.rpartition('.')[0]}." in host("ip", "-4", "route"):
        raise SystemLabError(f"this machine has a route into {GATEWAY}/24 already")
    host("ip", "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0")
    host("ip", "addr", "add", f"{GATEWAY}/24", "dev", BRIDGE)
    host("ip", "link", "set", BRIDGE, "up")
    for container in containers:
        plug_in(container)


def plug_in(container: Container) -> None:
    """A namespace with eno1 in the bridge vmbr0, as Proxmox's installer sets it up."""
    name, outer = container.namespace, container.interface
    host("ip", "netns", "add", name)
    host("ip", "link", "add", outer, "type", "veth", "peer", "name", "eno1", "netns", name)
    host("ip", "link", "set", outer, "master", BRIDGE, "up")
    for line in (
        "link set lo up",
        "link add vmbr0 type bridge forward_delay 0",
        "link set eno1 master vmbr0 up",
        f"addr add {container.node.address}/24 dev vmbr0",
        "link set vmbr0 up",
        f"route add default via {GATEWAY} dev vmbr0",
    ):
        host("ip", "-n", name, *line.split())


def take_away(containers: Sequence[Container]) -> None:
    """Nothing of it is left."""
    _all_pass()
    for container in containers:
        with contextlib.suppress(SystemLabError):
            host("ip", "netns", "del", container.namespace)
    # A cable does not go with its namespace: that lives as long as a connection that could not be closed waits in it.
    for link in (*(container.interface for container in containers), BRIDGE):
        with contextlib.suppress(SystemLabError):  # or it is going at this moment
            host("ip", "link", "del", link)


def isolate() -> None:
    """All of corosync's packets are dropped on the bridge; SSH goes on."""
    whole()
    _add(TABLE, f"chain forward {{ type filter hook forward priority 0; {CLUSTER_LINK} drop; }}")


def whole() -> None:
    """What `isolate` did is over."""
    with contextlib.suppress(SystemLabError):
        host("nft", "delete", "table", "bridge", TABLE)


def drop(container: Container, fault: str, match: str) -> None:
    """A node's packets that match are dropped, to it and from it, until `let_pass` of the same fault."""
    let_pass(container, fault)
    chains = (("prerouting", "iifname"), ("postrouting", "oifname"))
    rules = (
        f'chain {hook} {{ type filter hook {hook} priority 0; {way} "{container.interface}" {match} drop; }}'
        for hook, way in chains
    )
    _add(_table(container, fault), "\n".join(rules))


def let_pass(container: Container, fault: str) -> None:
    """What `drop` did for this fault is over."""
    with contextlib.suppress(SystemLabError):
        host("nft", "delete", "table", "bridge", _table(container, fault))


def delay(container: Container, milliseconds: int) -> None:
    """Every packet to a node comes so much later. Raises SystemLabError where the kernel has no netem."""
    try:
        host("tc", "qdisc", "add", "dev", container.interface, "root", "netem", "delay", f"{milliseconds}ms")
    except SystemLabError as error:
        text = "packets cannot be delayed here: this kernel has no netem (CONFIG_NET_SCH_NETEM)"
        raise SystemLabError(text) from error


def in_time(container: Container) -> None:
    """What `delay` did is over."""
    with contextlib.suppress(SystemLabError):
        host("tc", "qdisc", "del", "dev", container.interface, "root")


def link(container: Container, *, up: bool) -> None:
    """Pull a node's cable, or plug it in again."""
    host("ip", "link", "set", container.interface, "up" if up else "down")


def mend(containers: Sequence[Container]) -> None:
    """Nothing is dropped or late any more, and every cable is in."""
    _all_pass()
    for container in containers:
        in_time(container)
        link(container, up=True)


def _all_pass() -> None:
    for line in host("nft", "list", "tables", "bridge").splitlines():
        name = line.split()[-1]
        if name.startswith(TABLE):
            host("nft", "delete", "table", "bridge", name)


def _table(container: Container, fault: str) -> str:
    return f"{TABLE}_{fault}_{container.node.name}"


def _add(table: str, chains: str) -> None:
    host("nft", "-f", "-", stdin=f"table bridge {table} {{\n{chains}\n}}\n")
