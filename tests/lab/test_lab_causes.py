"""What is wrong with the network is found on the lab's own outputs: each cause, and nothing on its look-alikes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import pytest
from lab_bench import Bench, MakeBench
from lab_facts import facts_of
from lab_verdict import Started, judged
from msgspec.structs import replace
from pve_lab.expected import EXPECTED, VERDICTS
from pve_lab.formats import nftables
from pve_lab.scenarios import SCENARIOS
from pve_runbook.diagnosis import membership, network
from pve_runbook.diagnosis.network import Cause
from pve_runbook.diagnosis.verdict import MEANT_FOR
from pve_runbook.diagnosis.votes import majority_of_reached
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.corosync_stats import Counters
from pve_runbook.parsers.iproute import Route
from pve_runbook.parsers.nftables import Base, Ruleset
from pve_runbook.probes import per_subject
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import Missing, UnknownFact, known
from pve_runbook.probes.probe import Probe


def found(everyone: list[NodeFacts]) -> dict[Cause, list[tuple[tuple[str, ...], str]]]:
    """Cause → where and what; every cause must be known."""
    return {c: [(f.nodes, f.evidence) for f in network.find(c, everyone)] for c in Cause}


OF_THE_NETWORK = {str(c) for c in Cause}


@pytest.mark.parametrize("scenario", EXPECTED)
def test_what_is_wrong_is_found_and_nothing_else(scenario: str, as_started: Callable[[str], Started]) -> None:
    everyone = as_started(scenario).everyone
    expected = EXPECTED[scenario]
    assert {str(c) for c, what in found(everyone).items() if what} == (
        (expected.causes & OF_THE_NETWORK) | expected.warnings
    )


def test_a_finding_says_where_and_what(make_bench: MakeBench) -> None:
    shared = found(facts_of(make_bench("shared-vlan")))[Cause.SHARED_LINK]
    assert [nodes for nodes, _ in shared] == [("pve1",), ("pve2",), ("pve3",)]
    assert shared[0][1] == "link 0 of corosync is vmbr0.50, which it shares with guests (101)"
    everyone = facts_of(make_bench("two-gateways"))
    assert found(everyone)[Cause.SEVERAL_GATEWAYS] == [
        (("pve2",), "2 default routes of the same rank: 10.55.0.1 over vmbr0, 192.168.7.1 over eno2")
    ]
    assert found(facts_of(make_bench("other-interface")))[Cause.UNEXPECTED_INTERFACE] == [
        (("pve3",), "corosync listens on 10.55.0.13, its address in corosync.conf is 10.99.0.13")
    ]
    assert found(facts_of(make_bench("dead-link-of-two")))[Cause.DEAD_LINK] == [
        (("pve1",), "link 0 to pve3 is disconnected, another link to it works"),
        (("pve2",), "link 0 to pve3 is disconnected, another link to it works"),
        (("pve3",), "eno3, which carries link 0 of corosync, is down"),
    ]


OF_A_NODE_ALONE = [
    (Cause.SHARED_LINK, probes.ADDRESSES),
    (Cause.SEVERAL_GATEWAYS, probes.ROUTES6),
    (Cause.UNEXPECTED_INTERFACE, probes.UDP),
    (Cause.DEAD_LINK, probes.COUNTERS),
    (Cause.FILTERED, probes.PACKET_FILTER),
    (Cause.FILTERED, probes.NFT_RULESET),
    (Cause.SLOW_LINK, probes.COUNTERS),
    (Cause.CARD_ERRORS, probes.LINKS),
    (Cause.MTU, probes.LINKS),
]


@pytest.mark.parametrize(("cause", "probe"), OF_A_NODE_ALONE)
def test_a_silent_probe_is_unknown_and_never_fine(cause: Cause, probe: Probe[object], make_bench: MakeBench) -> None:
    everyone = facts_of(make_bench("own-link"))
    everyone[1].readings[probe.name] = Missing("it said nothing")
    with pytest.raises(UnknownFact, match=r"pve2: .*: it said nothing"):
        network.find(cause, everyone)


def test_a_way_or_a_name_that_was_not_told_is_unknown(make_bench: MakeBench) -> None:
    everyone = facts_of(make_bench("own-link"))
    everyone[0].readings["route_to:10.99.0.12"] = Missing("it said nothing")
    everyone[2].readings["name:pve1"] = Missing("it said nothing")
    for cause, node in ((Cause.ROUTED, "pve1"), (Cause.AMBIGUOUS_NAMES, "pve3")):
        with pytest.raises(UnknownFact, match=f"{node}: .*: it said nothing"):
            network.find(cause, everyone)


def test_a_silent_node_hides_nothing_that_another_shows(make_bench: MakeBench) -> None:
    everyone = facts_of(make_bench("two-gateways"))
    everyone[0].readings["routes"] = Missing("it said nothing")
    assert [f.nodes for f in network.find(Cause.SEVERAL_GATEWAYS, everyone)] == [("pve2",)]


@pytest.mark.parametrize(("address", "is_found"), [("10.99.0.12", True), ("10.98.0.12", False)])
def test_a_router_before_a_spare_link_is_no_root_cause(address: str, is_found: bool, make_bench: MakeBench) -> None:
    everyone = facts_of(make_bench("two-links"))
    way = Route(address, "10.55.0.1", "vmbr0", None, "10.55.0.11")
    everyone[0].readings[f"route_to:{address}"] = (way,)
    assert [f.nodes for f in network.find(Cause.ROUTED, everyone)] == ([("pve1",)] if is_found else [])


def test_a_neighbour_in_a_fabric_is_no_router(make_bench: MakeBench) -> None:
    everyone = facts_of(make_bench("routed-fabric"))
    ways = [everyone[0].family(per_subject.ROUTE_TO, f"10.99.0.{n}")[0].gateway for n in (12, 13)]
    assert ways == ["10.99.0.12", "10.99.0.12"]
    everyone[0].readings["routes"] = tuple(replace(r, protocol="static") for r in everyone[0].get(probes.ROUTES))
    (finding,) = network.find(Cause.ROUTED, everyone)
    assert finding.evidence == "pve3's address 10.99.0.13 (link 0) is reached through the router 10.99.0.12"


@pytest.mark.parametrize("cause", [Cause.DEAD_LINK, Cause.SLOW_LINK])
def test_counters_of_no_link_are_unknown_with_kronosnet(cause: Cause, make_bench: MakeBench) -> None:
    everyone = facts_of(make_bench("own-link"))
    everyone[1].readings["counters"] = Counters((), 0)
    with pytest.raises(UnknownFact, match=r"pve2: .*: it shows no counters of links"):
        network.find(cause, everyone)


@pytest.mark.parametrize("scenario", ["udpu-shared", "open-vswitch", "cmap-busy"])
def test_what_is_no_evidence_is_one_line_at_most(scenario: str, make_bench: MakeBench) -> None:
    found = judged(make_bench(scenario))
    unread = [line for line in found.evidence if line.startswith("not read: ")]
    assert (found.verdict, len(unread)) == ("dismantle", 1 if scenario == "cmap-busy" else 0), str(found)


def test_a_rule_of_nftables_is_named(make_bench: MakeBench) -> None:
    (finding, *more) = found(facts_of(make_bench("nft-drops")))[Cause.FILTERED]
    assert finding == (
        ("pve3",),
        "the rule `inet site input: iifname eno3 udp dport 5405 drop` drops what pve1 (10.99.0.11) sends to UDP port "
        "5405",
    )
    assert [nodes for nodes, _ in more] == [("pve3",)]


@pytest.mark.parametrize(("port", "is_found"), [("eno1", True), ("tap201i0", False)])
def test_what_a_bridge_drops_is_judged_by_the_card_in_it(port: str, is_found: bool, make_bench: MakeBench) -> None:
    bench = make_bench("shared-link")
    drops = nftables.rule("in", "drop", nftables.match(nftables.IIFNAME, port))
    bench.node("pve2").nft_tables = (nftables.table("bridge", "guests", nftables.base("in", "prerouting"), drops),)
    found = network.find(Cause.FILTERED, facts_of(bench))
    assert {f.nodes for f in found} == ({("pve2",)} if is_found else set())


def with_ipv6(everyone: list[NodeFacts]) -> None:
    """Give every node's ring an address of IPv6 in place of its own."""
    conf = everyone[0].get(probes.ETC_COROSYNC_CONF)
    assert conf is not None
    entries = tuple(replace(n, addrs={0: f"fd00::{n.nodeid}"}) for n in conf.nodes)
    for number, facts in enumerate(everyone, 1):
        facts.readings["etc_corosync_conf"] = replace(conf, nodes=entries)
        devices = facts.get(probes.ADDRESSES)
        card = next(d for d in devices if d.name == "eno3")
        more = replace(card, addresses=(replace(card.addresses[0], address=f"fd00::{number}"),))
        facts.readings["addresses"] = (*devices, more)


