"""corosync: who sees whom, and the votes (votequorum) of each node.

Rules of expected votes: corosync exec/votequorum.c, as read and as recorded on PVE 8.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pve_runbook.lab.model.corosync_conf import CorosyncConf, parse

if TYPE_CHECKING:
    from pve_runbook.lab.model.node import Node

CONFIG = "/etc/corosync/corosync.conf"
AUTHKEY = "/etc/corosync/authkey"


@dataclass
class Link:
    """Counters of the link to one peer, by its nodeid."""

    connected: bool = False
    up_count: int = 0
    down_count: int = 0


@dataclass
class Runtime:
    """What a running corosync holds; gone when it stops, the forced votes with it."""

    conf: CorosyncConf
    authkey: bytes
    nodeid: int
    expected_votes: int
    quorum: int = 0
    members: tuple[int, ...] = ()
    ring: tuple[int, int] = (0, 0)
    links: dict[int, Link] = field(default_factory=dict)
    device: bool = False
    casting: bool = False

    @property
    def identity(self) -> tuple[str, bytes]:
        """Nodes form a membership only with the same name and key."""
        return self.conf.cluster_name, self.authkey

    @property
    def total_votes(self) -> int:
        """Votes of the members that are visible now, and of the QDevice while it casts its own here."""
        members = sum(m.votes for m in self.conf.members if m.nodeid in self.members)
        return members + (self.conf.device_votes if self.casting else 0)

    @property
    def quorate(self) -> bool:
        """Whether the visible votes reach the quorum."""
        return self.total_votes >= self.quorum

    def recalculate(self, *, allow_decrease: bool) -> None:
        """Quorum from expected and total votes; it falls only when that is allowed."""
        wanted = max((self.expected_votes + 2) // 2, (self.total_votes + 2) // 2)
        self.quorum = wanted if allow_decrease else max(wanted, self.quorum)


class Corosync:
    """The corosync of one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.runtime: Runtime | None = None

    @property
    def quorate(self) -> bool:
        """Whether corosync runs and is quorate."""
        return self.runtime is not None and self.runtime.quorate

    def start(self) -> int:
        """Start the daemon; returns its exit status when it cannot (8, as recorded), else 0."""
        node = self.node
        conf = parse(node.files.text(CONFIG))
        if not node.files.exists(AUTHKEY):
            self.log("MAIN", f"Could not open {AUTHKEY}: No such file or directory")
            self.log("MAIN", "Corosync Cluster Engine exiting with status 8 at main.c:1417.")
            return 8
        member = conf.member(node.name)
        if member is None:
            self.log("MAIN", "parse error in config: No nodeid specified in totem or nodelist")
            self.log("MAIN", "Corosync Cluster Engine exiting with status 8 at main.c:1445.")
            return 8
        votes = sum(m.votes for m in conf.members) + conf.device_votes
        self.runtime = Runtime(conf, node.files.read(AUTHKEY), member.nodeid, votes)
        node.files.put(f"/var/lib/corosync/ringid_{member.nodeid}", b"\x16\0\0\0\0\0\0\0")
        node.cluster.form_memberships()
        return 0

    def stop(self) -> None:
        """End the daemon; quorum is lost at once."""
        self.runtime = None
        self.node.pmxcfs.corosync_died()
        self.node.cluster.form_memberships()

    def force_expected(self, votes: int) -> bool:
        """`pvecm expected`: applies to all visible members; False when corosync refuses it."""
        runtime = self.runtime
        if runtime is None or votes < runtime.total_votes or (runtime.quorate and votes > runtime.total_votes):
            return False
        for node in self.node.cluster.nodes.values():
            other = node.corosync.runtime
            if other is not None and other.nodeid in runtime.members and other.identity == runtime.identity:
                other.expected_votes = votes
                other.recalculate(allow_decrease=True)
                node.quorum_changed()
        return True

    def log(self, subsystem: str, message: str) -> None:
        """Log one line in corosync's own format."""
        pid = self.node.units.get("corosync.service").main_pid
        self.node.journal.add("corosync.service", "corosync", pid, f"  [{subsystem:<6}] {message}")


def form_memberships(nodes: Iterable[Node], next_ring: int) -> int:
    """Bring every running corosync to the membership that the network allows.

    Returns the ring sequence number to use the next time.
    """
    running = [n for n in nodes if n.corosync.runtime is not None]
    seen: set[str] = set()
    for node in running:
        if node.name in seen:
            continue
        group = [n for n in running if _same_partition(node, n)]
        seen.update(n.name for n in group)
        next_ring = _form(group, next_ring)
    return next_ring


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
    return a.identity == b.identity and one.cluster.network.connected(one.name, other.name)


def _form(group: list[Node], ring: int) -> int:
    runtimes = [n.corosync.runtime for n in group if n.corosync.runtime is not None]
    members = tuple(sorted(r.nodeid for r in runtimes))
    if all(r.members == members for r in runtimes):
        return ring
    was_quorate = [r for r in runtimes if r.members and r.quorate]
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
        _log_change(node, before[runtime.nodeid], members, ring)
        _count_links(runtime, members)
        runtime.members = members
        runtime.ring = (members[0], ring)
        runtime.recalculate(allow_decrease=False)
    for node in group:
        node.quorum_changed()
    _pmxcfs_sync(group)
    return ring + 4


def _count_links(runtime: Runtime, members: tuple[int, ...]) -> None:
    for member in runtime.conf.members:
        link = runtime.links.setdefault(member.nodeid, Link())
        connected = member.nodeid in members
        if connected and not link.connected:
            link.up_count += 1
        if link.connected and not connected:
            link.down_count += 1
        link.connected = connected


def _log_change(node: Node, before: tuple[int, ...], after: tuple[int, ...], ring: int) -> None:
    log = node.corosync.log
    left = [str(i) for i in before if i not in after]
    joined = [str(i) for i in after if i not in before]
    for host in left:
        log("KNET", f"link: host: {host} link: 0 is down")
        log("KNET", f"host: host: {host} (passive) best link: 0 (pri: 1)")
        log("KNET", f"host: host: {host} has no active links")
    if left:
        log("TOTEM", "Token has not been received in 2737 ms")
        log(
            "TOTEM",
            "A processor failed, forming new configuration: token timed out (3650ms), waiting 4380ms for consensus.",
        )
    for host in joined if before else []:
        log("KNET", f"rx: host: {host} link: 0 is up")
        log("KNET", f"link: Resetting MTU for link 0 because host {host} joined")
    log("QUORUM", f"Sync members[{len(after)}]: {' '.join(map(str, after))}")
    if joined:
        log("QUORUM", f"Sync joined[{len(joined)}]: {' '.join(joined)}")
    if left:
        log("QUORUM", f"Sync left[{len(left)}]: {' '.join(left)}")
    change = f" Members joined: {' '.join(joined)}" if joined else f" Members left: {' '.join(left)}"
    log("TOTEM", f"A new membership ({after[0]}.{ring:x}) was formed.{change}")
    if left:
        log("TOTEM", f"Failed to receive the leave message. failed: {' '.join(left)}")
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
        pmxcfs.peers_seen.update(p.node.name for p in joined)
        if pmxcfs is not leader and pmxcfs.database.rows != leader.database.rows:
            pmxcfs.database.replace(list(leader.database.rows.values()))
            pmxcfs.configuration_changed()


def synchronise(node: Node) -> None:
    """A pmxcfs joins the group of its corosync's membership."""
    runtime = node.corosync.runtime
    if runtime is None:
        return
    group = [n for n in node.cluster.nodes.values() if _same_partition(node, n)]
    _pmxcfs_sync(group)
