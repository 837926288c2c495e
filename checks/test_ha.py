"""HA: whether it would act, and whether it could reset a node."""

from __future__ import annotations

from pve_runbook.work.refusal import refusal


def test_ha_is_not_armed_without_quorum(host, member):
    """HA is not active on a node without quorum."""
    assert not (host.pve.has_watchdog_client and not host.pve.is_quorate), refusal(
        host.pve.node,
        seen="HA is active, its watchdog is armed, and there is no quorum",
        why="about 60 s after quorum was lost the watchdog resets the node",
        do="Bring quorum back at once, or expect the reset",
    )


def test_no_leftover_acts_on_a_standalone_node(host, standalone):
    """HA on the standalone node is off, disabled, and has no resources."""
    facts = host.pve
    on = [
        u for u in ("pve-ha-lrm.service", "pve-ha-crm.service") if facts.units[u].is_active or facts.units[u].is_enabled
    ]
    assert not (on and facts.ha_resources) and not facts.has_watchdog_client, refusal(
        facts.node,
        seen=f"{', '.join(on) or 'HA is off'}; resources left: {', '.join(facts.ha_resources) or 'none'}",
        why="a standalone node with HA declares its former peers dead and starts their guests",
        do="systemctl disable --now pve-ha-lrm pve-ha-crm there",
    )
