"""What is wrong with the network is found on the lab's own outputs: each cause, and nothing on its look-alikes."""

from __future__ import annotations

import pytest
from lab_bench import Bench, MakeBench
from lab_facts import ask, facts_of
from pve_runbook.lab.expected import EXPECTED
from pve_runbook.work import families, membership, network, probes
from pve_runbook.work.diagnosis import diagnose
from pve_runbook.work.followup import Question, of_family
from pve_runbook.work.histories import history_of
from pve_runbook.work.network import Cause
from pve_runbook.work.nodefacts import NodeFacts
from pve_runbook.work.readings import Missing, UnknownFact
from pve_runbook.work.stability import Findings, History, judge


def found(everyone: list[NodeFacts]) -> dict[Cause, list[tuple[tuple[str, ...], str]]]:
    """Cause → where and what; every cause must be known."""
    return {c: [(f.nodes, f.evidence) for f in network.find(c, everyone)] for c in Cause}


OF_THE_NETWORK = {str(c) for c in Cause}


@pytest.mark.parametrize("scenario", EXPECTED)
def test_what_is_wrong_is_found_and_nothing_else(scenario: str, make_bench: MakeBench) -> None:
    everyone = facts_of(make_bench(scenario))
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


OF_A_NODE_ALONE = {
    Cause.SHARED_LINK: probes.ADDRESSES,
    Cause.SEVERAL_GATEWAYS: probes.ROUTES6,
    Cause.UNEXPECTED_INTERFACE: probes.UDP,
    Cause.DEAD_LINK: probes.COUNTERS,
    Cause.FILTERED: probes.PACKET_FILTER,
    Cause.SLOW_LINK: probes.COUNTERS,
    Cause.CARD_ERRORS: probes.LINKS,
    Cause.MTU: probes.LINKS,
}


@pytest.mark.parametrize("cause", OF_A_NODE_ALONE)
def test_a_silent_probe_is_unknown_and_never_fine(cause: Cause, make_bench: MakeBench) -> None:
    everyone = facts_of(make_bench("own-link"))
    everyone[1].readings[OF_A_NODE_ALONE[cause].name] = Missing("it said nothing")
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


def test_filters_of_nftables_alone_are_unknown(make_bench: MakeBench) -> None:
    everyone = facts_of(make_bench("own-link"))
    everyone[0].readings["nft_tables"] = ("inet proxmox-firewall",)
    with pytest.raises(UnknownFact, match="inet proxmox-firewall"):
        network.find(Cause.FILTERED, everyone)


@pytest.mark.parametrize(("errors", "is_found"), [(0, False), (90, False), (100, True)])
def test_errors_of_a_card_count_from_one_in_ten_thousand(errors: int, is_found: bool, make_bench: MakeBench) -> None:
    bench = make_bench("own-link")
    next(i for i in bench.node("pve2").interfaces if i.name == "eno3").errors = errors
    everyone = facts_of(bench)
    assert [f.nodes for f in network.find(Cause.CARD_ERRORS, everyone)] == ([("pve2",)] if is_found else [])


def quorate(bench: Bench) -> list[bool]:
    return [node.corosync.quorate for node in bench.cluster.nodes.values()]


@pytest.mark.parametrize(
    "scenario",
    ["names-differ", "other-interface", "authkey-lost", "config-older", "filtered-port", "filtered-all", "dead-link"],
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
def test_what_keeps_a_member_out_is_found_and_nothing_else(scenario: str, make_bench: MakeBench) -> None:
    outsiders = membership.outsiders(facts_of(make_bench(scenario)))
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


def pasts(bench: Bench, everyone: list[NodeFacts]) -> dict[str, Findings | UnknownFact]:
    """What every node's journal shows of the last day."""
    day = 86400
    told: dict[str, History] = {}
    for facts in everyone:
        clock = probes.HISTORY_CLOCK
        ask(bench, facts, [Question(clock.name, clock.argv, clock.timeout, clock.parse, clock.why, None)])
        ask(bench, facts, [of_family(f, str(day)) for f in (families.COROSYNC_LOG, families.LINE_BEFORE)])
        told[facts.node] = history_of(facts, day)
    stalls = [s for past in told.values() for s in past.stalls]
    return {name: judge(past, stalls) for name, past in told.items()}


@pytest.mark.parametrize("scenario", EXPECTED)
def test_the_verdict_is_the_right_one(scenario: str, make_bench: MakeBench) -> None:
    bench = make_bench(scenario)
    everyone = facts_of(bench)
    found = diagnose(everyone, pasts(bench, everyone))
    assert found.verdict == EXPECTED[scenario].verdict, str(found)
