"""Whether nodes may leave while the others stay a cluster (--leave): what those that stay are without them, and what
still ties them to the ones that go. One text for one finding."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from pve_runbook.diagnosis.refusals import AGAIN
from pve_runbook.diagnosis.verdict import Diagnosis, Verdict
from pve_runbook.diagnosis.votes import HALF_IS_ENOUGH
from pve_runbook.facts.node import NodeFacts
from pve_runbook.facts.node_state import NodeState
from pve_runbook.parsers.corosync_conf import CorosyncConf
from pve_runbook.parsers.jobs import parse_replication_cfg_text
from pve_runbook.parsers.output import ParseError
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

TOGETHER = (NodeState.CLUSTERED_QUORATE, NodeState.CLUSTERED_NO_QUORUM)


class Rest(Struct, frozen=True):
    """Those that stay. ``votes``: their own; ``configured``: of all that are in the nodelist now, with those that
    leave; ``gone``: who of these leaves, by their own names."""

    names: tuple[str, ...]
    votes: int
    configured: int
    gone: tuple[str, ...]
    half_is_enough: bool

    @property
    def has_majority(self) -> bool:
        """Whether they are quorate without the others before these are out of the nodelist."""
        return 2 * self.votes > self.configured or self.half_is_enough

    def __str__(self) -> str:
        """One clause for people."""
        return f"{', '.join(self.names)}: {self.votes} of {self.configured} votes"


def rest_of(staying: Sequence[NodeFacts], let_go: Collection[str]) -> Rest:
    """What those that stay are by themselves. Raises UnknownFact, also where no corosync.conf says it."""
    conf = _conf(staying[0])
    names = {f.hostname for f in staying}
    quorum = staying[0].quorum
    return Rest(
        names=tuple(f.node for f in staying),
        votes=sum(n.votes for n in conf.nodes if n.name in names),
        configured=sum(n.votes for n in conf.nodes),
        gone=tuple(n.name for n in conf.nodes if n.name in let_go),
        half_is_enough=quorum is not None and not HALF_IS_ENOUGH.isdisjoint(quorum.flags),
    )


def _conf(facts: NodeFacts) -> CorosyncConf:
    conf = facts.corosync_conf
    if conf is None:
        raise UnknownFact(facts.node, "who is a member", "it has no corosync.conf")
    if not conf.lists_all:
        raise UnknownFact(facts.node, "who is a member", "the nodelist in its corosync.conf is damaged")
    return conf


def no_cluster_without_them(staying: Sequence[NodeFacts], let_go: Collection[str], *, may_force: bool) -> str:
    """Why those that stay would be no cluster of their own, in words, or "". Raises UnknownFact."""
    return apart(staying) or _device(staying) or _minority(staying, let_go, may_force=may_force)


def apart(staying: Sequence[NodeFacts]) -> str:
    """Everyone who stays is a member now, and sees all others who stay."""
    ids = {n.name: n.nodeid for n in _conf(staying[0]).nodes}
    for facts in staying:
        quorum = facts.quorum
        seen = {m.nodeid for m in quorum.members} if quorum is not None else set()
        missing = [f.node for f in staying if ids.get(f.hostname) not in seen]
        if facts.state in TOGETHER and not missing:
            continue
        how = f"does not see {', '.join(missing)}" if facts.state in TOGETHER else f"is: {facts.state.meaning}"
        return refusal(
            RefusalId.STAYING_NODES_ARE_APART,
            facts.node,
            seen=f"it stays in the cluster, and {how}",
            why="a node is taken out of a cluster that works without it; these would be none",
            do="Fix that first (checks/ say what it is); or let this node go too: name it in --leave",
        )
    return ""


def _device(staying: Sequence[NodeFacts]) -> str:
    if not _conf(staying[0]).qdevice:
        return ""
    return refusal(
        RefusalId.QDEVICE_IS_CONFIGURED,
        "cluster",
        seen="corosync.conf has a QDevice",
        why="its vote and its certificates are made for the present nodes: the vendor has it removed before a node is "
        "(pve-docs, pvecm)",
        do="Type `pvecm qdevice remove` on a node that stays (without quorum `pvecm expected VOTES` first, with the "
        "votes that `pvecm status` counts), and set it up anew afterwards: `pvecm qdevice setup`. Where it wants a "
        "dead node to be online: take the section `device` out of /etc/pve/corosync.conf, with config_version one "
        "higher",
    )


def _minority(staying: Sequence[NodeFacts], let_go: Collection[str], *, may_force: bool) -> str:
    rest = rest_of(staying, let_go)
    if rest.votes == 0:
        return refusal(
            RefusalId.STAYING_NODES_HAVE_NO_VOTE,
            "cluster",
            seen=f"those that stay have no vote: {rest}",
            why="they could never be quorate",
            do="Give one of them a vote first (quorum_votes in corosync.conf)",
        )
    if rest.has_majority:
        without = [f.node for f in staying if not f.is_quorate]
        if not without:
            return ""
        return refusal(
            RefusalId.STAYING_NODES_HAVE_NO_QUORUM,
            ", ".join(without),
            seen=f"no quorum, though those that stay have the votes for it ({rest})",
            why="nothing can be changed on them, and the reason is another one than the node that leaves",
            do="Fix that first: checks/ say what it is",
        )
    armed = [f.node for f in staying if f.has_watchdog_client]
    if armed:
        remove = _removed(staying[0].ha_resources) or "`ha-manager remove SID`"
        return refusal(
            RefusalId.HA_IS_ARMED_WHERE_NODES_STAY,
            ", ".join(armed),
            seen=f"HA is active there, and those that stay have no majority without the others ({rest})",
            why="they lose quorum for a moment when the others go: HA may reset them",
            do=f"Take all guests out of HA first ({remove}), and end it where nodes stay (`systemctl stop pve-ha-lrm`, "
            "then `systemctl stop pve-ha-crm`) until the others have left, or wait until `ha-manager status` says idle "
            "of these nodes; or let the nodes go one at a time",
        )
    if may_force:
        return ""
    return refusal(
        RefusalId.STAYING_NODES_ARE_A_MINORITY,
        "cluster",
        seen=f"those that stay have no majority of their own: {rest}",
        why="when the others are silent they lose quorum, until their own votes are set to be enough (`pvecm "
        "expected`) and the others are out of the nodelist; a part of the cluster that runs elsewhere would not know "
        "of it",
        do="If nothing else of this cluster runs anywhere, say so: --accept=forced-quorum",
    )


NOT_NOW = {
    Verdict.CONFIGS_MISSING: "a guest that runs without its config is lost when its process ends",
    Verdict.WAIT: "a membership that has just changed says nothing yet of who is together",
    Verdict.SPLIT_BRAIN: "two parts that are both quorate have two histories: which one stays is not known",
    Verdict.STANDALONE: "there is no cluster that a node could leave",
}
"""Verdicts on which no node leaves, whoever says it."""


def not_now(found: Diagnosis, *, may_force: bool) -> str:
    """Why no node leaves a cluster on which this is the verdict, in words, or ""."""
    why = NOT_NOW.get(found.verdict)
    if found.verdict is Verdict.UNKNOWN and not may_force:
        why = "unknown is not yes: why the cluster is as it is has to be known, or be taken upon oneself"
    if why is None:
        return ""
    return refusal(
        RefusalId.NO_NODE_LEAVES_NOW,
        "cluster",
        seen=f"the verdict is {found.verdict}: {'; '.join(found.evidence)}",
        why=why,
        do=f"{found.advice[0].upper()}{found.advice[1:]}; then run the same command line again",
    )


def ha_guests(facts: NodeFacts, names: Collection[str]) -> dict[str, str]:
    """``vm:101`` → its node: the guests of the members ``names`` that HA manages. Raises UnknownFact."""
    owners = {f"{'vm' if g.kind == 'qemu' else 'ct'}:{g.vmid}": g.node for g in facts.all_guests.values()}
    return {sid: owners[sid] for sid in facts.ha_resources if owners.get(sid) in names}


def held_by_ha(facts: NodeFacts, names: Collection[str]) -> str:
    """Guests of those that leave that HA manages, where it cannot be told to let them go, in words, or "". Raises
    UnknownFact."""
    found = ha_guests(facts, names)
    if not found or facts.is_quorate:
        return ""
    return refusal(
        RefusalId.HA_CANNOT_LET_GO,
        facts.node,
        seen=f"HA manages guests of what leaves ({_owned(found)}), and there is no quorum to take them out of it",
        why="once those that stay are quorate HA would recover them there, while they may run on their own node",
        do=f"Give {facts.node} quorum first (`pvecm expected {facts.own_votes}` where it is alone), type "
        f"{_removed(found)} there, then run the same command line again",
    )


def still_under_ha(facts: NodeFacts, names: Collection[str]) -> str:
    """Guests of those that leave that HA manages still, in words, or "". Raises UnknownFact."""
    found = ha_guests(facts, names)
    if not found:
        return ""
    return refusal(
        RefusalId.HA_MANAGES_WHAT_LEAVES,
        facts.node,
        seen=f"HA manages guests of what leaves: {_owned(found)}",
        why="once the node is gone HA would recover them on another one, while they run on it",
        do=f"Type {_removed(found)} on {facts.node}. {AGAIN}",
    )


def _removed(sids: Iterable[str]) -> str:
    return ", ".join(f"`ha-manager remove {sid}`" for sid in sids)


def _owned(guests: Mapping[str, str]) -> str:
    return ", ".join(f"{sid} on {node}" for sid, node in guests.items())


def replicated(facts: NodeFacts, let_go: Collection[str], absent: Collection[str]) -> str:
    """Replication jobs to and from those that leave, in words, or "". Raises UnknownFact."""
    try:
        jobs = parse_replication_cfg_text(facts.tree.text("replication.cfg") or "")
    except ParseError as error:
        raise UnknownFact(facts.node, "replication.cfg", str(error)) from None
    owners = {vmid: guest.node for vmid, guest in facts.all_guests.items()}
    found = {}
    for job in jobs:
        source = owners.get(int(job.id.partition("-")[0]), "")
        if job.target in let_go or source in let_go:
            dead = job.target in absent or source in absent
            found[f"{job.id} from {source or 'nobody'} to {job.target}"] = (
                f"`pvesr delete {job.id}{' --force' if dead else ''}`"
            )
    if not found:
        return ""
    first = (
        ""
        if facts.is_quorate
        else f"Give those that stay quorum first (`pvecm expected {facts.own_votes}` where one is alone). "
    )
    return refusal(
        RefusalId.REPLICATION_WITH_WHAT_LEAVES,
        facts.node,
        seen=f"replication jobs go to or come from what leaves: {', '.join(found)}",
        why="once the node is out of the nodelist they cannot be removed any more (pve-docs, pvecm); whether the copy "
        "on the target is still needed only you know",
        do=f"{first}Type {', '.join(found.values())} on {facts.node} (without --keep the copy on the target goes too), "
        "see that `pvesr list` is without them, then run the same command line again",
    )


def ceph_roles(node: str, signs: Collection[str]) -> str:
    """Ceph on the cluster's own nodes, while one of them leaves."""
    return refusal(
        RefusalId.CEPH_WHERE_A_NODE_LEAVES,
        node,
        seen=f"Ceph runs on this cluster: {', '.join(signs)}",
        why="whether the node carries a monitor, manager, MDS or OSDs is not read; taken out with them, data and "
        "Ceph's own quorum are at stake",
        do=f"See `ceph node ls`; what is on {node}: `ceph osd out` and `pveceph osd destroy` once all is well again, "
        "`pveceph mon destroy`, `pveceph mgr destroy`, `pveceph mds destroy`. Once none is there, say so: "
        "--accept=ceph",
    )


