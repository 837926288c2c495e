"""corosync: who sees whom, and the votes (votequorum) of each node.

Rules of expected votes: corosync exec/votequorum.c, as read and as recorded on PVE 8.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from pve_lab.formats.corosync_conf import CorosyncConf, parse, stops_at
from pve_lab.model.host import Host
from pve_lab.model.units import Units

CONFIG = "/etc/corosync/corosync.conf"
AUTHKEY = "/etc/corosync/authkey"


@dataclass
class Link:
    """Counters of one link to one node, by nodeid and number; a peer's begins with one down (recorded on PVE 8.3)."""

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
    links: dict[tuple[int, int], Link] = field(default_factory=dict)
    """By nodeid and link number."""
    bound: dict[int, str] = field(default_factory=dict)
    """Link number → own address, looked up at the start and never again."""
    peers: dict[int, dict[int, str]] = field(default_factory=dict)
    """nodeid → link number → address, looked up likewise."""
    synced: bool = False
    refused: bool = False
    """Its configuration is older than that of the others, it is about to exit."""
    leaving: set[int] = field(default_factory=set)
    """Members that have said that they leave."""
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


class CorosyncSurroundings(Protocol):
    """What a corosync reaches, and tells, on its own node and in the cluster."""

    def corosync_of_all(self) -> Iterable[Corosync]:
        """The corosync of every node of the cluster, the own one too."""

    def form_memberships(self) -> None:
        """A corosync started or ended: memberships follow."""

    def quorum_changed(self) -> None:
        """Its membership or votes changed."""

    def corosync_died(self) -> None:
        """It is gone; who was connected to it has to notice."""


class Corosync:
    """The corosync of one node."""

    def __init__(self, host: Host, units: Units, surroundings: CorosyncSurroundings) -> None:
        self.host = host
        self.units = units
        self.surroundings = surroundings
        self.runtime: Runtime | None = None
        self.resent = 0
        """Messages that it sent again."""
        self.cmap_is_busy = False
        """Whether what asks its cmap is told to try again."""

    @property
    def quorate(self) -> bool:
        """Whether corosync runs and is quorate."""
        return self.runtime is not None and self.runtime.quorate

    def start(self) -> int:
        """Start the daemon; returns its exit status when it cannot (8, as recorded), else 0."""
        host = self.host
        text = host.files.text(CONFIG)
        if error := stops_at(text):
            self.log("MAIN", error)
            self.log("MAIN", "Corosync Cluster Engine exiting with status 8 at main.c:1417.")
            return 8
        conf = parse(text)
        if not host.files.exists(AUTHKEY):
            self.log("MAIN", f"Could not open {AUTHKEY}: No such file or directory")
            self.log("MAIN", "Corosync Cluster Engine exiting with status 8 at main.c:1417.")
            return 8
        member = conf.member(host.name)
        if member is None:
            self.log("MAIN", "parse error in config: No nodeid specified in totem or nodelist")
            self.log("MAIN", "Corosync Cluster Engine exiting with status 8 at main.c:1445.")
            return 8
        votes = conf.expected_votes or sum(m.votes for m in conf.members) + conf.device_votes
        runtime = self.runtime = Runtime(conf, host.files.read(AUTHKEY), member.nodeid, votes)
        runtime.peers = {m.nodeid: {i: host.resolve(a) or a for i, a in m.rings.items()} for m in conf.members}
        runtime.bound = runtime.peers.pop(member.nodeid)
        for peer in [m.nodeid for m in conf.members if m.nodeid != member.nodeid] * 3:
            self.log("KNET", f"host: host: {peer} (passive) best link: 0 (pri: 1)")
            self.log("KNET", f"host: host: {peer} has no active links")
        host.files.put(f"/var/lib/corosync/ringid_{member.nodeid}", b"\x16\0\0\0\0\0\0\0")
        self.surroundings.form_memberships()
        return 0

    def stop(self) -> None:
        """End the daemon; quorum is lost at once, and the members that see it go are told."""
        runtime, self.runtime = self.runtime, None
        for other in self.surroundings.corosync_of_all():
            if runtime is not None and runtime.nodeid in other.members:
                other.said_goodbye(runtime.nodeid)
        self.surroundings.corosync_died()
        self.surroundings.form_memberships()

    def exit(self) -> None:
        """End by itself, as a success to systemd."""
        self.units.stop("corosync")

    @property
    def members(self) -> tuple[int, ...]:
        """The nodeids of the membership that this corosync is in; none while it does not run."""
        return self.runtime.members if self.runtime is not None else ()

    def said_goodbye(self, nodeid: int) -> None:
        """A member says that it leaves."""
        if self.runtime is not None:
            self.runtime.leaving.add(nodeid)
            self.log("CFG", f"Node {nodeid} was shut down by sysadmin")

    def force_expected(self, votes: int) -> bool:
        """`pvecm expected`: applies to all visible members; False when corosync refuses it."""
        runtime = self.runtime
        if runtime is None or votes < runtime.total_votes or (runtime.quorate and votes > runtime.total_votes):
            return False
        for corosync in self.surroundings.corosync_of_all():
            other = corosync.runtime
            if other is not None and other.nodeid in runtime.members and other.identity == runtime.identity:
                other.expected_votes = votes
                other.recalculate(allow_decrease=True)
                corosync.surroundings.quorum_changed()
        return True

    def reload(self) -> None:
        """`corosync-cfgtool -R`: the nodelist is read anew while it runs, and the expected votes follow it, down too: a
        forced value is over (exec/votequorum.c, votequorum_readconfig at run time)."""
        runtime, text = self.runtime, self.host.files.text(CONFIG)
        if runtime is None or stops_at(text):  # it goes on with what it has
            return
        conf = runtime.conf = parse(text)
        listed = {m.nodeid for m in conf.members}
        new = {m.nodeid: m.rings for m in conf.members if m.nodeid not in {runtime.nodeid, *runtime.peers}}
        runtime.peers = {i: a for i, a in runtime.peers.items() if i in listed}
        runtime.peers |= {i: {n: self.host.resolve(a) or a for n, a in rings.items()} for i, rings in new.items()}
        runtime.links = {key: link for key, link in runtime.links.items() if key[0] in listed}
        runtime.expected_votes = conf.expected_votes or sum(m.votes for m in conf.members) + conf.device_votes
        runtime.recalculate(allow_decrease=True)
        self.log("CFG", f"Config reload requested by node {runtime.nodeid}")
        self.surroundings.quorum_changed()

    def log(self, subsystem: str, message: str) -> None:
        """Log one line in corosync's own format."""
        pid = self.units.get("corosync.service").main_pid
        self.host.journal.add("corosync.service", "corosync", pid, f"  [{subsystem:<6}] {message}")
