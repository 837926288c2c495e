"""What the operator is told of guests that are down: which come up, and which nobody starts, each by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pve_runbook.actions.startall import LET_GO
from pve_runbook.cluster.node import Node
from pve_runbook.facts.guest_starts import GuestStarts, by_name, start_lines
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.guests import GuestConfig

DOWN = "down"
"""The topic of the notes on guests that nobody starts."""
STARTED = "started"
"""The topic of the notes on guests that came up once their start was let go."""


def unstarted(nodes: Sequence[Node]) -> str:
    """Guests that nobody starts: only HA would, which goes off, or their node's boot does not; and, where there are
    such, those that run. Raises UnknownFact."""
    under_ha = _guests(nodes, "These guests are down, and with HA off NOBODY starts them", lambda s: s.under_ha)
    said = "Down since the boot and not marked to start with it: NOBODY starts them"
    at_rest = _guests(nodes, said, lambda s: s.at_rest)
    runs = _guests(nodes, "These guests run", lambda s: s.running) or "NO GUEST RUNS on these nodes.\n"
    return f"{under_ha}{at_rest}{runs}" if under_ha or at_rest else ""


def waiting(nodes: Sequence[Node]) -> str:
    """Guests that would start the moment their node is granted quorum. Raises UnknownFact."""
    return _guests(nodes, "These guests wait for quorum and will START the moment it is granted", lambda s: s.startall)


def held(nodes: Sequence[Node]) -> str:
    """Guests whose start waits for quorum, and is held until their node has left. Raises UnknownFact."""
    said = "The start of these guests waits for quorum; it is HELD until every node has left, then asked about again"
    found = _guests(nodes, said, lambda s: s.startall)
    return f"{found}Undo, there: {LET_GO}\n" if found else ""


def goes_on(nodes: Sequence[Node]) -> str:
    """Before the start of all guests goes on on ``nodes``. Raises UnknownFact."""
    names = ", ".join(n.name for n in nodes)
    return (
        f"GUESTS START on {names}: their start waited for quorum since the boot, and was held.\n"
        + (_guests(nodes, "They START there now", lambda s: s.startall) or "No guest is marked for it.\n")
        + "See that none of them runs on another node: it would run twice. What came up is counted.\n"
        f"If you say no they stay down; type later on {names}, before the schedulers: {LET_GO}\n"
    )


def _guests(nodes: Sequence[Node], said: str, read: Callable[[GuestStarts], Sequence[GuestConfig]]) -> str:
    found = [(n.name, read(n.facts.starts(ha_goes=True))) for n in nodes]
    each = "; ".join(f"{name}: {by_name(guests)}" for name, guests in found if guests)
    return f"{said}: {each}\n" if each else ""


def nobody_starts(facts: NodeFacts) -> str:
    """Which guests are down, and are started by nobody once HA is off, with the lines that start them; "" where none
    is. Raises UnknownFact."""
    found = facts.starts(ha_goes=True)
    whys = (
        (found.under_ha, "HA, which would start them, is off"),
        (found.at_rest, "they are not marked to start with the node; whether they ran before its boot is not known"),
    )
    said = [f"guests {by_name(guests)}: {why}" for guests, why in whys if guests]
    if not said:
        return ""
    return (
        f"down when this began, and nobody starts them: {'; '.join(said)}. See that they run on no other node, then "
        f"type what you want of: {start_lines(found.unstarted)}"
    )
