"""What HA on a node can do, and what it is doing with its services."""

from __future__ import annotations

from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.ha import parse_ha_services_text
from pve_runbook.parsers.output import ParseError
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.probes.ha import HA_VERSION

DISARMS = (5, 1, 3)
"""The first version of pve-ha-manager with `crm-command disarm-ha`."""


def can_disarm(facts: NodeFacts) -> bool:
    """Whether HA holds the watchdog, and is one that lets go of it by a command. Raises UnknownFact."""
    return facts.has_watchdog_client and (version(facts) or ()) >= DISARMS


def version(facts: NodeFacts) -> tuple[int, ...] | None:
    """The version of pve-ha-manager, asked where the watchdog is held; None where it is not installed. Raises
    UnknownFact."""
    return facts.get(HA_VERSION)


def services(facts: NodeFacts) -> dict[str, tuple[str, str]]:
    """What HA manages → (node, state), by its manager's own file. Raises UnknownFact."""
    try:
        return parse_ha_services_text(facts.tree.text("ha/manager_status") or "")
    except ParseError as error:
        raise UnknownFact(facts.node, "what HA does with its services", str(error)) from None
