"""Packet filters, gateways in files, the order of lookups, counters of cards, the token timeout."""

from __future__ import annotations

import json

import pytest
from pve_runbook.facts import firewall, net, network_files
from pve_runbook.facts.corosync_conf import parse_corosync_conf_text
from pve_runbook.facts.firewall import Fate, Filter, Packet
from pve_runbook.facts.output import Output, ParseError

PACKET = Packet("10.0.0.2", "10.0.0.1", "eno3", 5405)


def saved(*lines: str) -> Filter:
    text = "\n".join(("# a comment", "*nat", ":INPUT ACCEPT [0:0]", "COMMIT", "*filter", *lines, "COMMIT", ""))
    rules = firewall.parse_iptables_save(Output(text, "", 0))
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
    said = firewall.outcome(saved(":INPUT ACCEPT [0:0]", f"-A INPUT {rule}"), PACKET)
    assert said.fate is fate
    assert said.rule == ("" if fate is Fate.PASSES else f"-A INPUT {rule}")


def test_the_first_rule_that_decides_decides() -> None:
    accept, drop = "-A INPUT -p udp -m udp --dport 5405:5412 -j ACCEPT", "-A INPUT -p udp -j DROP"
    assert firewall.outcome(saved(":INPUT DROP [0:0]", accept, drop), PACKET).fate is Fate.PASSES
    said = firewall.outcome(saved(":INPUT ACCEPT [0:0]", drop, accept), PACKET)
    assert (said.fate, said.rule) == (Fate.DROPPED, drop)
    assert firewall.outcome(saved(":INPUT DROP [0:0]"), PACKET) == firewall.Outcome(Fate.DROPPED, "")
    answers = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    assert firewall.outcome(saved(":INPUT DROP [0:0]", answers), PACKET).fate is Fate.PASSES


def test_chains_are_followed_there_and_back() -> None:
    head = (":INPUT ACCEPT [0:0]", ":A - [0:0]", ":B - [0:0]")
    back = ("-A INPUT -j A", "-A INPUT -p udp -j DROP", "-A A -p udp -j RETURN", "-A A -j ACCEPT")
    assert firewall.outcome(saved(*head, *back), PACKET).rule == "-A INPUT -p udp -j DROP"
    gone = ("-A INPUT -j A", "-A A -g B", "-A A -j DROP", "-A B -p tcp -j DROP")
    assert firewall.outcome(saved(*head, *gone), PACKET).fate is Fate.PASSES
    loop = ("-A INPUT -j A", "-A A -j B", "-A B -j A")
    assert firewall.outcome(saved(*head, *loop), PACKET).fate is Fate.MAYBE


def test_filters_that_are_not_there_or_not_readable() -> None:
    assert firewall.parse_iptables_save(Output("", "timeout: failed to run command", 127)) is None
    assert firewall.parse_iptables_save(Output("", "", 0)) == Filter({}, {})
    for line in ("-A MISSING -j DROP", "-X", "-A INPUT -m comment --comment 'open -j DROP"):
        with pytest.raises(ParseError):
            saved(":INPUT ACCEPT [0:0]", line)
    with pytest.raises(ParseError):
        firewall.outcome(saved(":INPUT ACCEPT [0:0]", "-A INPUT -p udp --dport corosync -j DROP"), PACKET)
    tables = "table ip filter\ntable ip6 nat\ntable bridge filter\ntable inet proxmox-firewall\ntable ip mine\n"
    assert firewall.parse_nft_tables(Output(tables, "", 0)) == ("inet proxmox-firewall", "ip mine")
    assert firewall.parse_nft_tables(Output("", "", 127)) == ()
    with pytest.raises(ParseError):
        firewall.parse_nft_tables(Output("Operation not permitted\n", "", 0))


def test_gateways_in_files() -> None:
    main, more = "/etc/network/interfaces", "/etc/network/interfaces.d/more"
    text = (
        f"{main}:iface lo inet loopback\n{main}:iface vmbr0 inet static\n{main}:\tgateway 10.0.0.1 # router\n"
        f"{main}:iface vmbr0 inet6 static\n{main}:\tgateway fd00::1\n"
        f"{more}:\tmetric 5\n{more}:iface eno2 inet static\n{more}:    gateway 10.1.0.1\n{more}:    metric 200\n"
    )
    assert network_files.parse_gateway_lines(Output(text, "", 0)) == (
        network_files.Gateway(main, "vmbr0", "inet", "10.0.0.1", None),
        network_files.Gateway(main, "vmbr0", "inet6", "fd00::1", None),
        network_files.Gateway(more, "eno2", "inet", "10.1.0.1", 200),
    )
    assert network_files.parse_gateway_lines(Output("", "", 1)) == ()
    for bad in (Output("", "grep: /etc/network: Permission denied\n", 2), Output("gateway 10.0.0.1\n", "", 0)):
        with pytest.raises(ParseError):
            network_files.parse_gateway_lines(bad)


def test_the_order_of_lookups() -> None:
    text = "passwd: files\n# hosts: nis\nhosts:   files mdns4_minimal [NOTFOUND=return] dns # x\n"
    assert network_files.parse_nsswitch(Output(text, "", 0)) == ("files", "mdns4_minimal", "dns")
    assert network_files.parse_nsswitch(Output("passwd: files\n", "", 0)) == ("dns", "files")


def test_what_a_card_counts() -> None:
    card = {"ifname": "eno1", "mtu": 1500, "operstate": "DOWN"}
    stats = {"rx": {"packets": 7, "errors": 2}, "tx": {"packets": 5, "errors": 1}}
    (link,) = net.parse_ip_link(Output(json.dumps([{**card, "stats64": stats}]), "", 0))
    assert (link.packets, link.errors, link.is_down) == (12, 3, True)
    (link,) = net.parse_ip_link(Output(json.dumps([{**card, "operstate": "UNKNOWN"}]), "", 0))
    assert (link.packets, link.errors, link.is_down) == (None, None, False)
    with pytest.raises(ParseError):
        net.parse_ip_link(Output(json.dumps([{**card, "stats64": {"rx": {}}}]), "", 0))


@pytest.mark.parametrize(
    ("options", "members", "milliseconds"),
    [("", 3, 3650), ("", 1, 3000), ("token: 10000", 4, 11300), ("token_coefficient: 125", 3, 3125)],
)
def test_the_token_timeout(options: str, members: int, milliseconds: int) -> None:
    nodes = "".join(f"node {{\nname: n{i}\nnodeid: {i}\nring0_addr: 10.0.0.{i}\n}}\n" for i in range(1, members + 1))
    text = f"totem {{\ncluster_name: c\nconfig_version: 1\n{options}\n}}\nquorum {{\n}}\nnodelist {{\n{nodes}}}\n"
    assert parse_corosync_conf_text(text).token == milliseconds
