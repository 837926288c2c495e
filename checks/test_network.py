"""Network: whether the cluster link could carry a cluster; the article's five root causes first.

While the cluster is whole, what is found here is a warning; what is found when it is not decides between mending the
one thing and dismantling.
"""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis import network
from pve_runbook.diagnosis.network import Cause
from pve_runbook.diagnosis.refusals_network import network_refusal
from pve_runbook.facts import network as network_facts
from pve_runbook.terminal.screen import WARNING


@pytest.fixture
def clear_of(clustered):
    """Fails with what was found of a cause; not evaluated where it is a warning."""

    def judge(cause):
        findings = network.find(cause, [n.facts for n in clustered])
        told = "; ".join(network.in_words(findings))
        if findings and cause in network.WARNINGS:
            pytest.skip(WARNING + told)
        if findings and network_facts.is_whole([n.facts for n in clustered]):
            pytest.skip(f"{WARNING}{told}; the cluster is whole all the same")
        assert not findings, network_refusal(findings[0])

    return judge


def test_cluster_link_is_not_shared(clear_of):
    """Corosync has a network for itself: no guests, no default route, no storage, no migrations."""
    clear_of(Cause.SHARED_LINK)


def test_there_is_one_default_gateway(clear_of):
    """No node has two default gateways of the same rank."""
    clear_of(Cause.SEVERAL_GATEWAYS)


def test_cluster_traffic_is_not_routed(clear_of):
    """Every node reaches every other's cluster address directly, and from its own."""
    clear_of(Cause.ROUTED)


def test_names_mean_one_thing(clear_of):
    """Every node's name leads to the same address on every node, and never to loopback."""
    clear_of(Cause.AMBIGUOUS_NAMES)


def test_corosync_is_on_its_interface(clear_of):
    """Corosync listens on the address that corosync.conf gives it, and one interface has that address."""
    clear_of(Cause.UNEXPECTED_INTERFACE)


def test_links_are_connected(clear_of):
    """No link of corosync is dead while another works."""
    clear_of(Cause.DEAD_LINK)


def test_corosyncs_packets_pass(clear_of):
    """No packet filter drops what corosync sends."""
    clear_of(Cause.FILTERED)


def test_packet_sizes_agree(clear_of):
    """The cluster's interfaces have the same MTU on every node, and no larger one than what carries them."""
    clear_of(Cause.MTU)


def test_token_timeout_suits_the_way(clear_of):
    """The token timeout leaves time for the way between the nodes."""
    clear_of(Cause.SLOW_LINK)


def test_there_is_a_second_link(clear_of):
    """Corosync has a second link."""
    clear_of(Cause.SINGLE_LINK)


def test_no_second_gateway_waits(clear_of):
    """No second default route waits behind the first."""
    clear_of(Cause.SPARE_GATEWAY)


def test_ring_addresses_are_addresses(clear_of):
    """corosync.conf has addresses, not names that are looked up once at corosync's start."""
    clear_of(Cause.RING_BY_NAME)


def test_bonds_suit_corosync(clear_of):
    """No bond below the cluster's links sends a node's packets now over one card, now over another."""
    clear_of(Cause.BOND_MODE)


def test_cards_carry_well(clear_of):
    """The cards of the cluster's links receive and send without errors."""
    clear_of(Cause.CARD_ERRORS)


def test_nothing_lies_ready_for_the_next_boot(host):
    """No change of the network lies ready for the next boot."""
    found = host.pve.comes_with_the_next_boot
    if found:
        pytest.skip(f"{WARNING}lies ready, and changes the network at the next boot: {', '.join(found)}")
