"""What must agree between the nodes, whatever state they are in: clocks, and who owns which guest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pve_runbook.facts.clocks import agree
from pve_runbook.facts.node import NodeFacts
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal


def clocks_apart(offsets: Mapping[str, float]) -> str:
    """Why the clocks do not agree, in words, or "". ``offsets``: node → seconds ahead of the control host's."""
    if agree(offsets):
        return ""
    early, late = min(offsets, key=offsets.__getitem__), max(offsets, key=offsets.__getitem__)
    skew = offsets[late] - offsets[early]
    return refusal(
        RefusalId.CLOCKS_ARE_APART,
        late,
        seen=f"its clock is {skew:.1f} s ahead of {early}'s",
        why="HA sees time drift, and no log of one node can be held against another's",
        do="Fix time synchronisation first: `chronyc tracking` on both",
    )


def two_owners(everyone: Sequence[NodeFacts]) -> str:
    """Which guest id is on two nodes, each by that node's own database, in words, or "". Raises UnknownFact."""
    owners: dict[int, str] = {}
    for facts in everyone:
        for vmid in facts.guests:
            if vmid in owners:
                return refusal(
                    RefusalId.TWO_OWNERS,
                    facts.node,
                    seen=f"guest {vmid} is here by this node's own database, and on {owners[vmid]} by that node's",
                    why="both would own its disks after the split, and pmxcfs refuses a database with an id twice",
                    do=f"Find out where {vmid} really is (its disks, its process). On the other of the two, HA off: "
                    "`systemctl stop pve-cluster; pmxcfs -l`, move the config to nodes/NODE of the first, "
                    "`pkill -TERM -x pmxcfs; systemctl start pve-cluster`; guests run on. Then run the same command "
                    "line again",
                )
            owners[vmid] = facts.node
    return ""