def still_listed(facts: NodeFacts, names: Sequence[str]) -> str:
    """Those that were let go and are still known to a node that stays."""
    return refusal(
        RefusalId.NODE_IS_STILL_LISTED,
        facts.node,
        seen=f"{', '.join(names)} is still in its nodelist, or among its members",
        why="the node that was let go counts in its votes, and would be taken for one that is off",
        do=f"Look at `pvecm status` and `journalctl -u corosync -u pve-cluster` there. {AGAIN}",
    )


def not_quorate(facts: NodeFacts) -> str:
    """A node that stays, without quorum."""
    return refusal(
        RefusalId.STAYING_NODE_LOST_QUORUM,
        facts.node,
        seen=f"pvecm says {facts.quorum or facts.pvecm.kind}; /etc/pve writable: {facts.is_writable}",
        why="it stays in the cluster, and can change nothing",
        do="Look at `pvecm status` on every node that stays, then run the same command line again",
    )


def not_the_same(earlier: Sequence[str], now: Sequence[str]) -> str:
    """An unfinished run that takes out others than this command line does."""
    which = f"--leave={','.join(earlier)}" if earlier else "no --leave: every node leaves"
    return refusal(
        RefusalId.ANOTHER_NODE_LEAVES,
        "cluster",
        seen=f"the unfinished run was begun with {which}; this one says {','.join(now) or 'that every node leaves'}",
        why="what stays and what leaves was decided, and approved, at its start",
        do=f"Run the same command line as before: {which}",
    )


def let_go_already(names: Sequence[str], stay: Sequence[str]) -> str:
    """Nodes that cannot go back any more: those that stayed have let them go."""
    return refusal(
        RefusalId.LET_GO_ALREADY,
        "cluster",
        seen=f"{', '.join(stay)} have let {', '.join(names)} go: it is in no nodelist any more",
        why="this is past the point of no return: put back, its corosync would find nobody that knows it",
        do=f"Leave {', '.join(names)} as it is, standalone and whole; or empty it of guests (backup there, restore "
        f"elsewhere), and join it again: `pvecm add ADDRESS` on it, ADDRESS being that of {stay[0]}",
    )
