"""corosync.conf as Proxmox VE writes it: reading what membership needs of it, and writing one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """One entry of the nodelist."""

    name: str
    nodeid: int
    votes: int
    ring0_addr: str
    ring1_addr: str = ""

    @property
    def rings(self) -> dict[int, str]:
        """Link number → address or name."""
        return {i: a for i, a in enumerate((self.ring0_addr, self.ring1_addr)) if a}


@dataclass(frozen=True)
class CorosyncConf:
    """The parts of corosync.conf that matter for membership."""

    cluster_name: str
    config_version: int
    members: tuple[Member, ...]
    device_votes: int = 0
    token: int = 3000
    """Milliseconds, for two nodes."""
    expected_votes: int = 0
    """What the file says itself, instead of the sum of the votes (votequorum(5)); 0 if it does not."""

    def member(self, name: str) -> Member | None:
        """The nodelist's entry of that name."""
        return next((m for m in self.members if m.name == name), None)


def parse(text: str) -> CorosyncConf:
    """Read a corosync.conf; what is missing is empty or 0."""
    cluster_name, version, device_votes, expected, token = "", 0, 0, 0, 3000
    members: list[Member] = []
    stack: list[str] = []
    node: dict[str, str] = {}
    for raw in text.splitlines():
        line = raw.strip()
        if line.endswith("{"):
            stack.append(line[:-1].strip())
            node = {}
        elif line == "}":
            if stack and stack.pop() == "node":
                members.append(
                    Member(
                        node.get("name", ""),
                        int(node.get("nodeid", "0")),
                        int(node.get("quorum_votes", "1")),
                        node.get("ring0_addr", ""),
                        node.get("ring1_addr", ""),
                    )
                )
        elif ":" in line:
            key, _, value = (part.strip() for part in line.partition(":"))
            if stack[-1:] == ["node"]:
                node[key] = value
            elif stack == ["quorum", "device"] and key == "votes":
                device_votes = int(value)
            elif stack == ["quorum"] and key == "expected_votes":
                expected = int(value)
            elif stack == ["totem"] and key == "token":
                token = int(value)
            elif stack == ["totem"] and key == "cluster_name":
                cluster_name = value
            elif stack == ["totem"] and key == "config_version":
                version = int(value)
    return CorosyncConf(cluster_name, version, tuple(members), device_votes, token, expected)


def render(cluster_name: str, config_version: int, members: Sequence[Member], *, device: str = "") -> str:
    """The text that pvecm writes (recorded on PVE 8.3, with its empty last line); `device` is a QDevice's address."""
    quorum = "  provider: corosync_votequorum\n"
    if device:
        net = f"      algorithm: ffsplit\n      host: {device}\n      tls: on\n"
        quorum = f"  device {{\n    model: net\n    net {{\n{net}    }}\n    votes: 1\n  }}\n{quorum}"
    links = max((len(m.rings) for m in members), default=1)
    interfaces = "".join(f"  interface {{\n    linknumber: {link}\n  }}\n" for link in range(links))
    nodes = "".join(
        f"  node {{\n    name: {m.name}\n    nodeid: {m.nodeid}\n    quorum_votes: {m.votes}\n"
        + "".join(f"    ring{link}_addr: {address}\n" for link, address in m.rings.items())
        + "  }\n"
        for m in members
    )
    return (
        "logging {\n  debug: off\n  to_syslog: yes\n}\n\n"
        f"nodelist {{\n{nodes}}}\n\n"
        f"quorum {{\n{quorum}}}\n\n"
        f"totem {{\n  cluster_name: {cluster_name}\n  config_version: {config_version}\n"
        f"{interfaces}  ip_version: ipv4-6\n  link_mode: passive\n"
        "  secauth: on\n  version: 2\n}\n\n"
    )
