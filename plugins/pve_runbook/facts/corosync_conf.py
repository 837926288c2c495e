"""corosync.conf: who belongs to the cluster, with which votes and addresses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from pve_runbook.facts.answers import excerpt, file_text
from pve_runbook.facts.output import Output, ParseError

_SECTION = re.compile(r"(?P<name>[\w.]+)\s*\{")
_OPTION = re.compile(r"(?P<key>[\w.]+)\s*:\s*(?P<value>.*)")
_ADDRESS = re.compile(r"ring(?P<link>\d+)_addr")


@dataclass(frozen=True, slots=True)
class ConfNode:
    """One node of the nodelist; `addrs` maps the link number to an address or a host name."""

    name: str
    nodeid: int
    votes: int
    addrs: dict[int, str]


@dataclass(frozen=True, slots=True)
class CorosyncConf:
    """The whole file; `text` is what was read, byte for byte as far as it is UTF-8."""

    cluster_name: str
    config_version: int
    nodes: tuple[ConfNode, ...]
    qdevice: bool
    two_node: bool
    text: str

    @property
    def sha256(self) -> str:
        """SHA-256 of the text, to compare the copies of all nodes."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def token(self) -> int:
        """Milliseconds without the token after which corosync gives a node up: `token`, 3000 by default, and 650 (or
        `token_coefficient`) for each node beyond the second (corosync.conf(5); recorded on PVE 8.3: 3650 with three).
        """
        totem = _only(_tree(self.text), "totem")
        token, coefficient = _number(totem, "token", 3000), _number(totem, "token_coefficient", 650)
        return token + max(len(self.nodes) - 2, 0) * coefficient


class _Block:
    """One section: its options and the sections within it."""

    def __init__(self) -> None:
        self.options: dict[str, str] = {}
        self.blocks: list[tuple[str, _Block]] = []

    def named(self, name: str) -> Iterator[_Block]:
        return (block for found, block in self.blocks if found == name)


def parse_corosync_conf(output: Output) -> CorosyncConf | None:
    """Read `cat` of a corosync.conf; None if the file does not exist. Raises ParseError otherwise."""
    text = file_text(output, "cat corosync.conf")
    return None if text is None else parse_corosync_conf_text(text)


@lru_cache(maxsize=64)
def parse_corosync_conf_text(text: str) -> CorosyncConf:
    """Read corosync.conf as corosync.conf(5) and pve-cluster's Corosync.pm describe it; once where nodes have the same.

    A node without a name is known by its ring0_addr, and without quorum_votes it has one vote (Corosync.pm).
    Raises ParseError on a broken file, on one without cluster name or version, and on a node that stands
    there twice.
    """
    root = _tree(text)
    totem = _only(root, "totem")
    quorum = _only(root, "quorum")
    nodes = tuple(_node(block) for nodelist in root.named("nodelist") for block in nodelist.named("node"))
    if not nodes:
        raise ParseError("corosync.conf lists no nodes.")
    if len({node.name for node in nodes}) < len(nodes) or len({node.nodeid for node in nodes}) < len(nodes):
        raise ParseError("corosync.conf lists a node name or a node id twice.")
    if not totem.options.get("cluster_name"):
        raise ParseError("corosync.conf has no cluster_name.")
    return CorosyncConf(
        cluster_name=totem.options["cluster_name"],
        config_version=_number(totem, "config_version", None),
        nodes=nodes,
        qdevice=any(quorum.named("device")),
        two_node=_number(quorum, "two_node", 0) == 1,
        text=text,
    )


def _tree(text: str) -> _Block:
    root = _Block()
    open_blocks = [root]
    for line in (raw.strip() for raw in text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if section := _SECTION.fullmatch(line):
            block = _Block()
            open_blocks[-1].blocks.append((section["name"], block))
            open_blocks.append(block)
        elif line == "}":
            open_blocks.pop()
            if not open_blocks:
                raise ParseError("corosync.conf closes a section that was never opened.")
        elif option := _OPTION.fullmatch(line):
            open_blocks[-1].options[option["key"]] = option["value"]
        else:
            raise ParseError(f"corosync.conf has a line that cannot be read: {excerpt(line)}")
    if len(open_blocks) != 1:
        raise ParseError("corosync.conf ends inside a section.")
    return root


def _only(root: _Block, name: str) -> _Block:
    found = list(root.named(name))
    if len(found) != 1:
        raise ParseError(f"corosync.conf has {len(found)} sections {name!r} instead of one.")
    return found[0]


def _number(block: _Block, key: str, default: int | None) -> int:
    if key not in block.options and default is not None:
        return default
    value = block.options.get(key, "")
    if not value.isdecimal():
        raise ParseError(f"corosync.conf: {key} is not a number but {value!r}.")
    return int(value)


def _node(block: _Block) -> ConfNode:
    addrs = {int(link["link"]): value for key, value in block.options.items() if (link := _ADDRESS.fullmatch(key))}
    name = block.options.get("name") or addrs.get(0)
    if not name or not addrs:
        raise ParseError("corosync.conf lists a node without a name or without an address.")
    return ConfNode(name, _number(block, "nodeid", None), _number(block, "quorum_votes", 1), addrs)
