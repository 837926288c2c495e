"""corosync.conf: who belongs to the cluster, with which votes and addresses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from pve_runbook.parsers.output import Output, Skipped, file_text

_SECTION = re.compile(r"(?P<name>[\w.-]+)\s*\{", re.ASCII)
_OPTION = re.compile(r"(?P<key>[\w./-]+)\s*:\s*(?P<value>.*)", re.ASCII)
_ADDRESS = re.compile(r"ring(?P<link>\d)_addr", re.ASCII)
_DIGITS = re.compile(r"\d{1,18}", re.ASCII)
_NUMBERS = frozenset(
    {
        *("nodeid", "quorum_votes", "votes", "expected_votes", "two_node", "wait_for_all", "last_man_standing"),
        *("auto_tie_breaker", "config_version", "token", "token_coefficient", "token_retransmit", "join", "consensus"),
        *("hold", "max_messages", "window_size", "netmtu", "linknumber", "ringnumber", "mcastport", "ttl"),
    }
)
"""Options whose value is a whole number, and nothing behind it (corosync exec/coroparse.c)."""
FILE = "corosync.conf"
_NEVER_OPENED = "it closes a section that was never opened"
_NEVER_CLOSED = "the file ends inside a section"


_QDEVICE_HOST = re.compile(r"^\s*device\s*\{[^}]*?^\s*host\s*:\s*(\S+)", re.MULTILINE)


class ConfNode(Struct, frozen=True):
    """One node of the nodelist; `addrs` maps the link number to an address or a host name."""

    name: str
    nodeid: int
    votes: int
    addrs: dict[int, str]


class CorosyncConf(Struct, frozen=True):
    """The whole file; `text` is what was read, byte for byte as far as it is UTF-8. `device_votes`: of the quorum
    device, 0 without one. `transport`: how messages travel, "knet" by default, "udpu" or "udp" as before Proxmox VE 6
    (corosync.conf(5)). `token`: milliseconds without the token after which corosync gives a node up: `token`, 3000 by
    default, and 650 (or `token_coefficient`) for each node beyond the second (recorded on PVE 8.3: 3650 with three).

    `faults`: lines with which corosync does not start. With any of them the rest is what could be read, and it may lack
    nodes; the name may be "" and the version 0."""

    cluster_name: str
    config_version: int
    nodes: tuple[ConfNode, ...]
    qdevice: bool
    device_votes: int
    two_node: bool
    text: str
    transport: str = "knet"
    token: int = 3000
    faults: tuple[Skipped, ...] = ()
    lists_all: bool = True
    """Whether no fault is in the nodelist, or could have cut it short: every member is among the nodes."""

    @property
    def qdevice_host(self) -> str:
        """Where the quorum device is; "" without one (corosync-qdevice(8), quorum.device.net.host)."""
        found = _QDEVICE_HOST.search(self.text) if self.qdevice else None
        return found[1] if found is not None else ""

    @property
    def sha256(self) -> str:
        """SHA-256 of the text, to compare the copies of all nodes."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class _Block:
    """One section: its options, each with its line, and the sections within it."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.end = line
        self.options: dict[str, tuple[int, str]] = {}
        self.blocks: list[tuple[str, _Block]] = []

    def named(self, name: str) -> Iterator[_Block]:
        return (block for found, block in self.blocks if found == name)

    def value(self, key: str) -> str:
        """An option's value; "" without it."""
        return self.options.get(key, (0, ""))[1]

    def number(self, key: str, default: int) -> int:
        """An option that is a number; what stands behind it is one of the faults."""
        found = _DIGITS.match(self.value(key))
        return int(found[0]) if found else default


def parse_corosync_conf(output: Output) -> CorosyncConf | None:
    """Read `cat` of a corosync.conf, with its faults; None if the file does not exist. Raises ParseError otherwise."""
    text = file_text(output, "cat corosync.conf")
    return None if text is None else parse_corosync_conf_text(text)


