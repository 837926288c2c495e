"""What is to be done about a cluster: wait, repair in place, dismantle, or nothing; by the article's own criteria.

Evidence first, judgement last: an unknown fact that the judgement needs makes it unknown, never better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pve_runbook.facts.state import NodeState
from pve_runbook.work import membership, network, probes
from pve_runbook.work.evidence import said_once
from pve_runbook.work.membership import Fault
from pve_runbook.work.netfacts import is_whole
from pve_runbook.work.network import Cause
from pve_runbook.work.nodefacts import NodeFacts
from pve_runbook.work.readings import UnknownFact
from pve_runbook.work.stability import Findings, Stability

ALONE = NodeState.STANDALONE
MEMBERS = (NodeState.CLUSTERED_QUORATE, NodeState.CLUSTERED_NO_QUORUM, NodeState.COROSYNC_DOWN)


WHAT_A_REPAIR_NEEDS = "To repair quorum in place, all of these have to hold:"


class Verdict(StrEnum):
    """What is to be done."""

    HEALTHY = "healthy"
    WAIT = "wait"
    REPAIR = "repair in place"
    DISMANTLE = "dismantle"
    HALF = "half-dismantled"
    STANDALONE = "standalone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One of the article's conditions for a direct repair; ``holds`` is None where it is unknown."""

    text: str
    holds: bool | None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``evidence``: what was seen, a clause each; ``advice``: what to do now, in one sentence."""

    verdict: Verdict
    evidence: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    advice: str

    @property
    def gist(self) -> str:
        """The one clause that says most: what has to be mended, what is missing, or what to do."""
        return self.evidence[0] if self.verdict in (Verdict.REPAIR, Verdict.UNKNOWN) else self.advice

    def __str__(self) -> str:
        """Verdict, evidence and criteria, one line each."""
        marks = {True: "yes", False: "no", None: "unknown"}
        lines = [f"{self.verdict.upper()}: {self.advice}", *(f"- {seen}" for seen in self.evidence)]
        criteria = [f"- {c.text}: {marks[c.holds]}" for c in self.criteria]
        return "\n".join([*lines, *([WHAT_A_REPAIR_NEEDS] if criteria else []), *criteria])


@dataclass(frozen=True, slots=True)
class _Named:
    """A cause of one line: what was seen, and how it is mended."""

    evidence: str
    fix: str


def diagnose(everyone: Sequence[NodeFacts], pasts: Mapping[str, Findings | UnknownFact]) -> Diagnosis:
    """Judge a cluster. ``pasts``: node name → what its journal shows, or why it does not."""
    try:
        states = {f.node: f.state for f in everyone}
    except UnknownFact as error:
        return _unknown(str(error))
    strange = [f for f in everyone if states[f.node] is NodeState.UNKNOWN]
    if strange:
        first, *others = (_why_strange(f) for f in strange)
        return _unknown(first, tuple(others))
    if all(state is ALONE for state in states.values()):
        return Diagnosis(Verdict.STANDALONE, ("every node is standalone",), (), "nothing is to be done")
    try:
        if _is_half_way(everyone, states):
            seen = said_once(([node], state.meaning) for node, state in states.items())
            advice = "finish the dismantling: the runbook goes on from this state"
            return Diagnosis(Verdict.HALF, seen, (), advice)
        return _of_members(everyone, pasts)
    except UnknownFact as error:
        return _unknown(str(error))


def _why_strange(facts: NodeFacts) -> str:
    """What is not known of the node; else it is what is known that contradicts itself."""
    try:
        _ = facts.pve_mounts, facts.get(probes.PVE_MODE), facts.pvecm
    except UnknownFact as error:
        return str(error)
    return f"the state of {facts.node} does not fit together"


def _is_half_way(everyone: Sequence[NodeFacts], states: Mapping[str, NodeState]) -> bool:
    """A node that only lost its key, beside members that have theirs, is no half-dismantled cluster."""
    between = [f for f in everyone if states[f.node] not in MEMBERS]
    if any(states[f.node] is not NodeState.HALF_DISMANTLED for f in between):
        return True
    with_quorum = [f for f in everyone if states[f.node] is NodeState.CLUSTERED_QUORATE]
    return bool(between) and not with_quorum


def _of_members(everyone: Sequence[NodeFacts], pasts: Mapping[str, Findings | UnknownFact]) -> Diagnosis:
    """Raises UnknownFact."""
    findings = {node: _known(past) for node, past in pasts.items()}
    shown = said_once(([node], str(found)) for node, found in findings.items() if str(found))
    states = {found.state for found in findings.values()}
    whole = is_whole(everyone)
    held = not any(found.changes for found in findings.values()) and Stability.FLAPPING not in states
    if whole and (held or states == {Stability.STEADY}):
        seen = ("all members see each other, and none was lost in the window", *shown)
        return Diagnosis(Verdict.HEALTHY, seen, (), "nothing is to be done")
    roots, unknown = _root_causes(everyone)
    named = [] if whole else _named(everyone)
    criteria = _criteria(roots, unknown, len(named) == 1 and Stability.FLAPPING not in states)
    seen = (*network.in_words(roots), *(n.evidence for n in named), *shown)
    if roots:
        return Diagnosis(Verdict.DISMANTLE, seen, criteria, "take it apart, and rebuild it on a clean network")
    if unknown is not None:
        return _unknown(str(unknown), seen, criteria)
    if Stability.SETTLING in states and states <= {Stability.SETTLING, Stability.STEADY}:
        return Diagnosis(Verdict.WAIT, seen, criteria, "wait five minutes without touching anything, and check again")
    if len(named) == 1 and Stability.FLAPPING not in states:
        return Diagnosis(Verdict.REPAIR, seen, criteria, named[0].fix)
    return _unknown("no single cause explains it: look at `journalctl -u corosync` on every node", seen, criteria)


def _known(past: Findings | UnknownFact) -> Findings:
    if isinstance(past, UnknownFact):
        raise past
    return past


def _unknown(why: str, seen: tuple[str, ...] = (), criteria: tuple[Criterion, ...] = ()) -> Diagnosis:
    return Diagnosis(Verdict.UNKNOWN, (why, *seen), criteria, "find out what is missing, and check again")


def _root_causes(everyone: Sequence[NodeFacts]) -> tuple[list[network.Finding], UnknownFact | None]:
    """What was found of the article's five, and the first fact that was missing for the others."""
    found: list[network.Finding] = []
    unknown: UnknownFact | None = None
    for cause in network.ROOT_CAUSES:
        try:
            found += network.find(cause, everyone)
        except UnknownFact as error:
            unknown = unknown or error
    return found, unknown