def test_links_of_ipv6_are_judged_by_nftables(make_bench: MakeBench) -> None:
    everyone = facts_of(make_bench("own-link"))
    with_ipv6(everyone)
    assert network.find(Cause.FILTERED, everyone) == ()
    base = Base(("ip6", "filter", "INPUT"), "filter", "input", drops=True)
    everyone[1].readings["nft_ruleset"] = Ruleset((base,), {base.where: ()})
    assert {f.nodes for f in network.find(Cause.FILTERED, everyone)} == {("pve2",)}


@pytest.mark.parametrize("known_of_nft", [None, Ruleset()])
def test_rules_of_ipv6_that_nobody_shows_are_unknown(known_of_nft: Ruleset | None, make_bench: MakeBench) -> None:
    """nft is not installed; or iptables' rules are nowhere in it, so that ip6tables' are not either."""
    everyone = facts_of(make_bench("firewall-on"))
    with_ipv6(everyone)
    assert network.find(Cause.FILTERED, everyone) == ()
    everyone[1].readings["nft_ruleset"] = known_of_nft
    with pytest.raises(UnknownFact, match=r"pve2: .*: iptables-save shows no rules for IPv6"):
        network.find(Cause.FILTERED, everyone)


@pytest.mark.parametrize(("errors", "is_found"), [(0, False), (90, False), (100, True)])
def test_errors_of_a_card_count_from_one_in_ten_thousand(errors: int, is_found: bool, make_bench: MakeBench) -> None:
    bench = make_bench("own-link")
    next(i for i in bench.node("pve2").interfaces if i.name == "eno3").errors = errors
    everyone = facts_of(bench)
    assert [f.nodes for f in network.find(Cause.CARD_ERRORS, everyone)] == ([("pve2",)] if is_found else [])


