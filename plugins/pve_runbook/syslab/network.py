"""The nodes' network: one bridge on this machine, a cable to each node, and what can happen to them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from pve_runbook.syslab.container import Container
from pve_runbook.syslab.errors import SystemLabError, host
from pve_runbook.syslab.inventory import GATEWAY

BRIDGE = "syslab0"
TABLE = "pve_runbook_syslab"
COROSYNC = "5404-5412"
"""corosync's UDP ports."""


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
    whole()
    for container in containers:
        with contextlib.suppress(SystemLabError):
            host("ip", "netns", "del", container.namespace)
    if Path("/sys/class/net", BRIDGE).exists():
        host("ip", "link", "del", BRIDGE)


def isolate(addresses: Sequence[str] = ()) -> None:
    """Corosync's packets of these nodes, or of all, are dropped on the bridge; SSH goes on."""
    whole()
    match = f"ip saddr {{ {', '.join(addresses)} }} udp" if addresses else "udp"
    back = f"ip daddr {{ {', '.join(addresses)} }} udp dport {COROSYNC} drop" if addresses else ""
    rules = f"""
table bridge {TABLE} {{
  chain forward {{
    type filter hook forward priority 0;
    {match} dport {COROSYNC} drop
    {back}
  }}
}}
"""
    host("nft", "-f", "-", stdin=rules)


def whole() -> None:
    """All packets pass again."""
    with contextlib.suppress(SystemLabError):
        host("nft", "delete", "table", "bridge", TABLE)


def link(container: Container, *, up: bool) -> None:
    """Pull a node's cable, or plug it in again."""
    host("ip", "link", "set", container.interface, "up" if up else "down")
