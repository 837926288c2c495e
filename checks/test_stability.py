"""Stability: whether the cluster link held over the window, by corosync's own log, its counters, and now."""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis.stability import FLAPS, SLOW_LINK, Stability, span
from pve_runbook.facts.network import link_counters
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

SEE_THE_VERDICT = "Fix the network under it first; the verdict at the end says whether to dismantle meanwhile"


def test_link_does_not_come_and_go(node, member, histories):
    """The cluster link does not come and go."""
    found = histories.of(node.name)
    assert found.state is not Stability.FLAPPING, refusal(
        RefusalId.LINK_FLAPS,
        node.name,
        seen=f"the cluster link flaps; {found}",
        why="quorum that is there now goes with the next loss, and HA then resets nodes; no repair lasts on it",
        do=SEE_THE_VERDICT,
    )


def test_corosync_is_run_in_time(node, member, histories):
    """The node lets corosync run in time."""
    found = histories.of(node.name)
    longest = max((s.milliseconds for s in found.stalls), default=0.0)
    assert found.state is not Stability.STARVED and len(found.stalls) < FLAPS, refusal(
        RefusalId.COROSYNC_IS_STARVED,
        node.name,
        seen=f"corosync was not run {len(found.stalls)} times here, at the longest for {longest:.0f} ms; {found}",
        why="it looks like a bad network, but the node was busy for longer than a token may take",
        do="Look at `top`, /proc/pressure and the disks at those times (backups, a full or slow root disk)",
    )


def test_lost_members_are_back(node, connected, histories):
    """Every member that was lost is back."""
    found = histories.of(node.name)
    if found.state in (Stability.FLAPPING, Stability.STARVED):
        pytest.skip("members come and go here: who is back now may be gone in a minute")
    assert not found.lost, refusal(
        RefusalId.MEMBERS_ARE_LOST,
        node.name,
        seen=f"{', '.join(found.lost)} went without a word and did not come back; {found}",
        why="the node is off, or the cluster link to it is cut",
        do="See whether it is on and answers: ping its address on the cluster link, and `corosync-cfgtool -n` there",
    )


def test_membership_is_settled(node, connected, histories):
    """Nothing changed in the cluster for five minutes."""
    found = histories.of(node.name)
    assert found.is_quiet, refusal(
        RefusalId.NOT_SETTLED,
        node.name,
        seen=f"the last change was {span(found.quiet_for)} ago",
        why="what is seen now may be another picture in a minute",
        do="Wait five minutes, then run this again; with --watch=300 it looks on meanwhile",
    )


def test_packets_of_full_size_arrive(node, connected, histories):
    """Packets of the size that the interface allows arrive on every link."""
    found = histories.of(node.name)
    assert not found.packet_size, refusal(
        RefusalId.LARGE_PACKETS_ARE_LOST,
        node.name,
        seen=f"packets of the interface's size are not acknowledged: {', '.join(found.packet_size)}",
        why="small packets pass and large ones do not: the link is up, and synchronisation hangs",
        do="Compare the MTU along the way: `ip link` on both nodes, and the switch ports between them",
    )


def test_links_are_quick(host, member):
    """Every link of the cluster answers within 5 ms on average."""
    links = link_counters(host.pve)
    if links is None:
        pytest.skip("corosync does not run here, or has a transport that counts nothing")
    slow = [
        f"link {x.link} to node {x.nodeid} {x.latency_ave / 1000:.1f} ms, at most {x.latency_max / 1000:.1f} ms"
        for x in links
        if x.connected and x.latency_ave > SLOW_LINK
    ]
    assert not slow, refusal(
        RefusalId.LINKS_ARE_SLOW,
        host.pve.node,
        seen=f"slow on average: {', '.join(slow)}; messages sent again since corosync's start: "
        f"{host.pve.get(probes.COUNTERS).resent}",
        why="corosync needs a local network of its own, with latencies below 5 ms",
        do="Look at what shares the link: backups, storage, guests; `ping -c 100` the address on the cluster link",
    )


def test_nothing_changes_while_watched(node, connected, watched):
    """Neither quorum nor membership changed while it was watched."""
    if watched.silent(node.name) == len(watched.looks[node.name]):
        raise UnknownFact(node.name, "membership and quorum while watched", "none of the looks was answered")
    changes = watched.changes(node.name)
    assert not changes, refusal(
        RefusalId.CHANGED_WHILE_WATCHED,
        node.name,
        seen=f"{len(changes)} changes while watched: {'; '.join(changes)}",
        why="the cluster does not hold still: whatever is repaired now may be gone at the next change",
        do=SEE_THE_VERDICT,
    )
