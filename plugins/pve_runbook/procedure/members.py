"""The nodes of a run as the members they are or were: whose cluster, under which name, in which order they leave."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from pve_runbook.cluster.cluster import Cluster
from pve_runbook.cluster.node import Node
from pve_runbook.facts.ha import can_disarm
from pve_runbook.facts.node import NodeFacts
from pve_runbook.facts.node_state import NodeState
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact, known
from pve_runbook.probes.probe import Group
from pve_runbook.ssh.connection import ConnectOptions

EARLIER_SECONDS = 200
"""The longest that one of our own commands may take, a window among them."""
EARLIER = "{units} of the run that was cut short goes on here; waited for before anything is judged, {bound} s at most"
NO_CLUSTER = "standalone"
"""What the cluster is called where no node knows of one."""


class Members:
    """Made when the nodes are connected; :meth:`learn` asks them who they are."""

    def __init__(self, cluster: Cluster, connect: ConnectOptions, leave: Sequence[str] = ()) -> None:
        """``leave``: the nodes that --leave takes out, by their names in --hosts, or by their own where they are dead;
        empty where every node leaves."""
        self.cluster = cluster
        self.leave = tuple(leave)
        """As given."""
        self.connect = connect
        """How the nodes were logged in to."""
        self.cluster_name = NO_CLUSTER
        self.names: tuple[str, ...] = ()
        """The members by corosync.conf; empty once there is none."""
        self.hostnames: dict[str, str] = {}
        """Name in --hosts → the node's own name."""
        self.clusters: dict[str, str] = {}
        """Node name → name of the cluster it is or was a member of."""
        self.standalone_at_start: frozenset[str] = frozenset()
        self.authority: Node | None = None
        """Once it is chosen."""

    def learn(self, groups: Sequence[Group]) -> None:
        """Name and members of the cluster, from every node that still knows them; ``groups`` are read for it."""
        self.cluster.read(*groups)
        members: dict[str, None] = {}
        damaged = False
        standalone = set()
        for node in self.cluster.nodes:
            conf = known(lambda f=node.facts: f.corosync_conf)  # type: ignore[misc]
            self.hostnames[node.name] = known(lambda f=node.facts: f.hostname) or node.name  # type: ignore[misc]
            if conf is not None:
                name = conf.cluster_name or _name_in_pmxcfs(node)
                self.cluster_name = name or self.cluster_name
                self.clusters.update({node.name: name} if name else {})
                members.update({n.name: None for n in conf.nodes})
                damaged = damaged or not conf.lists_all
            if known(lambda f=node.facts: f.state) is NodeState.STANDALONE:  # type: ignore[misc]
                standalone.add(node.name)
        self.standalone_at_start = frozenset(standalone)
        if damaged:  # what else may be a member: who has a folder, and who was named
            members.update(dict.fromkeys(n for x in self.cluster.nodes for n in _folders(x)))
            members.update(dict.fromkeys(self.hostnames.values()))
        self.names = tuple(members)

    def as_before(self, names: tuple[str, ...], clusters: dict[str, str], standalone: frozenset[str]) -> None:
        """Take what an unfinished run wrote down before its first change: it counts."""
        self.names, self.clusters, self.standalone_at_start = names, clusters, standalone
        self.cluster_name = next(iter(clusters.values()), self.cluster_name)

    @property
    def staying(self) -> list[Node]:
        """The nodes that stay a cluster; none where every node leaves."""
        return [n for n in self.cluster.nodes if n.name not in self.leave] if self.leave else []

    @property
    def may_lead(self) -> list[Node]:
        """The nodes out of which the authority is chosen."""
        return self.staying or self.cluster.nodes

    @property
    def is_let_go(self) -> tuple[str, ...]:
        """The members that those which stay are to forget, by their own names; empty where every node leaves."""
        given = {n.name: self.hostname_of(n) for n in self.cluster.nodes}
        return tuple(given.get(name, name) for name in self.leave)

    def known_to(self, facts: NodeFacts) -> set[str]:
        """The members by one node's corosync.conf, in its database and as corosync reads it, and by its pmxcfs. Raises
        UnknownFact."""
        conf, etc, listed = facts.corosync_conf, facts.get(probes.ETC_COROSYNC_CONF), facts.members
        names = {n.name for c in (conf, etc) if c is not None for n in c.nodes}
        return names | set((listed.nodes if listed is not None else None) or ())

    def still_listed(self) -> tuple[str, ...]:
        """Those of :attr:`is_let_go` that a node which stays still knows. Raises UnknownFact."""
        known = set().union(*(self.known_to(n.facts) for n in self.staying))
        return tuple(name for name in self.is_let_go if name in known)

    def is_settled(self, facts: NodeFacts) -> bool:
        """Whether a node's corosync expects the votes of its nodelist, and pmxcfs lists the same members. Raises
        UnknownFact."""
        conf, quorum, etc = facts.corosync_conf, facts.quorum, facts.get(probes.ETC_COROSYNC_CONF)
        if conf is None or quorum is None or etc is None:
            return False
        votes = sum(n.votes for n in conf.nodes)
        return quorum.expected <= votes and self.known_to(facts) == {n.name for n in conf.nodes}

    def sees_leavers(self, facts: NodeFacts) -> bool:
        """Whether a node's corosync counts one of those that leave. Raises UnknownFact."""
        conf, quorum = facts.corosync_conf, facts.quorum
        gone = {n.nodeid for n in conf.nodes if n.name in self.is_let_go} if conf is not None else set()
        return quorum is not None and any(m.nodeid in gone for m in quorum.members)

    @property
    def disarms(self) -> str | None:
        """The node on which HA is disarmed before it is stopped. None where HA goes on elsewhere (--leave), holds no
        watchdog, or has no such command; and where not every member is here and quorate: HA would wait for it."""
        nodes = [n for n in self.cluster.nodes if n.name not in self.standalone_at_start]
        if self.staying or not set(self.names) <= {self.hostname_of(n) for n in nodes}:
            return None
        if not known(lambda: all(n.facts.is_quorate for n in nodes)):
            return None
        armed = known(lambda: [n for n in nodes if n.facts.has_watchdog_client])
        if not armed:
            return None
        return armed[0].name if known(lambda: all(can_disarm(n.facts) for n in armed)) else None

    @property
    def peers(self) -> list[Node]:
        """Every node whose corosync is silent before the first window: all but the authority and those that stay."""
        stay = self.staying
        return [n for n in self.cluster.nodes if n is not self.authority and n not in stay]

    @property
    def leaving(self) -> list[Node]:
        """The nodes in the order in which they leave: the authority last, where it leaves at all."""
        if self.leave:
            return self.peers
        return self.peers + ([self.authority] if self.authority is not None else [])

    @property
    def logs_in_as_root(self) -> bool:
        """Whether the SSH login itself is root's, whose keys are a link into /etc/pve."""
        return not self.connect.sudo

    def hostname_of(self, node: Node) -> str:
        """The node's own name, under which it owns guests."""
        return self.hostnames.get(node.name, node.name)

    def settle(self, node: Node) -> None:
        """Give a node a few seconds to be in one state: mode and text differ for a moment when quorum changes."""
        with contextlib.suppress(UnknownFact):
            self.cluster.wait_until(
                node, lambda f: f.state is not NodeState.UNKNOWN, "whether its state settles", seconds=10
            )

    def settle_guests(self) -> None:
        """Give a VM that is just starting or ending a moment: its process and its pid file do not come together."""
        for node in self.cluster.nodes:
            if known(lambda f=node.facts: f.pids_apart):  # type: ignore[misc]
                with contextlib.suppress(UnknownFact):
                    self.cluster.wait_until(node, lambda f: not f.pids_apart, "whether its guests settle", seconds=5)

    def wait_for_earlier(self, node: Node) -> bool:
        """Give a command of an earlier run, which went on without its connection, the time to end; whether it was
        waited for.

        Nothing else is asked of the node meanwhile: in a window all that is read would not hold a moment later.
        """
        units = known(lambda: node.facts.our_units)
        if not units:
            return False
        waits = self.cluster.waits
        waits.say(node.name, EARLIER.format(units=", ".join(units), bound=EARLIER_SECONDS))
        with waits.on(node.name, "what goes on there to end", EARLIER_SECONDS):
            for _ in range(EARLIER_SECONDS):
                if known(lambda: node.ask(probes.OUR_UNITS)) == ():
                    break
                node.poll(1)
        node.forget()
        return True


def _name_in_pmxcfs(node: Node) -> str:
    """The cluster's name as pmxcfs read it while its corosync.conf was whole; "" where it does not say."""
    listed = known(lambda: node.facts.members)
    return listed.cluster_name or "" if listed is not None else ""


def _folders(node: Node) -> list[str]:
    """The nodes that have files below nodes/ in this node's database."""
    tree = known(lambda: node.facts.tree)
    paths = (path.split("/") for path in tree.files) if tree is not None else ()
    return list(dict.fromkeys(parts[1] for parts in paths if parts[0] == "nodes" and len(parts) > 2))
