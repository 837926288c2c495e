"""Where every member stands: in the part that counts, or out of it, and out in which way; nothing of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import partial

from msgspec import Struct

from pve_runbook.diagnosis.membership import old_name
from pve_runbook.diagnosis.votes import Part, parts, quorate_majority
from pve_runbook.facts.network import ring_conf
from pve_runbook.facts.node import NodeFacts
from pve_runbook.facts.node_state import NodeState
from pve_runbook.parsers.corosync_conf import CorosyncConf
from pve_runbook.parsers.pmxcfs import Members
from pve_runbook.parsers.pvecm import PvecmStatus
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import known

MEMBERS = (NodeState.CLUSTERED_QUORATE, NodeState.CLUSTERED_NO_QUORUM, NodeState.COROSYNC_DOWN)
GONE = (NodeState.STANDALONE, NodeState.STANDALONE_COROSYNC_RUNNING, NodeState.STANDALONE_LEFTOVERS)


class Way(StrEnum):
    """In which way a member is out."""

    OFF = "off"
    """Powered off, or not to be reached, or not asked; and nobody sees it."""
    PMXCFS_DOWN = "pve-cluster does not run"
    COROSYNC_DOWN = "corosync does not run"
    APART = "runs, and does not see the others"
    REMOVED = "not in the others' nodelist"
    RENAMED = "has another name than in the nodelist"
    GONE = "has left"
    BETWEEN = "between member and standalone"
    UNCLEAR = "its state is not known"


class Out(Struct, frozen=True):
    """A member that is not in the part that counts; ``seen`` is a clause for people."""

    node: str
    way: Way
    seen: str

    def __str__(self) -> str:
        """``NODE: SEEN``."""
        return f"{self.node}: {self.seen}"


class Situation(Struct, frozen=True):
    """``states``: of the reached nodes. ``majority``: quorate by its own votes, None where there is none. ``outs``: who
    is not in it; without one, who is not in the part with the most votes. ``conf``: the configuration that counts."""

    states: Mapping[str, NodeState]
    parts: tuple[Part, ...]
    majority: Part | None
    outs: tuple[Out, ...]
    conf: CorosyncConf | None
    renamed: Mapping[str, tuple[str, str]]
    """Member, in or out → its name in the nodelist, and what it calls itself instead."""

    @property
    def is_standalone(self) -> bool:
        """Whether every reached node is standalone, and nobody else is a member."""
        return bool(self.states) and all(state is NodeState.STANDALONE for state in self.states.values())

    @property
    def quorate_parts(self) -> tuple[Part, ...]:
        """The parts that are quorate, by whatever votes."""
        return tuple(part for part in self.parts if part.quorate)

    def out(self, *ways: Way) -> tuple[Out, ...]:
        """Those that are out in one of these ways."""
        return tuple(o for o in self.outs if o.way in ways)

    @property
    def would_be_quorate_with_the_absent(self) -> bool:
        """Whether the nodes that run see each other, and only the votes of those that are off are missing."""
        off = {o.node for o in self.out(Way.OFF)}
        if self.conf is None or not self.parts or not off or len(self.outs) > len(off):
            return False
        votes = self.parts[0].votes + sum(n.votes for n in self.conf.nodes if n.name in off)
        return len(self.parts) == 1 and 2 * votes > self.parts[0].configured


def situation(everyone: Sequence[NodeFacts], off: Mapping[str, str]) -> Situation:
    """Judge where the members stand. ``off``: members that the operator calls powered off, or that were not reached →
    what is known of it; one that the others see is no less a member.

    A node whose state is not known is out of the part that counts; what is not known of it is said there.
    """
    states = {f.node: f.state for f in everyone}
    found = parts([f for f in everyone if known(partial(_votes, f)) is not None])
    majority = quorate_majority(found)
    core = majority or (found[0] if found else None)
    conf = _conf_that_counts(everyone, core)
    outside = [f for f in everyone if core is None or f.node not in core.nodes]
    outs = [_out(f, states[f.node], conf, beside_majority=majority is not None) for f in outside]
    if all(state in GONE for state in states.values()):
        outs = []
    asked = {known(partial(_hostname, f)) for f in everyone} | {f.node for f in everyone}
    seen = set(core.members) if core is not None else set[str]()
    for name in [n.name for n in conf.nodes] if conf is not None else list(off):
        if name in asked:
            continue
        if name not in seen:
            outs.append(Out(name, Way.OFF, off.get(name, "not in --hosts, and no node sees it")))
        elif majority is not None and _is_without_pmxcfs(name, [f for f in everyone if f.node in majority.nodes]):
            outs.append(Out(name, Way.PMXCFS_DOWN, _WITHOUT_PMXCFS))
    return Situation(states, found, majority, tuple(outs), conf, _renamed(everyone))


_WITHOUT_PMXCFS = (
    "corosync runs there, and the others' pmxcfs do not see its own: pve-cluster does not run, and root's usual keys, "
    "which lie in /etc/pve, open no login"
)


def _is_without_pmxcfs(name: str, others: Sequence[NodeFacts]) -> bool:
    """Whether pmxcfs of all the others calls a member offline that they did not lose: only those whose pmxcfs is in
    its process group are online (pve-cluster, src/pmxcfs/status.c)."""
    lists = [listed.nodes for f in others if (listed := known(partial(_members, f))) is not None and listed.nodes]
    return bool(lists) and not any(name not in nodes or nodes[name].online for nodes in lists)


def _conf_that_counts(everyone: Sequence[NodeFacts], core: Part | None) -> CorosyncConf | None:
    """The newest of the part that counts; of all nodes where there is none."""
    inside = [f for f in everyone if core is not None and f.node in core.nodes] or list(everyone)
    confs = [c for f in inside if (c := known(partial(ring_conf, f))) is not None and c.nodes]
    return max(confs, key=lambda c: (not c.faults, c.config_version), default=None)


def _renamed(everyone: Sequence[NodeFacts]) -> dict[str, tuple[str, str]]:
    """A node's name is what its guests' configs lie below, and what Proxmox's tools ask for."""
    return {f.node: (old, f.hostname) for f in everyone if (old := old_name(f)) is not None}