def test_a_bond_is_named_by_its_mode_and_where_it_carries_corosync(make_bench: MakeBench) -> None:
    (finding,) = {f.evidence for f in network.find(Cause.BOND_MODE, facts_of(make_bench("bond-uneven")))}
    assert finding.startswith("bond0, which carries link 0 of corosync, is a bond of mode balance-rr, ")
    bench = make_bench("bond-uneven")
    for node in bench.cluster.nodes.values():
        ring = next(i for i in node.interfaces if i.name == "bond0")
        node.interfaces.append(dataclasses.replace(ring, name="eno9", kind="", bond_mode=""))  # it has the address now
        ring.address = "10.44.0.1"
    assert network.find(Cause.BOND_MODE, facts_of(bench)) == ()


def quorate(bench: Bench) -> list[bool]:
    return [node.corosync.quorate for node in bench.cluster.nodes.values()]


@pytest.mark.parametrize(
    "scenario",
    [
        *("names-differ", "other-interface", "authkey-lost", "config-older", "filtered-port", "filtered-all"),
        *("nft-drops", "dead-link"),
    ],
)
def test_what_cuts_one_node_off_leaves_the_others_quorate(scenario: str, make_bench: MakeBench) -> None:
    bench = make_bench(scenario)
    assert quorate(bench) == [True, True, False]
    assert bench.run("pve3", "stat -c %a /etc/pve/local").stdout == "555\n"
    assert "Total votes:      2\n" in bench.run("pve1", "pvecm status").stdout


