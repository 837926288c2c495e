"""What nftables' rules do to corosync's packets, judged on what nft itself lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from pve_runbook.parsers import nftables
from pve_runbook.parsers.iptables import Fate, Packet
from pve_runbook.parsers.nftables import Ruleset
from pve_runbook.parsers.output import Output, ParseError

RECORDED = Path(__file__).parents[1] / "captures" / "nftables"
PACKET = Packet("10.0.0.2", "10.0.0.1", "eno3", 5405)
PACKET6 = Packet("fd00::2", "fd00::1", "eno3", 5405)

RULES = [
    ("udp dport 5405 drop", Fate.DROPPED),
    ('udp dport 5405 counter log prefix "x: " drop', Fate.DROPPED),
    ("udp dport 5405 reject with icmpx type admin-prohibited", Fate.DROPPED),
    ("udp dport 5404-5412 drop", Fate.DROPPED),
    ("udp dport { 22, 5405-5412 } drop", Fate.DROPPED),
    ("udp dport != 5405 drop", Fate.PASSES),
    ("udp dport != 22 drop", Fate.DROPPED),
    ("udp dport 5406 drop", Fate.PASSES),
    ("udp dport >= 5000 drop", Fate.DROPPED),
    ("udp dport < 5000 drop", Fate.PASSES),
    ("udp dport @ports drop", Fate.DROPPED),
    ("udp dport != @ports drop", Fate.PASSES),
    ("th dport 5405 drop", Fate.DROPPED),
    ("meta l4proto { tcp, udp } th dport 5405 drop", Fate.DROPPED),
    ("tcp dport 5405 drop", Fate.PASSES),
    ("tcp dport != 22 drop", Fate.PASSES),
    ("tcp flags & (syn|ack) == syn drop", Fate.PASSES),
    ("icmp type echo-request drop", Fate.PASSES),
    ("icmpv6 type echo-request drop", Fate.PASSES),
    ("meta l4proto udp drop", Fate.DROPPED),
    ("meta l4proto != tcp drop", Fate.DROPPED),
    ("meta l4proto tcp drop", Fate.PASSES),
    ("ip protocol udp drop", Fate.DROPPED),
    ("ip protocol igmp drop", Fate.PASSES),
    ("ip6 nexthdr udp drop", Fate.PASSES),
    ('iifname "eno3" drop', Fate.DROPPED),
    ('iifname "eno*" drop', Fate.DROPPED),
    ('iifname != "eno3" drop', Fate.PASSES),
    ('iifname { "eno1", "eno3" } drop', Fate.DROPPED),
    ("iif lo drop", Fate.PASSES),
    ("iif != lo drop", Fate.DROPPED),
    ("ip saddr 10.0.0.2 drop", Fate.DROPPED),
    ("ip saddr 10.0.0.0/24 drop", Fate.DROPPED),
    ("ip saddr != 10.0.0.0/24 drop", Fate.PASSES),
    ("ip saddr 10.0.0.1-10.0.0.4 drop", Fate.DROPPED),
    ("ip saddr { 10.0.0.0/30, 10.9.0.1 } drop", Fate.DROPPED),
    ("ip saddr != { 10.0.0.0/30, 10.9.0.1 } drop", Fate.PASSES),
    ("ip daddr 10.0.0.1 drop", Fate.DROPPED),
    ("ip daddr 10.0.0.3 drop", Fate.PASSES),
    ("ip6 saddr fd00::/64 drop", Fate.PASSES),
    ("ip6 saddr != fd00::/64 drop", Fate.PASSES),
    ("ip saddr @banned drop", Fate.DROPPED),
    ("ip saddr != @banned drop", Fate.PASSES),
    ("ip saddr @others drop", Fate.PASSES),
    ("ip saddr @nobody drop", Fate.PASSES),
    ("ip saddr . udp dport @pairs drop", Fate.DROPPED),
    ("ip saddr . udp dport { 10.0.0.3 . 5405 } drop", Fate.PASSES),
    ('iifname . ip saddr { "eno3" . 10.0.0.2 } drop', Fate.DROPPED),
    ("udp sport . udp dport { 67 . 68, 547 . 546 } drop", Fate.PASSES),
    ("udp sport 53 drop", Fate.PASSES),
    ("udp sport 5405 drop", Fate.MAYBE),
    ("udp sport 1024-65535 drop", Fate.DROPPED),
    ("ct state established drop", Fate.DROPPED),
    ("ct state established,related drop", Fate.DROPPED),
    ("ct state invalid drop", Fate.PASSES),
    ("ct state new drop", Fate.MAYBE),
    ("ct state != established drop", Fate.PASSES),
    ("ct state vmap { established : accept, invalid : drop }", Fate.PASSES),
    ("ct state vmap { established : drop, new : accept }", Fate.DROPPED),
    ("udp dport vmap @verdicts", Fate.DROPPED),
    ("udp dport vmap { 22 : drop, 5405 : accept }", Fate.PASSES),
    ("udp dport vmap { 5405 : goto dropping }", Fate.DROPPED),
    ('iifname vmap { "tap101i0" : jump dropping }', Fate.PASSES),
    ("meta mark vmap { 0x1 : drop }", Fate.MAYBE),
    ("meta nfproto ipv4 drop", Fate.DROPPED),
    ("meta nfproto ipv6 drop", Fate.PASSES),
    ("meta protocol ip drop", Fate.DROPPED),
    ("meta pkttype multicast drop", Fate.PASSES),
    ("fib daddr type local drop", Fate.DROPPED),
    ("fib daddr type { broadcast, multicast } drop", Fate.PASSES),
    ("fib saddr . iif oif missing drop", Fate.MAYBE),
    ("meta mark 0x1 drop", Fate.MAYBE),
    ("meta mark and 0xff == 0x1 drop", Fate.MAYBE),
    ("limit rate over 5/second drop", Fate.MAYBE),
    ("limit rate 5/second accept", Fate.PASSES),
    ("ct count over 3 drop", Fate.MAYBE),
    ("quota over 3 mbytes drop", Fate.MAYBE),
    ("ip frag-off & 0x1fff != 0 drop", Fate.MAYBE),
    ("update @dyn { ip saddr limit rate over 3/minute } drop", Fate.MAYBE),
    ("add @dyn { ip saddr } drop", Fate.DROPPED),
    ("@th,160,16 5405 drop", Fate.MAYBE),
    ("meta mark set 0x1 drop", Fate.DROPPED),
    ("jump dropping", Fate.DROPPED),
    ("jump returning", Fate.PASSES),
    ("goto returning", Fate.PASSES),
    ("jump accepting", Fate.PASSES),
    ("udp sport 5405 jump dropping", Fate.MAYBE),
    ("udp sport 5405 jump returning", Fate.PASSES),
    ("meta mark 0x1 accept", Fate.PASSES),
    ("return", Fate.PASSES),
    ("continue", Fate.PASSES),
]
"""Rules as they were typed, one a chain, each chain with the policy accept; rules.pve1.json has them in this order."""


def recorded(name: str) -> Ruleset:
    (said,) = json.loads((RECORDED / name).read_text())["commands"]
    return read(said["stdout"])


def read(text: str) -> Ruleset:
    ruleset = nftables.parse_nft_ruleset(Output(text, "", 0))
    assert ruleset is not None
    return ruleset


def test_every_recorded_rule_is_judged() -> None:
    assert len(recorded("rules.pve1.json").bases) == len(RULES)


@pytest.mark.parametrize(("number", "fate"), [pytest.param(i, f, id=r) for i, (r, f) in enumerate(RULES)])
def test_what_one_rule_does_to_corosyncs_packet(number: int, fate: Fate) -> None:
    ruleset = recorded("rules.pve1.json")
    said = nftables.outcome(replace(ruleset, bases=(ruleset.bases[number],)), PACKET)
    assert said.fate is fate
    assert bool(said.rule) is (fate is not Fate.PASSES)


def table(family: str, *entries: dict[str, dict[str, object]], name: str = "t", **options: str) -> list[object]:
    own = {"family": family, "table": name}
    named: list[object] = [{"table": {"family": family, "name": name, **options}}]
    return [*named, *({kind: {**own, **value} for kind, value in entry.items()} for entry in entries)]


def ruleset(*tables: list[object]) -> Ruleset:
    return read(json.dumps({"nftables": [entry for found in tables for entry in found]}))


def chain(
    name: str = "input", hook: str = "input", policy: str = "accept", kind: str = "filter"
) -> dict[str, dict[str, object]]:
    return {"chain": {"name": name, "type": kind, "hook": hook, "prio": 0, "policy": policy}}


def rule(*expressions: object, of: str = "input") -> dict[str, dict[str, object]]:
    return {"rule": {"chain": of, "expr": list(expressions)}}


DROP, ACCEPT = {"drop": None}, {"accept": None}
MARKED = {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}
OPEN = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "established"}}


def test_proxmoxs_own_firewall_lets_corosync_through() -> None:
    found = recorded("proxmox-firewall.pve1.json")
    assert nftables.outcome(found, PACKET, port="eno1").fate is Fate.PASSES
    assert nftables.outcome(found, replace(PACKET, port=5413), port="eno1").fate is Fate.PASSES  # an open flow
    banned = replace(PACKET, source="203.0.113.5")
    assert nftables.outcome(found, banned).fate is Fate.PASSES


def test_a_port_of_a_bridge_is_judged_by_its_name() -> None:
    """What Proxmox drops of a guest is not dropped of the card beside it."""
    found = recorded("proxmox-firewall.pve1.json")
    said = nftables.outcome(found, PACKET, port="tap101i0")
    assert said.fate is Fate.DROPPED
    assert said.rule == "bridge proxmox-firewall-guests guest-101-out: drop"
    assert nftables.outcome(found, PACKET).fate is Fate.PASSES


def test_the_rule_that_decides_is_named() -> None:
    found = recorded("rules.pve1.json")
    said = [nftables.outcome(replace(found, bases=(base,)), PACKET).rule for base in found.bases]
    assert said[0] == "inet t r00: udp dport 5405 drop"
    assert "inet t dropping: drop" in said
    for part in ("udp dport 22, 5405-5412 drop", "ip saddr 10.0.0.0/24 drop", "ct state established,related drop"):
        assert any(text.endswith(f": {part}") for text in said), part
    assert nftables.outcome(ruleset(table("inet", chain(policy="drop"))), PACKET).rule == "inet t input: policy drop"


def test_the_policy_decides_what_no_rule_decides() -> None:
    assert nftables.outcome(ruleset(table("inet", chain(policy="drop"))), PACKET).fate is Fate.DROPPED
    let_in = ruleset(table("inet", chain(policy="drop"), rule(OPEN, ACCEPT)))
    assert nftables.outcome(let_in, PACKET).fate is Fate.PASSES
    doubtful = nftables.outcome(ruleset(table("inet", chain(policy="drop"), rule(MARKED, ACCEPT))), PACKET)
    assert (doubtful.fate, doubtful.rule) == (Fate.MAYBE, "inet t input: mark 1 accept")


def test_an_accept_holds_for_its_own_chain_alone() -> None:
    accepts = table("inet", chain(), rule(ACCEPT))
    drops = table("inet", chain(), rule(DROP), name="u")
    assert nftables.outcome(ruleset(accepts, drops), PACKET).fate is Fate.DROPPED
    maybe = table("inet", chain(), rule(MARKED, DROP), name="v")
    assert nftables.outcome(ruleset(maybe, drops), PACKET).rule == "inet u input: drop"


@pytest.mark.parametrize(
    ("found", "fate", "fate6"),
    [
        pytest.param(table("ip", chain(), rule(DROP)), Fate.DROPPED, Fate.PASSES, id="ip"),
        pytest.param(table("ip6", chain(), rule(DROP)), Fate.PASSES, Fate.DROPPED, id="ip6"),
        pytest.param(table("inet", chain(hook="output"), rule(DROP)), Fate.PASSES, Fate.PASSES, id="output"),
        pytest.param(table("inet", chain(hook="prerouting"), rule(DROP)), Fate.DROPPED, Fate.DROPPED, id="prerouting"),
        pytest.param(table("netdev", chain(hook="ingress"), rule(DROP)), Fate.MAYBE, Fate.MAYBE, id="some card"),
        pytest.param(table("inet", chain(kind="nat"), rule(DROP)), Fate.PASSES, Fate.PASSES, id="nat"),
        pytest.param(table("inet", chain(), rule(DROP), flags="dormant"), Fate.PASSES, Fate.PASSES, id="dormant"),
        pytest.param(
            table("ip", chain("INPUT"), rule(DROP, of="INPUT"), name="filter"), Fate.PASSES, Fate.PASSES, id="iptables"
        ),
        pytest.param(
            table("ip6", chain("INPUT"), rule(DROP, of="INPUT"), name="filter"),
            Fate.PASSES,
            Fate.DROPPED,
            id="ip6tables",
        ),
        pytest.param(
            table("ip", chain(), rule(DROP), name="filter"), Fate.DROPPED, Fate.PASSES, id="named like iptables'"
        ),
        pytest.param(table("inet", chain(), rule({"xt": None}, DROP)), Fate.MAYBE, Fate.MAYBE, id="xt match"),
        pytest.param(table("inet", chain(), rule({"xt": None})), Fate.MAYBE, Fate.MAYBE, id="xt target"),
        pytest.param(
            table("inet", chain(), rule({"xt": {"type": "target", "name": "LOG"}})),
            Fate.PASSES,
            Fate.PASSES,
            id="xt LOG",
        ),
        pytest.param(table("inet", chain(), rule({"queue": {"num": 0}})), Fate.MAYBE, Fate.MAYBE, id="queue"),
        pytest.param(table("inet", chain(), rule({"jump": {"target": "input"}})), Fate.MAYBE, Fate.MAYBE, id="loop"),
        pytest.param(
            table("inet", chain(policy="drop"), rule({"notrack": None}), rule(OPEN, ACCEPT)),
            Fate.MAYBE,
            Fate.MAYBE,
            id="notrack",
        ),
    ],
)
def test_which_chains_concern_the_packet(found: list[object], fate: Fate, fate6: Fate) -> None:
    assert nftables.outcome(ruleset(found), PACKET).fate is fate
    assert nftables.outcome(ruleset(found), PACKET6).fate is fate6


def test_iptables_own_name_is_judged_here_where_iptables_save_shows_nothing() -> None:
    """A table `ip filter` that nft made is "incompatible" to iptables-save, and not shown."""
    found = ruleset(table("ip", chain("INPUT"), rule(DROP, of="INPUT"), name="filter"))
    assert nftables.outcome(found, PACKET, beside_iptables=False).fate is Fate.DROPPED


def test_a_set_or_a_map_that_is_not_shown_is_in_doubt() -> None:
    asked = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@gone"}}
    mapped = {"vmap": {"key": {"payload": {"protocol": "udp", "field": "dport"}}, "data": "@gone"}}
    for expressions in ((asked, DROP), (mapped,)):
        assert nftables.outcome(ruleset(table("inet", chain(), rule(*expressions))), PACKET).fate is Fate.MAYBE


def test_rulesets_that_are_not_there_or_not_readable() -> None:
    assert nftables.parse_nft_ruleset(Output("", "", 127)) is None
    assert read('{"nftables": [{"metainfo": {"version": "1.0.6"}}]}') == Ruleset()
    for text in ("", "table inet t {\n}\n", "{}", '{"nftables": [1]}', '{"nftables": [{"chain": {"family": "ip"}}]}'):
        with pytest.raises(ParseError):
            read(text)
    with pytest.raises(ParseError, match="Operation not permitted"):
        nftables.parse_nft_ruleset(Output("", "Operation not permitted (you must be root)\n", 1))