def _votes(facts: NodeFacts) -> PvecmStatus:
    return facts.pvecm


def _members(facts: NodeFacts) -> Members | None:
    return facts.members


def _hostname(facts: NodeFacts) -> str:
    return facts.hostname


def _out(facts: NodeFacts, state: NodeState, conf: CorosyncConf | None, *, beside_majority: bool) -> Out:
    """In which way a reached node is out."""
    node = facts.node
    if state is NodeState.UNKNOWN:
        return Out(node, Way.UNCLEAR, _why_unclear(facts))
    if state in GONE:
        return Out(node, Way.GONE, f"it has left: {state.meaning}")
    if state is NodeState.UNMOUNTED and _is_nobodys_window(facts, beside_majority=beside_majority):
        unit = facts.units["pve-cluster.service"]
        return Out(node, Way.PMXCFS_DOWN, f"pve-cluster.service is {unit.active}, and /etc/pve is not mounted")
    if state is NodeState.HALF_DISMANTLED and not _only_lost_its_key(facts):
        return Out(node, Way.BETWEEN, state.meaning)
    if state in (NodeState.LOCAL_MODE, NodeState.UNMOUNTED):
        return Out(node, Way.BETWEEN, state.meaning)
    names = [n.name for n in conf.nodes] if conf is not None else [facts.hostname]
    if facts.hostname not in names:
        own = known(partial(ring_conf, facts))
        if own is None or own.faults or facts.hostname in [n.name for n in own.nodes]:
            return Out(node, Way.REMOVED, f"the others' nodelist is {', '.join(names)}: {facts.hostname} was removed")
        return Out(node, Way.RENAMED, f"it calls itself {facts.hostname}, which no corosync.conf has")
    if facts.quorum is None:
        unit = facts.corosync
        how = f"{unit.active}{', masked' if unit.is_masked else ''}"
        return Out(node, Way.COROSYNC_DOWN, f"corosync does not run there ({how})")
    alone = "sees itself alone" if facts.sees_itself_alone else "does not see all of the others"
    return Out(node, Way.APART, f"corosync runs there, and {alone}")


def _is_nobodys_window(facts: NodeFacts, *, beside_majority: bool) -> bool:
    """No run of this tool holds the node, and nobody seems to be taking the cluster apart by hand: others are a
    cluster that works, or the unit failed, or corosync runs on."""
    if facts.lock is not None or facts.our_units:
        return False
    return beside_majority or facts.units["pve-cluster.service"].active == "failed" or facts.is_corosync_running


def _only_lost_its_key(facts: NodeFacts) -> bool:
    """The configuration that corosync reads is still there: somebody who dismantles takes both."""
    return facts.get(probes.ETC_COROSYNC_CONF) is not None


def _why_unclear(facts: NodeFacts) -> str:
    """What is not known of the node; else it is what is known that contradicts itself."""
    missing = facts.state_lacks
    if missing is not None:
        return f"{missing.question}: {missing.why}"
    return f"the state of {facts.node} does not fit together"
