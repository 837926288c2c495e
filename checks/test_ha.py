"""HA: whether it would act, and whether it could reset a node."""

from __future__ import annotations

from pve_runbook.work import refusals


def test_ha_is_not_armed_without_quorum(host, member):
    """HA is not active on a node without quorum."""
    armed = host.pve.has_watchdog_client and host.pve.ha_resources
    assert not (armed and not host.pve.is_quorate), refusals.ha_armed(host.pve)


def test_no_watchdog_client_but_has(host, member):
    """No watchdog client but HA's is active on a node without quorum."""
    stray = host.pve.has_watchdog_client and not host.pve.ha_resources
    assert not (stray and not host.pve.is_quorate), refusals.stray_watchdog_client(host.pve)


def test_no_leftover_acts_on_a_standalone_node(host, standalone):
    """HA on the standalone node is off, disabled, and has no resources."""
    facts = host.pve
    assert not (facts.ha_units_on and facts.ha_resources) and not facts.has_watchdog_client, refusals.ha_left(facts)