def _named(everyone: Sequence[NodeFacts]) -> list[_Named]:
    """The causes of one line that are there, each once. Raises UnknownFact."""
    found = {
        x.fault: _Named(x.evidence, _FIX_FAULT[x.fault].format(node=x.nodes[0]))
        for x in reversed(membership.outsiders(everyone))
    }
    links = {
        x.cause: _Named(f"{', '.join(x.nodes)}: {x.evidence}", _FIX_CAUSE[x.cause].format(node=x.nodes[0]))
        for cause in _FIX_CAUSE
        for x in reversed(network.find(cause, everyone))
    }
    return [*found.values(), *links.values()]


_FIX_FAULT = {
    Fault.AUTHKEY_LOST: "copy /etc/corosync/authkey (mode 0400) from a node that is in the cluster to {node}, then "
    "`systemctl restart corosync` on {node} alone; nothing else changes",
    Fault.CONFIG_OLDER: "copy /etc/corosync/corosync.conf from the node with the newest one to {node}, then `systemctl "
    "restart corosync` on {node} alone; the others go on meanwhile",
    Fault.VOTES_EDITED: "`pvecm expected` with the number of members on {node}; then put quorum_votes right in "
    "/etc/pve/corosync.conf and raise config_version; all members see each other already",
}
_FIX_CAUSE = {
    Cause.FILTERED: "let corosync's UDP ports through on {node}: take the rule away, or accept the peers before it; no "
    "configuration of the cluster changes",
    Cause.DEAD_LINK: "mend the link of {node} (cable, card, switch port); corosync finds the others by itself",
}


def _criteria(
    roots: Sequence[network.Finding], unknown: UnknownFact | None, reproducible: bool
) -> tuple[Criterion, ...]:
    """ "When does it make sense to fix quorum directly?", one by one."""
    there = {f.cause for f in roots}

    def free_of(*causes: Cause) -> bool | None:
        if there & set(causes):
            return False
        return None if unknown is not None else True

    return (
        Criterion("the network's design is correct already", free_of(*network.ROOT_CAUSES)),
        Criterion("cluster traffic is isolated", free_of(Cause.SHARED_LINK, Cause.ROUTED, Cause.UNEXPECTED_INTERFACE)),
        Criterion("gateways are unambiguous", free_of(Cause.SEVERAL_GATEWAYS)),
        Criterion("names mean one thing", free_of(Cause.AMBIGUOUS_NAMES)),
        Criterion("the failure can be reproduced: one named cause explains it", reproducible),
    )