@lru_cache(maxsize=64)
def parse_corosync_conf_text(text: str) -> CorosyncConf:
    """Read corosync.conf as corosync (exec/coroparse.c) and Corosync.pm do; once where nodes have the same.

    A node without a name is known by its ring0_addr, and without quorum_votes it has one vote (Corosync.pm). Nothing is
    raised: what corosync would stop at is one of `faults`, and what else can be read is read.
    """
    faults: list[Skipped] = []
    root = _tree(text, faults)
    torn = [fault for fault in faults if fault.why in (_NEVER_OPENED, _NEVER_CLOSED)]
    totem, quorum = _merged(root, "totem"), _merged(root, "quorum")
    lists, nodes = list(root.named("nodelist")), _nodes(root, faults)
    if not totem.value("cluster_name"):
        faults.append(Skipped(FILE, totem.line, "the totem section has no cluster_name"))
    per_node = totem.number("token_coefficient", 650)
    return CorosyncConf(
        cluster_name=totem.value("cluster_name"),
        config_version=totem.number("config_version", 0),
        nodes=nodes,
        qdevice=any(quorum.named("device")),
        device_votes=sum(device.number("votes", 1) for device in quorum.named("device")),
        two_node=quorum.number("two_node", 0) == 1,
        text=text,
        transport=totem.value("transport") or "knet",
        token=totem.number("token", 3000) + max(len(nodes) - 2, 0) * per_node,
        faults=tuple(sorted(faults, key=lambda fault: fault.line)),
        lists_all=bool(nodes) and not torn and not any(b.line <= f.line <= b.end for b in lists for f in faults),
    )


def _tree(text: str, faults: list[Skipped]) -> _Block:
    root = _Block(1)
    open_blocks = [root]
    number = 0
    for number, line in enumerate((raw.strip() for raw in text.split("\n")), start=1):
        if not line or line.startswith("#"):
            continue
        if section := _SECTION.fullmatch(line):
            block = _Block(number)
            open_blocks[-1].blocks.append((section["name"], block))
            open_blocks.append(block)
        elif line == "}" and len(open_blocks) > 1:
            open_blocks.pop().end = number
        elif line == "}":
            faults.append(Skipped(FILE, number, _NEVER_OPENED))
        elif option := _OPTION.fullmatch(line):
            key, value = option["key"], option["value"]
            open_blocks[-1].options[key] = number, value
            if key in _NUMBERS and not _DIGITS.fullmatch(value):
                faults.append(Skipped(FILE, number, f"{key} is not a number, or something stands behind it"))
        else:
            word = re.match(r"[a-z_0-9]*", line)
            begins = f"{word[0]!r}: " if word is not None and word[0] in _NUMBERS else ""
            why = f"{begins}it neither opens nor closes a section, and is no `key: value` (is a colon missing?)"
            faults.append(Skipped(FILE, number, why))
    for block in open_blocks[1:]:
        block.end = number
    if len(open_blocks) != 1:
        faults.append(Skipped(FILE, number, _NEVER_CLOSED))
    return root


def _merged(root: _Block, name: str) -> _Block:
    """The sections of a name, which corosync takes for one."""
    found = list(root.named(name))
    merged = _Block(found[0].line if found else root.line)
    for block in found:
        merged.options |= block.options
        merged.blocks += block.blocks
    return merged


def _nodes(root: _Block, faults: list[Skipped]) -> tuple[ConfNode, ...]:
    nodes: list[ConfNode] = []
    for block in (node for nodelist in root.named("nodelist") for node in nodelist.named("node")):
        addrs = {int(link["link"]): v for key, (_, v) in block.options.items() if (link := _ADDRESS.fullmatch(key))}
        name = block.value("name") or addrs.get(0)
        nodeid = block.number("nodeid", 0)
        why = ""
        if not name or not addrs:
            why = "a node without a name or without an address"
        elif not nodeid:
            why = f"the node {name} has no nodeid"
        elif any(name == n.name or nodeid == n.nodeid for n in nodes):
            why = f"the node {name} has a name or a nodeid that stands there twice"
        if why:
            faults.append(Skipped(FILE, block.line, why))
        if name and name not in [n.name for n in nodes]:
            nodes.append(ConfNode(name, nodeid, block.number("quorum_votes", 1), addrs))
    if not nodes:
        faults.append(Skipped(FILE, root.line, "it lists no nodes"))
    return tuple(nodes)
