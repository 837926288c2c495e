"""The start of all guests, held over the windows: what is sent, and what came of it once it was let go."""

from __future__ import annotations

from collections.abc import Sequence

from pve_runbook.cluster.cluster import Cluster
from pve_runbook.cluster.node import Node
from pve_runbook.facts.guest_starts import by_name, start_lines
from pve_runbook.parsers.guests import GuestConfig
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.procedure.notes import Notes
from pve_runbook.procedure.startall.words import STARTED

QUEUED = 150
"""Seconds for which its job may be queued: behind a start of pveproxy, which waits 80 s for quorum (30 s on 8)."""
STARTING = 300
"""Seconds within which its guests come up; it starts them one after the other."""


def wait_for_its_beginning(cluster: Cluster, nodes: Sequence[Node]) -> None:
    """While it is queued there is nothing that could be held: wait until it begins. Raises UnknownFact."""
    for node in nodes:
        cluster.wait_until(
            node,
            lambda f: not f.startall_waits or f.startall_worker,
            "whether the start of all guests, which is queued, has begun to wait",
            seconds=QUEUED,
        )


def see_it_through(cluster: Cluster, notes: Notes, node: Node, expected: Sequence[GuestConfig]) -> None:
    """Wait for the guests that it was to start; who came up and who did not is noted. Raises UnknownFact."""
    vmids = {g.vmid for g in expected}
    more = ""
    try:
        cluster.wait_until(
            node,
            lambda f: not f.startall_waits or f.running.keys() >= vmids,
            f"whether guests {by_name(expected)} came up",
            seconds=STARTING,
        )
    except UnknownFact:
        more = f" within {STARTING} s; it goes on by itself"
    running = node.facts.running
    up = [g for g in expected if g.vmid in running]
    down = [g for g in expected if g.vmid not in running]
    notes.note(STARTED, f"{len(up)} of {len(expected)} guests were started: {by_name(up) or 'none'}", node.name)
    if down:
        said = f"{by_name(down)} did not come up{more}"
        notes.leave(f"{said}. Look at the task startall there; by hand: {start_lines(down)}", node.name)
