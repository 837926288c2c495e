"""Packet filters, gateways in files, the order of lookups, counters of cards, the token timeout."""

from __future__ import annotations

import json
import re

import pytest
from pve_runbook.parsers import iproute, iptables, network_files
from pve_runbook.parsers.corosync_conf import parse_corosync_conf_text
from pve_runbook.parsers.iptables import Fate, Filter, Packet
from pve_runbook.parsers.output import Output, ParseError

PACKET = Packet("10.0.0.2", "10.0.0.1", "eno3", 5405)


def saved(*lines: str) -> Filter:
    text = "\n".join(("# a comment", "*nat", ":INPUT ACCEPT [0:0]", "COMMIT", "*filter", *lines, "COMMIT", ""))
    rules = iptables.parse_iptables_save(Output(text, "", 0))
    assert rules is not None
    return rules


@pytest.mark.parametrize(
    ("rule", "fate"),
    [
        ("-p udp -m udp --dport 5405 -j DROP", Fate.DROPPED),
        ("-p udp -m udp --dport 5400:5410 -j REJECT --reject-with icmp-port-unreachable", Fate.DROPPED),
        ("-p udp -m multiport --dports 53,5405 -j DROP", Fate.DROPPED),
        ("-j DROP", Fate.DROPPED),
        ("-i eno+ -j DROP", Fate.DROPPED),
        ("-s 10.0.0.0/24 -d 10.0.0.1/32 -j DROP", Fate.DROPPED),
        ("! -i vmbr0 -j DROP", Fate.DROPPED),
        ("-p udp -m udp --dport 5406 -j DROP", Fate.PASSES),
        ("-p tcp -m tcp --dport 5405 -j DROP", Fate.PASSES),
        ("-i vmbr0 -j DROP", Fate.PASSES),
        ("! -s 10.0.0.0/24 -j DROP", Fate.PASSES),
        ("-m conntrack --ctstate INVALID -j DROP", Fate.PASSES),
        ("-p udp -m udp --dport 5405 -j LOG", Fate.PASSES),
        ("-m set --match-set banned src -j DROP", Fate.MAYBE),
        ("-m conntrack --ctstate NEW -j DROP", Fate.MAYBE),
        ("-p udp -m limit --limit 5/sec -j DROP", Fate.MAYBE),
    ],
)
def test_what_one_rule_does_to_corosyncs_packet(rule: str, fate: Fate) -> None:
    said = iptables.outcome(saved(":INPUT ACCEPT [0:0]", f"-A INPUT {rule}"), PACKET)
    assert said.fate is fate
    assert said.rule == ("" if fate is Fate.PASSES else f"-A INPUT {rule}")


def test_the_first_rule_that_decides_decides() -> None:
    accept, drop = "-A INPUT -p udp -m udp --dport 5405:5412 -j ACCEPT", "-A INPUT -p udp -j DROP"
    assert iptables.outcome(saved(":INPUT DROP [0:0]", accept, drop), PACKET).fate is Fate.PASSES
    said = iptables.outcome(saved(":INPUT ACCEPT [0:0]", drop, accept), PACKET)
    assert (said.fate, said.rule) == (Fate.DROPPED, drop)
    assert iptables.outcome(saved(":INPUT DROP [0:0]"), PACKET) == iptables.Outcome(Fate.DROPPED, "")
    answers = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    assert iptables.outcome(saved(":INPUT DROP [0:0]", answers), PACKET).fate is Fate.PASSES


def test_chains_are_followed_there_and_back() -> None:
    head = (":INPUT ACCEPT [0:0]", ":A - [0:0]", ":B - [0:0]")
    back = ("-A INPUT -j A", "-A INPUT -p udp -j DROP", "-A A -p udp -j RETURN", "-A A -j ACCEPT")
    assert iptables.outcome(saved(*head, *back), PACKET).rule == "-A INPUT -p udp -j DROP"
    gone = ("-A INPUT -j A", "-A A -g B", "-A A -j DROP", "-A B -p tcp -j DROP")
    assert iptables.outcome(saved(*head, *gone), PACKET).fate is Fate.PASSES
    loop = ("-A INPUT -j A", "-A A -j B", "-A B -j A")
    assert iptables.outcome(saved(*head, *loop), PACKET).fate is Fate.MAYBE


def test_filters_that_are_not_there_or_not_readable() -> None:
    assert iptables.parse_iptables_save(Output("", "timeout: failed to run command", 127)) is None
    assert iptables.parse_iptables_save(Output("", "", 0)) == Filter({}, {})
    for line in ("-A MISSING -j DROP", "-X", "-A INPUT -m comment --comment 'open -j DROP"):
        with pytest.raises(ParseError):
            saved(":INPUT ACCEPT [0:0]", line)
    with pytest.raises(ParseError):
        iptables.outcome(saved(":INPUT ACCEPT [0:0]", "-A INPUT -p udp --dport corosync -j DROP"), PACKET)


MAIN, MORE = "/etc/network/interfaces", "/etc/network/interfaces.d"
GREP = re.compile(network_files.GATEWAY_LINES.replace("[[:space:]]", r"\s"))


