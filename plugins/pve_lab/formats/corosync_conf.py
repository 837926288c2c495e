"""corosync.conf as Proxmox VE writes it: reading what membership needs of it, and writing one."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

_NUMBERS = ("nodeid", "quorum_votes", "votes", "expected_votes", "token", "config_version", "two_node", "linknumber")


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
    transport: str = "knet"

    def member(self, name: str) -> Member | None:
        """The nodelist's entry of that name."""
        return next((m for m in self.members if m.name == name), None)


@functools.lru_cache(256)
def parse(text: str) -> CorosyncConf:
    """Read a corosync.conf; what is missing is empty or 0."""
    cluster_name, version, device_votes, expected, token, transport = "", 0, 0, 0, 3000, "knet"
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
                        _number(node.get("nodeid", "0")),
                        _number(node.get("quorum_votes", "1")),
                        node.get("ring0_addr", ""),
                        node.get("ring1_addr", ""),
                    )
                )
        elif ":" in line:
            key, _, value = (part.strip() for part in line.partition(":"))
            if stack[-1:] == ["node"]:
                node[key] = value
            elif stack == ["quorum", "device"] and key == "votes":
                device_votes = _number(value)
            elif stack == ["quorum"] and key == "expected_votes":
                expected = _number(value)
            elif stack == ["totem"] and key == "token":
                token = _number(value)
            elif stack == ["totem"] and key == "transport":
                transport = value
            elif stack == ["totem"] and key == "cluster_name":
                cluster_name = value
            elif stack == ["totem"] and key == "config_version":
                version = _number(value)
    return CorosyncConf(cluster_name, version, tuple(members), device_votes, token, expected, transport)


def _number(value: str) -> int:
    found = re.match(r"\d+", value)
    return int(found[0]) if found is not None else 0


def stops_at(text: str) -> str:
    """What corosync says of the first line that it stops at, "" where it starts (corosync 3, exec/coroparse.c)."""
    depth = 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line, said = raw.strip(), ""
        if not line or line.startswith("#"):
            continue
        if "{" in line:
            depth += 1
        elif ":" in line:
            key, value = (part.strip() for part in line.split(":", 1))
            if key in _NUMBERS and not value.isdecimal():
                said = f"Value of key {key} must be integer, but {value!r} was given"
        elif line == "}":
            depth -= 1
            said = "Unexpected closing brace" if depth < 0 else ""
        else:
            said = "Line is not opening or closing section or key value"
        if said:
            return f"parser error: /etc/corosync/corosync.conf:{number}: {said}"
    return "parser error: /etc/corosync/corosync.conf: Missing closing brace" if depth else ""


def unread_by_proxmox(text: str) -> str:
    """What PVE::Corosync's parse_conf dies of, "" where it reads the file: words apart, comments taken out."""
    words = re.sub(r"(?m)#.*$", "", text).split()
    while words:
        word = words.pop(0)
        if words and words[0] == "{":
            words.pop(0)
        elif word != "}":
            if not word.endswith(":"):
                return f"missing ':' after key '{word}'\n"
            words[:1] = []
    return ""


def without(text: str, name: str) -> str:
    """The text without the nodelist's entry of that name, one version on, as `pvecm delnode` writes it."""
    entry = re.compile(rf"  node \{{\n(?:    [^\n]*\n)*?    name: {re.escape(name)}\n(?:    [^\n]*\n)*  \}}\n")
    version = re.compile(r"(?<=\n  config_version: )\d+")
    return version.sub(lambda found: str(int(found[0]) + 1), entry.sub("", text))


def with_member(text: str, member: Member) -> str:
    """The text with one more entry in its nodelist, one version on, as `pvecm add` has a member write it."""
    version = re.compile(r"(?<=\n  config_version: )\d+")
    more = re.sub(r"(?s)(nodelist \{\n.*?)(?=\}\n\n)", lambda found: found[1] + _entry(member), text, count=1)
    return version.sub(lambda found: str(int(found[0]) + 1), more)


def _entry(member: Member) -> str:
    rings = "".join(f"    ring{link}_addr: {address}\n" for link, address in member.rings.items())
    head = f"    name: {member.name}\n    nodeid: {member.nodeid}\n    quorum_votes: {member.votes}\n"
    return f"  node {{\n{head}{rings}  }}\n"


def render(cluster_name: str, config_version: int, members: Sequence[Member], *, device: str = "") -> str:
    """The text that pvecm writes (recorded on PVE 8.3, with its empty last line); `device` is a QDevice's address."""
    quorum = "  provider: corosync_votequorum\n"
    if device:
        net = f"      algorithm: ffsplit\n      host: {device}\n      tls: on\n"
        quorum = f"  device {{\n    model: net\n    net {{\n{net}    }}\n    votes: 1\n  }}\n{quorum}"
    links = max((len(m.rings) for m in members), default=1)
    interfaces = "".join(f"  interface {{\n    linknumber: {link}\n  }}\n" for link in range(links))
    nodes = "".join(map(_entry, members))
    return (
        "logging {\n  debug: off\n  to_syslog: yes\n}\n\n"
        f"nodelist {{\n{nodes}}}\n\n"
        f"quorum {{\n{quorum}}}\n\n"
        f"totem {{\n  cluster_name: {cluster_name}\n  config_version: {config_version}\n"
        f"{interfaces}  ip_version: ipv4-6\n  link_mode: passive\n"
        "  secauth: on\n  version: 2\n}\n\n"
    )
