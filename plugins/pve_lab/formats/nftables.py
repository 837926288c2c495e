"""Tables of nftables as `nft -j list ruleset` shows them (libnftables-json(5); recorded with nftables 1.0.6)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

Json = Mapping[str, object]
Table = tuple[Json, ...]

UDP_PORT: Json = {"payload": {"protocol": "udp", "field": "dport"}}
TCP_PORT: Json = {"payload": {"protocol": "tcp", "field": "dport"}}
IIFNAME: Json = {"meta": {"key": "iifname"}}
STATE: Json = {"ct": {"key": "state"}}


def ruleset(tables: Iterable[Table]) -> str:
    """The whole answer."""
    head = {"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}}
    return json.dumps({"nftables": [head, *(entry for table in tables for entry in table)]}) + "\n"


def table(family: str, name: str, *entries: Json) -> Table:
    """A table and what is in it."""
    own: Json = {"family": family, "name": name, "handle": 1}
    return ({"table": own}, *({k: {"family": family, "table": name, **_of(v)} for k, v in e.items()} for e in entries))


def _of(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, Mapping) else {}


def base(name: str, hook: str, policy: str = "accept", priority: int = 0) -> Json:
    """A chain that the kernel calls."""
    kind = {"type": "filter", "hook": hook, "prio": priority, "policy": policy}
    return {"chain": {"name": name, "handle": 1, **kind}}


def chain(name: str) -> Json:
    """A chain that others call."""
    return {"chain": {"name": name, "handle": 2}}


def rule(of: str, verdict: str, *matches: Json, target: str = "") -> Json:
    """One rule of a chain; `target` is the chain of a jump."""
    return {"rule": {"chain": of, "handle": 3, "expr": [*matches, {verdict: {"target": target} if target else None}]}}


def match(left: Json, right: object, operator: str = "==") -> Json:
    """What a rule asks of a packet."""
    return {"match": {"op": operator, "left": left, "right": right}}


IPTABLES = table("ip", "filter", base("INPUT", "input"))
"""The table that iptables-nft makes; iptables-save shows its rules."""
FAIL2BAN = table(
    "inet",
    "f2b-table",
    {"set": {"name": "addr-set-sshd", "type": "ipv4_addr", "handle": 2, "elem": ["203.0.113.5", "203.0.113.77"]}},
    base("f2b-chain", "input", priority=-1),
    rule(
        "f2b-chain",
        "reject",
        match(TCP_PORT, 22),
        match({"payload": {"protocol": "ip", "field": "saddr"}}, "@addr-set-sshd"),
    ),
)
"""fail2ban's action nftables, with its chain for SSH."""
DROPS_COROSYNC = table(
    "inet", "site", base("input", "input"), rule("input", "drop", match(IIFNAME, "eno3"), match(UDP_PORT, 5405))
)
"""Somebody's own table."""
PROXMOX = (
    *table(
        "inet",
        "proxmox-firewall",
        chain("default-in"),
        chain("cluster-in"),
        base("input", "input"),
        base("output", "output"),
        rule("default-in", "accept", match(IIFNAME, "lo")),
        rule("default-in", "accept", match(STATE, ["established", "related"], "in")),
        rule("default-in", "accept", match(UDP_PORT, {"range": [5405, 5412]})),
        rule("default-in", "drop", match(UDP_PORT, 1900)),
        rule("cluster-in", "drop"),
        rule("input", "jump", target="default-in"),
        rule("input", "jump", target="cluster-in"),
    ),
    *table("bridge", "proxmox-firewall-guests", base("vm-out", "prerouting"), base("vm-in", "postrouting")),
)
"""The tables of proxmox-firewall, the chains by which a packet for the node itself goes (input policy DROP)."""