def gateways(files: dict[str, str]) -> list[tuple[str, str, int | None]]:
    """Interface, address and metric of each, as grep picks the lines of whole files."""
    lines = [f"{file}:{line}" for file, text in files.items() for line in text.splitlines() if GREP.match(line)]
    found = network_files.parse_gateway_lines(Output("".join(f"{line}\n" for line in lines), "", 0 if lines else 1))
    return [(g.iface, g.address, g.metric) for g in found]


def stanza(name: str, *lines: str, start: str = "auto", how: str = "inet static") -> str:
    return f"{start} {name}\niface {name} {how}\n" + "".join(f"    {line}\n" for line in lines)


def test_gateways_in_files() -> None:
    text = (
        f"{MAIN}:auto lo vmbr0\n{MAIN}:iface lo inet loopback\n{MAIN}:iface vmbr0 inet static\n"
        f"{MAIN}:\tgateway 10.0.0.1 # router\n{MAIN}:iface vmbr0 inet6 static\n{MAIN}:\tgateway fd00::1\n"
        f"{MAIN}:source /etc/network/interfaces.d/*\n"
        f"{MORE}/x:\tmetric 5\n{MORE}/x:auto eno2\n{MORE}/x:iface eno2 inet static\n{MORE}/x:    gateway 10.1.0.1\n"
        f"{MORE}/x:    metric 200\n"
    )
    assert network_files.parse_gateway_lines(Output(text, "", 0)) == (
        network_files.Gateway(MAIN, "vmbr0", "inet", "10.0.0.1", None),
        network_files.Gateway(MAIN, "vmbr0", "inet6", "fd00::1", None),
        network_files.Gateway(f"{MORE}/x", "eno2", "inet", "10.1.0.1", 200),
    )
    assert network_files.parse_gateway_lines(Output("", "", 1)) == ()
    for bad in (Output("", "grep: /etc/network: Permission denied\n", 2), Output("gateway 10.0.0.1\n", "", 0)):
        with pytest.raises(ParseError):
            network_files.parse_gateway_lines(bad)


@pytest.mark.parametrize(
    ("source", "file", "is_read"),
    [
        (f"source {MORE}/*", "old.bak", True),
        (f"source {MORE}/*", ".old", False),
        (f"source {MORE}/*", "old/eno2", False),
        (f"source {MORE}/*.cfg", "eno2.cfg", True),
        (f"source {MORE}/*.cfg", "eno2", False),
        ("source interfaces.d/*", "eno2", True),
        (f"source /run/x {MORE}/eno2", "eno2", True),
        (f"source-directory {MORE}", "eno2", True),
        (f"source-directory {MORE}/", "eno_2-a", True),
        (f"source-directory {MORE}", "eno2.cfg", False),
        (f"source-directory {MORE}", "old/eno2", False),
        ("", "eno2", False),
        (f"# source {MORE}/*", "eno2", False),
    ],
)
def test_a_gateway_counts_in_a_file_that_is_read(source: str, file: str, is_read: bool) -> None:
    files = {f"{MORE}/{file}": stanza("eno2", "gateway 10.1.0.1"), MAIN: f"iface lo inet loopback\n{source}\n"}
    assert gateways(files) == ([("eno2", "10.1.0.1", None)] if is_read else [])


def test_what_is_included_may_include() -> None:
    files = {
        MAIN: f"source {MORE}/a\n",
        f"{MORE}/a": f"source b\nsource {MORE}/a\n",
        f"{MORE}/b": stanza("eno2", "gateway 10.1.0.1"),
    }
    assert gateways(files) == [("eno2", "10.1.0.1", None)]


@pytest.mark.parametrize(
    ("start", "comes_up"),
    [
        ("auto", True),
        ("allow-auto", True),
        ("allow-hotplug", True),
        ("auto lo", True),
        ("#auto", False),
        ("auto eno1\n#", False),
        ("no-auto-down", False),
    ],
)
def test_a_gateway_counts_where_the_interface_comes_up_by_itself(start: str, comes_up: bool) -> None:
    assert gateways({MAIN: stanza("eno2", "gateway 10.1.0.1", start=start)}) == (
        [("eno2", "10.1.0.1", None)] if comes_up else []
    )


@pytest.mark.parametrize(
    ("line", "metric"),
    [
        ("gateway 10.1.0.1", None),
        ("metric 7\n    gateway 10.1.0.1", 7),
        ("post-up ip route add default via 10.1.0.1", None),
        ("up /sbin/ip -4 route replace default via 10.1.0.1 dev eno2 metric 20 || true", 20),
        ("post-up ip r a 0.0.0.0/0 dev eno2 via 10.1.0.1", None),
        ("up route add default gw 10.1.0.1 metric 3", 3),
        ("up route add -net default gw 10.1.0.1", None),
        ("metric 7\n    post-up ip route add default via 10.1.0.1", None),
    ],
)
def test_a_gateway_may_be_given_in_many_ways(line: str, metric: int | None) -> None:
    assert gateways({MAIN: stanza("eno2", line)}) == [("eno2", "10.1.0.1", metric)]


