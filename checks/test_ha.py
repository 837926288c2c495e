"""HA: whether it would act, and whether it could reset a node."""

from __future__ import annotations

from pve_runbook.diagnosis import refusals
from pve_runbook.facts.node_state import ha_leftovers
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal


def test_ha_is_not_armed_without_quorum(host, member):
    """HA is not active on a node without quorum."""
    armed = host.pve.has_watchdog_client and host.pve.ha_resources
    assert not (armed and not host.pve.is_quorate), refusals.ha_armed(host.pve)


def test_no_watchdog_client_but_has(host, member):
    """On a node without quorum nothing but HA holds the watchdog."""
    stray = host.pve.has_watchdog_client and not host.pve.ha_resources
    assert not (stray and not host.pve.is_quorate), refusals.stray_watchdog_client(host.pve)


def test_no_leftover_acts_on_a_standalone_node(host, standalone):
    """HA on the standalone node is off, disabled, and has no resources."""
    facts = host.pve
    assert not (facts.ha_units_on and facts.ha_resources) and not facts.has_watchdog_client, refusals.ha_left(facts)


def test_no_file_of_ha_is_left(host, standalone):
    """No file is left on the standalone node with which HA would take over other nodes' guests."""
    found = ha_leftovers(host.pve.tree)
    assert not found, refusal(
        RefusalId.HA_FILES_ARE_LEFT,
        host.pve.node,
        seen=f"left in /etc/pve: {', '.join(found)}",
        why="HA, once it is started here, makes itself master and starts the other nodes' guests after four minutes",
        do="Run the runbook again: it parks them",
    )
