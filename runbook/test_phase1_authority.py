"""Phase 1: choose the authority: it is given quorum first, and leaves last.

Why: quorum can be forced on one node only: two would write two histories.
Not as in the article: the newest configuration database comes before the number of running guests, because what
the newest one knows and another does not would be lost.

With --leave: the authority is one of the nodes that stay: from it the others are let go.
"""

from __future__ import annotations

from pve_runbook.procedure.authority import newest
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

SLOW = 5.0  # seconds


def test_every_node_answers_reliably(candidates):
    """Every node answers quickly, several times in a row."""
    slowest = max(candidates, key=lambda c: max(c.latencies))
    assert max(slowest.latencies) <= SLOW, refusal(
        RefusalId.ANSWERS_ARE_SLOW,
        slowest.node,
        seen=f"one of {len(slowest.latencies)} small questions took {max(slowest.latencies):.1f} s",
        why="a connection that stalls now stalls in the middle of a window too",
        do="Find out why (load, network), or come over another network",
    )


def test_authority_is_chosen(chosen, options):
    """The authority reaches all of its own disks, or the operator accepted that it does not."""
    assert chosen.reaches_its_disks or "volumes" in options.accept, refusal(
        RefusalId.AUTHORITY_MISSES_DISKS,
        chosen.node,
        seen=f"it finds {chosen.volumes_found} of its guests' {chosen.volumes} volumes",
        why="the authority is the node that all else depends on for the moment",
        do="Choose another one with --authority=NODE, or fix its storage",
    )


def test_authority_knows_the_newest_configuration(chosen, candidates, opened, options, notes):
    """The authority's configuration database is the newest, or the operator named it knowing that it is not."""
    # A window that was cut short may have raised a peer's version by its own writes: the first choice stands then.
    version, _ = newest(candidates)
    others = [c for c in candidates if c.database == newest(candidates)]
    taken_up = opened.unfinished is not None and opened.unfinished.authority == chosen.node
    by_name = (options.authority.version if options.authority is not None else None) == chosen.version
    accepted = chosen.database == newest(candidates) or by_name or taken_up
    assert accepted, refusal(
        RefusalId.AUTHORITY_IS_NOT_THE_NEWEST,
        chosen.node,
        seen=f"its database has version {chosen.version}; {others[0].node}'s has {version}",
        why="changes made to shared files (storages, users, firewall) after the nodes parted are missing here; every "
        "node keeps its own guests' configs either way",
        do=f"Take {others[0].node}, or accept it by name: --authority={chosen.node}@{chosen.version}",
    )
    if chosen.database != newest(candidates):
        notes.note("authority", f"accepted by name: version {chosen.version}, the newest is {version}", chosen.node)