@pytest.mark.parametrize(
    "line",
    [
        "post-down ip route add default via 10.1.0.1",
        "post-up ip route del default via 10.1.0.1",
        "post-up ip route add 10.2.0.0/16 via 10.1.0.1",
        "post-up ip route add default via 10.1.0.1 dev eno2 table 7",
        "post-up ip rule add from 10.1.0.0/24 table 7",
        "post-up echo default via 10.1.0.1",
    ],
)
def test_other_commands_give_no_gateway(line: str) -> None:
    assert gateways({MAIN: stanza("eno2", line)}) == []


def test_dhcp_gives_a_gateway_and_a_stanza_may_leave_out_its_family() -> None:
    assert gateways({MAIN: stanza("eno2", "metric 9", how="inet dhcp")}) == [("eno2", network_files.DHCP, 9)]
    assert gateways({MAIN: stanza("eno2", "hostname x", how="inet6 dhcp")}) == []
    found = network_files.parse_gateway_lines(Output(f"{MAIN}:auto a\n{MAIN}:iface a\n{MAIN}:gateway fd00::1\n", "", 0))
    assert [(g.family, g.address) for g in found] == [("inet6", "fd00::1")]


def test_the_route_to_an_address_is_the_one_to_the_smallest_network() -> None:
    text = (
        '[{"dst":"default","gateway":"10.0.0.1","dev":"vmbr0","protocol":"kernel","flags":[]},'
        '{"dst":"10.99.0.0/24","gateway":"10.0.0.9","dev":"vmbr0","protocol":"static","metric":5,"flags":[]},'
        '{"dst":"10.99.0.0/24","gateway":"10.0.0.8","dev":"vmbr0","protocol":"bgp","flags":[]},'
        '{"dst":"10.99.0.12","gateway":"10.99.0.12","dev":"eno3","protocol":"openfabric","metric":20,"flags":["onlink"]}]'
    )
    routes = iproute.parse_ip_route(Output(text, "", 0))
    taken = {a: iproute.route_of(routes, a) for a in ("10.99.0.12", "10.99.0.13", "10.98.0.1")}
    assert [r.protocol if r is not None else r for r in taken.values()] == ["openfabric", "bgp", "kernel"]
    odd = iproute.Route("nowhere", None, None, None, None)
    assert iproute.route_of([odd, *routes[1:]], "10.98.0.1") is None


def test_the_order_of_lookups() -> None:
    text = "passwd: files\n# hosts: nis\nhosts:   files mdns4_minimal [NOTFOUND=return] dns # x\n"
    assert network_files.parse_nsswitch(Output(text, "", 0)) == ("files", "mdns4_minimal", "dns")
    assert network_files.parse_nsswitch(Output("passwd: files\n", "", 0)) == ("dns", "files")


def test_what_a_card_counts() -> None:
    card = {"ifname": "eno1", "mtu": 1500, "operstate": "DOWN"}
    stats = {"rx": {"packets": 7, "errors": 2}, "tx": {"packets": 5, "errors": 1}}
    (link,) = iproute.parse_ip_link(Output(json.dumps([{**card, "stats64": stats}]), "", 0))
    assert (link.packets, link.errors, link.is_down) == (12, 3, True)
    (link,) = iproute.parse_ip_link(Output(json.dumps([{**card, "operstate": "UNKNOWN"}]), "", 0))
    assert (link.packets, link.errors, link.is_down) == (None, None, False)
    with pytest.raises(ParseError):
        iproute.parse_ip_link(Output(json.dumps([{**card, "stats64": {"rx": {}}}]), "", 0))


def test_the_mode_of_a_bond() -> None:
    """As iproute2 prints it (ip/iplink_bond.c)."""
    bond = {"info_kind": "bond", "info_data": {"mode": "balance-rr", "miimon": 100, "ad_lacp_rate": "slow"}}
    card = {"ifname": "bond0", "mtu": 1500, "operstate": "UP"}
    (link,) = iproute.parse_ip_link(Output(json.dumps([{**card, "linkinfo": bond}]), "", 0))
    assert (link.kind, link.bond_mode) == ("bond", "balance-rr")
    (link,) = iproute.parse_ip_link(Output(json.dumps([card]), "", 0))
    assert link.bond_mode is None


@pytest.mark.parametrize(
    ("options", "members", "milliseconds"),
    [("", 3, 3650), ("", 1, 3000), ("token: 10000", 4, 11300), ("token_coefficient: 125", 3, 3125)],
)
def test_the_token_timeout(options: str, members: int, milliseconds: int) -> None:
    nodes = "".join(f"node {{\nname: n{i}\nnodeid: {i}\nring0_addr: 10.0.0.{i}\n}}\n" for i in range(1, members + 1))
    text = f"totem {{\ncluster_name: c\nconfig_version: 1\n{options}\n}}\nquorum {{\n}}\nnodelist {{\n{nodes}}}\n"
    assert parse_corosync_conf_text(text).token == milliseconds