@pytest.mark.parametrize("scenario", [name for name, e in EXPECTED.items() if e.verdict == "healthy"])
def test_what_is_healthy_is_whole(scenario: str, make_bench: MakeBench) -> None:
    bench = make_bench(scenario)
    assert quorate(bench) == [True, True, True]
    assert all("Nodes:            3\n" in bench.run(n, "pvecm status").stdout for n in bench.cluster.nodes)


def test_corosync_says_why_it_does_not_run(make_bench: MakeBench) -> None:
    """Without its key it fails; with an older configuration it exits by itself, as a success."""
    lost, older = make_bench("authkey-lost"), make_bench("config-older")
    said = lost.run("pve3", "journalctl -u corosync").stdout
    assert "Could not open /etc/corosync/authkey" in said
    assert lost.run("pve3", "systemctl is-active corosync").stdout == "failed\n"
    said = older.run("pve3", "journalctl -u corosync").stdout
    assert "[CMAP  ] Received config version (4) is different than my config version (3)! Exiting" in said
    assert older.run("pve3", "systemctl is-active corosync").stdout == "inactive\n"
    texts = [older.run(n, "cat /etc/corosync/corosync.conf /etc/pve/corosync.conf").stdout for n in ("pve1", "pve3")]
    assert [t.count("config_version: 4") for t in texts] == [2, 0]


def test_seven_votes_are_expected_of_three_that_see_each_other(make_bench: MakeBench) -> None:
    said = make_bench("votes-edited").run("pve2", "pvecm status")
    assert said.exit_status == 2
    for line in ("Nodes:            3", "Expected votes:   7", "Total votes:      3", "Quorum:           4 Activity"):
        assert line in said.stdout


@pytest.mark.parametrize("scenario", [name for name in EXPECTED if name != "half-dismantled"])
def test_what_keeps_a_member_out_is_found_and_nothing_else(scenario: str, as_started: Callable[[str], Started]) -> None:
    outsiders = membership.outsiders(as_started(scenario).everyone)
    assert {str(o.fault) for o in outsiders} == EXPECTED[scenario].causes - OF_THE_NETWORK


def test_what_keeps_a_member_out_says_where_and_what(make_bench: MakeBench) -> None:
    (lost,) = membership.outsiders(facts_of(make_bench("authkey-lost")))
    assert (lost.nodes, lost.evidence) == (("pve3",), "pve3 has no /etc/corosync/authkey")
    (older,) = membership.outsiders(facts_of(make_bench("config-older")))
    assert older.evidence == "pve3's corosync.conf has config_version 3, the newest is 4"
    (votes,) = membership.outsiders(facts_of(make_bench("votes-edited")))
    assert votes.nodes == ("pve1", "pve2", "pve3")
    assert votes.evidence == "3 of 3 members see each other and have 3 of 7 expected votes, 4 are needed"
    (other,) = membership.outsiders(facts_of(make_bench("authkey-differs")))
    assert other.evidence == "pve3 has another /etc/corosync/authkey than the others"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_verdict_is_the_right_one_and_a_quorate_majority_is_seen_by_votes_alone(
    scenario: str, as_started: Callable[[str], Started]
) -> None:
    start = as_started(scenario)
    assert start.found.verdict == VERDICTS.get(scenario, "dismantle"), str(start.found)
    majority = known(partial(majority_of_reached, start.case.everyone))
    assert (majority is not None) == start.is_quorate
    if majority is not None and not start.case.flaps_now:
        assert start.found.verdict not in MEANT_FOR
