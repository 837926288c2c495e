"""Which corosyncs form a membership, and what follows from it on each of their nodes.

Rules of expected votes: corosync exec/votequorum.c, as read and as recorded on PVE 8.3.
"""

from __future__ import annotations

from collections.abc import Iterable

from pve_lab.model.corosync import Link, Runtime
from pve_lab.model.links import usable
from pve_lab.model.node import Node


def form_memberships(nodes: Iterable[Node], next_ring: int) -> int:
    """Bring every running corosync to the membership that the network allows.

    Returns the ring sequence number to use the next time.
    """
    running = [n for n in nodes if n.corosync.runtime is not None]
    _refuse_older(running)
    seen: set[str] = set()
    for node in running:
        if node.name in seen:
            continue
        group = [n for n in running if n.name not in seen and _same_partition(node, n)]
        seen.update(n.name for n in group)
        next_ring = _form(group, next_ring)
    for node in running:
        if node.corosync.runtime is not None:
            _count_links(node, node.corosync.runtime)
    return next_ring


def _refuse_older(running: list[Node]) -> None:
    """At its first synchronisation with others a corosync whose configuration is older than theirs exits by itself
    (corosync exec/cmap.c, cmap_sync_activate)."""
    for node in running:
        runtime = node.corosync.runtime
        others = [n.corosync.runtime for n in running if n is not node and _same_partition(node, n)]
        if runtime is None or runtime.synced or runtime.refused or not others:
            continue
        highest = max(o.conf.config_version for o in others if o is not None)
        runtime.synced = True
        if highest > (mine := runtime.conf.config_version):
            runtime.refused = True
            log = node.corosync.log
            log("CMAP", f"Received config version ({highest}) is different than my config version ({mine})! Exiting")
            log("SERV", "Unloading all Corosync service engines.")
            node.clock.after(0.0, node.corosync.exit)


def cast_device_votes(nodes: Iterable[Node]) -> None:
    """Let the QDevice give its vote to the largest partition, or that of the lowest id (ffsplit)."""
    running = [n for n in nodes if n.corosync.runtime is not None]
    with_device = [n for n in running if (u := n.units.find("corosync-qdevice")) is not None and u.is_active]
    groups = [[m for m in running if _same_partition(n, m)] for n in with_device]
    best = max(groups, key=len, default=[])
    for node in running:
        runtime = node.corosync.runtime
        if runtime is None:
            continue
        before = runtime.device, runtime.casting
        runtime.device = node in with_device
        runtime.casting = runtime.device and node in best
        if before != (runtime.device, runtime.casting):
            runtime.recalculate(allow_decrease=False)
            node.quorum_changed()


def _same_partition(one: Node, other: Node) -> bool:
    a, b = one.corosync.runtime, other.corosync.runtime
    if a is None or b is None:
        return False
    if a.refused or b.refused:
        return one is other
    return a.identity == b.identity and (one is other or bool(usable(one, other)))


def _form(group: list[Node], ring: int) -> int:
    runtimes = [n.corosync.runtime for n in group if n.corosync.runtime is not None]
    members = tuple(sorted(r.nodeid for r in runtimes))
    if all(r.members == members for r in runtimes):
        return ring
    was_quorate = [r for r in runtimes if r.members and r.quorate]
    quorate_before = {r.nodeid for r in was_quorate}
    joined_any = any(set(members) - set(r.members) for r in runtimes)
    before = {r.nodeid: r.members for r in runtimes}
    if joined_any:
        votes = max(r.expected_votes for r in (was_quorate or runtimes))
        total = sum(m.votes for m in runtimes[0].conf.members if m.nodeid in members)
        quorum = max((r.quorum for r in was_quorate), default=0)
        for runtime in runtimes:
            runtime.expected_votes = max(votes, total)
            runtime.quorum = quorum
    for node, runtime in zip(group, runtimes, strict=True):
        was = before[runtime.nodeid]
        lost = [i for i in was if i not in members and i not in runtime.leaving]
        _log_loss(node, lost)
        _log_change(node, was, members, ring, lost)
        _log_goodbye(node, [i for i in was if i in runtime.leaving])
        runtime.leaving.clear()
        runtime.members = members
        runtime.ring = (members[0], ring)
        runtime.recalculate(allow_decrease=False)
        _log_quorum(node, before=runtime.nodeid in quorate_before, now=runtime.quorate)
    for node in group:
        node.quorum_changed()
    _pmxcfs_sync(group)
    return ring + 4


