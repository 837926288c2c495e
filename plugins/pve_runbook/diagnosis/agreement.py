"""What must agree between the nodes, whatever state they are in: clocks, and who owns which guest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pve_runbook.work.nodefacts import NodeFacts
from pve_runbook.work.refusal import refusal

CLOCK_SKEW = 5.0
"""Seconds; from there on HA reports a time drift, and logs of two nodes cannot be put in order any more."""


def agree(offsets: Mapping[str, float]) -> bool:
    """Whether clocks that are so many seconds ahead of the control host's agree."""
    return max(offsets.values()) - min(offsets.values()) <= CLOCK_SKEW


def clocks_apart(offsets: Mapping[str, float]) -> str:
    """Why the clocks do not agree, in words, or "". ``offsets``: node → seconds ahead of the control host's."""
    if agree(offsets):
        return ""
    early, late = min(offsets, key=offsets.__getitem__), max(offsets, key=offsets.__getitem__)
    skew = offsets[late] - offsets[early]
    return refusal(
        late,
        seen=f"its clock is {skew:.1f} s ahead of {early}'s",
        why="HA sees time drift, and no log of one node can be held against another's",
        do="Mend time synchronisation first: `chronyc tracking` on both",
    )


def two_owners(everyone: Sequence[NodeFacts]) -> str:
    """Which guest id is on two nodes, each by that node's own database, in words, or "". Raises UnknownFact."""
    owners: dict[int, str] = {}
    for facts in everyone:
        for vmid in facts.guests:
            if vmid in owners:
                return refusal(
                    facts.node,
                    seen=f"guest {vmid} is here by this node's own database, and on {owners[vmid]} by that node's",
                    why="both would own its disks after the split, and pmxcfs refuses a database with an id twice",
                    do=f"Find out where {vmid} really is (its disks, its process), and which database is out of date",
                )
            owners[vmid] = facts.node
    return ""