def _count_links(node: Node, runtime: Runtime) -> None:
    """Let the links' counters follow what carries; a link that fails alone is logged here, the others with the loss."""
    for member in runtime.conf.members:
        peer = node.cluster.nodes.get(member.name)
        carrying = usable(node, peer) if peer is not None and _same_partition(node, peer) else ()
        for number in member.rings:
            first = Link(down_count=0 if member.nodeid == runtime.nodeid else 1)
            link = runtime.links.setdefault((member.nodeid, number), first)
            connected = number in carrying
            if connected and not link.connected:
                link.up_count += 1
            if link.connected and not connected:
                link.down_count += 1
                if number or member.nodeid in runtime.members:
                    node.corosync.log("KNET", f"link: host: {member.nodeid} link: {number} is down")
            link.connected = connected


def _log_loss(node: Node, lost: list[int]) -> None:
    """Members went without a word: the link says so first, then the token."""
    log = node.corosync.log
    for host in lost:
        log("KNET", f"link: host: {host} link: 0 is down")
        log("KNET", f"host: host: {host} (passive) best link: 0 (pri: 1)")
        log("KNET", f"host: host: {host} has no active links")
    if lost:
        log("TOTEM", "Token has not been received in 2737 ms")
        log(
            "TOTEM",
            "A processor failed, forming new configuration: token timed out (3650ms), waiting 4380ms for consensus.",
        )


def _log_goodbye(node: Node, left: list[int]) -> None:
    """The link to a member that left by itself goes down after it."""
    for host in left:
        node.corosync.log("KNET", f"link: host: {host} link: 0 is down")
        node.corosync.log("KNET", f"host: host: {host} (passive) best link: 0 (pri: 1)")
        node.corosync.log("KNET", f"host: host: {host} has no active links")


def _log_quorum(node: Node, *, before: bool, now: bool) -> None:
    if before != now:
        part = "the primary component and will" if now else "the non-primary component and will NOT"
        service = "service" if now else "any services"
        node.corosync.log("QUORUM", f"This node is within {part} provide {service}.")


def _log_change(node: Node, before: tuple[int, ...], after: tuple[int, ...], ring: int, lost: list[int]) -> None:
    log = node.corosync.log
    left = [str(i) for i in before if i not in after]
    joined = [str(i) for i in after if i not in before]
    for host in joined if before else []:
        log("KNET", f"rx: host: {host} link: 0 is up")
        log("KNET", f"link: Resetting MTU for link 0 because host {host} joined")
    log("QUORUM", f"Sync members[{len(after)}]: {' '.join(map(str, after))}")
    if joined:
        log("QUORUM", f"Sync joined[{len(joined)}]: {' '.join(joined)}")
    if left:
        log("QUORUM", f"Sync left[{len(left)}]: {' '.join(left)}")
    change = f" joined: {' '.join(joined)}" if joined else ""
    change += f" left: {' '.join(left)}" if left else ""
    log("TOTEM", f"A new membership ({after[0]}.{ring:x}) was formed. Members{change}")
    if lost:
        log("TOTEM", f"Failed to receive the leave message. failed: {' '.join(map(str, lost))}")
    log("QUORUM", f"Members[{len(after)}]: {' '.join(map(str, after))}")
    log("MAIN", "Completed service synchronization, ready to provide service.")


def _pmxcfs_sync(group: list[Node]) -> None:
    """Members' databases become equal: highest version, then newest, wins wholesale."""
    joined = [n.pmxcfs for n in group if n.pmxcfs.in_cluster]
    for pmxcfs in joined:
        pmxcfs.saw_corosync()
    if len(joined) < 2:
        return
    leader = max(joined, key=lambda p: (p.database.head.version, p.database.head.mtime))
    for pmxcfs in joined:
        pmxcfs.peers_seen.update(p.host.name for p in joined)
        if pmxcfs is not leader and pmxcfs.database.rows != leader.database.rows:
            pmxcfs.database.replace(list(leader.database.rows.values()))
            pmxcfs.configuration_changed()


def synchronise(node: Node, nodes: Iterable[Node]) -> None:
    """A pmxcfs joins the group of its corosync's membership."""
    runtime = node.corosync.runtime
    if runtime is None:
        return
    group = [n for n in nodes if _same_partition(node, n)]
    _pmxcfs_sync(group)
