"""What is to be done about a cluster: a table over situation, cause and risk.

Three questions, in this order: who is quorate together by whose votes (situation); what explains that somebody is out
(cause); what is wrong with the design (risk, and no cause). The first row that applies is the answer. A fact that is
not known makes the answer unknown only where it would change it; else it is one line beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from pve_runbook.diagnosis import advice, network
from pve_runbook.diagnosis.case import Case
from pve_runbook.diagnosis.cause import Origin
from pve_runbook.diagnosis.network import Cause
from pve_runbook.diagnosis.situation import MEMBERS, Way, situation
from pve_runbook.diagnosis.stability import Findings
from pve_runbook.facts.node import NodeFacts
from pve_runbook.probes.answers import UnknownFact

WHAT_A_REPAIR_NEEDS = "To repair quorum in place, all of these have to hold:"


class Verdict(StrEnum):
    """What is to be done."""

    HEALTHY = "healthy"
    HEALTHY_WITHOUT = "healthy without a member"
    WAIT = "wait"
    REPAIR = "repair in place"
    ONE_OUT = "one node is out"
    POWER_ON = "power on"
    CONFIGS_MISSING = "configs are missing"
    SPLIT_BRAIN = "split brain"
    DISMANTLE = "dismantle"
    HALF = "half-dismantled"
    STANDALONE = "standalone"
    UNKNOWN = "unknown"


MEANT_FOR = (Verdict.DISMANTLE, Verdict.HALF, Verdict.STANDALONE, Verdict.SPLIT_BRAIN)
"""What the runbook is there for; for anything else the operator gives a reason."""


BRING_QUORUM_BACK = (
    "bring quorum back within a minute of its loss: fix the link, or type `pvecm expected 1` on ONE node, the one "
    "whose guests matter most, and on no second one: two would each take the other's guests for lost"
)
"""HA resets the others then, as it is meant to, and starts their guests on that node."""


class Criterion(Struct, frozen=True):
    """One of the article's conditions for a direct repair; ``holds`` is None where it is unknown."""

    text: str
    holds: bool | None


class Diagnosis(Struct, frozen=True):
    """``evidence``: what was seen, a clause each; ``advice``: what to do now, in one sentence; ``urgent``: what happens
    by itself within a minute, and comes before all of it."""

    verdict: Verdict
    evidence: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    advice: str
    urgent: tuple[str, ...] = ()
    absent: bool = False
    """Whether the operator calls members dead for good (--absent)."""
    option: str = ""
    """What the runbook's command line needs besides."""
    history: tuple[str, ...] = ()
    """Of the evidence what the journals show of the time before: no cause by itself."""

    @property
    def calls_for_the_runbook(self) -> bool:
        """Whether the runbook is there for this. Where members would be powered on else, it is the way once they are
        dead by the operator's word."""
        return self.verdict in MEANT_FOR or (self.verdict is Verdict.POWER_ON and self.absent)

    @property
    def gist(self) -> str:
        """The one clause that says most: what has to be mended, what is missing, or what to do."""
        if self.urgent:
            return "; ".join(self.urgent)
        return self.evidence[0] if self.verdict in (Verdict.REPAIR, Verdict.UNKNOWN) else self.advice

    def __str__(self) -> str:
        """Verdict, evidence and criteria, one line each."""
        marks = {True: "yes", False: "no", None: "unknown"}
        lines = [f"NOW: {'; '.join(self.urgent)}", f"- {BRING_QUORUM_BACK}"] if self.urgent else []
        lines += [f"{self.verdict.upper()}: {self.advice}", *(f"- {seen}" for seen in self.evidence)]
        criteria = [f"- {c.text}: {marks[c.holds]}" for c in self.criteria]
        return "\n".join([*lines, *([WHAT_A_REPAIR_NEEDS] if criteria else []), *criteria])


class Row(Struct, frozen=True):
    """One row of the table. ``when`` it applies, ``seen`` is said first, and ``advice`` says what to do."""

    verdict: Verdict
    when: Callable[[Case], bool]
    advice: Callable[[Case], str]
    seen: Callable[[Case], Sequence[str]]
    shows_criteria: bool = False


def diagnose(
    everyone: Sequence[NodeFacts],
    pasts: Mapping[str, Findings | UnknownFact],
    off: Mapping[str, str] | None = None,
    absent: frozenset[str] = frozenset(),
) -> Diagnosis:
    """Judge a cluster.

    ``pasts``: node name → what its journal shows, or why it does not. ``off``: members that were not reached → why;
    ``absent``: those that the operator calls powered off.
    """
    away = {**{name: "powered off, as --absent says" for name in sorted(absent)}, **(off or {})}
    if not everyone:
        return Diagnosis(Verdict.UNKNOWN, tuple(f"{n}: {why}" for n, why in away.items()), (), advice.LOOK)
    case = Case(everyone, pasts, situation(everyone, away), absent)
    try:
        row = next(row for row in TABLE if row.when(case))
        seen = tuple(row.seen(case))
        criteria = _criteria(case) if row.shows_criteria else ()
    except UnknownFact as error:
        return Diagnosis(Verdict.UNKNOWN, (str(error), *case.outs), (), f"{advice.LOOK} ({error.node})")
    outs = [out for out in case.outs if not any(out in said for said in seen)]
    shown = dict.fromkeys([*seen, *outs, *case.signs, *case.history])
    silent = [f"{name}: {why}" for name, why in away.items() if name not in case.off]
    unread = [f"not read: {what}" for what in dict.fromkeys([*silent, *_not_read(case)]) if what not in shown]
    option = advice.authority(case) if row.verdict is Verdict.SPLIT_BRAIN else ""
    return Diagnosis(
        row.verdict,
        (*shown, *unread),
        criteria,
        row.advice(case),
        case.resets,
        bool(absent),
        option,
        tuple(case.history),
    )


def _not_read(case: Case) -> list[str]:
    pasts = [str(past) for past in case.pasts.values() if isinstance(past, UnknownFact) and past.node not in case.off]
    risk = [str(case.risk_not_read)] if case.risk_not_read is not None else []
    return [*case.not_read, *pasts, *risk]


# --- the rows' conditions, in the order of the table


def _has_majority(case: Case) -> bool:
    """Quorate by its own votes, and not coming and going at this moment."""
    return case.where.majority is not None and not case.flaps_now


def _all_in(case: Case) -> bool:
    return _has_majority(case) and not case.where.outs


def _own_fault_of_an_out(case: Case) -> bool:
    return _has_majority(case) and bool(case.own_faults)


def _is_half_way(case: Case) -> bool:
    """Beside no quorate majority: a node between the states, or one that left already while others are members."""
    where = case.where
    return where.majority is None and bool(where.out(Way.BETWEEN, Way.GONE) or _mixed(case))


def _mixed(case: Case) -> bool:
    """Nodes that have left in whatever way, and nobody who is a member any more, but not all are done."""
    states = case.where.states.values()
    return not any(s in MEMBERS for s in states) and not case.where.out(Way.UNCLEAR, Way.PMXCFS_DOWN)


def _unclear(case: Case) -> bool:
    return bool(case.where.out(Way.UNCLEAR))


def _a_link_of_one(case: Case) -> bool:
    return _has_majority(case) and bool(case.where.out(Way.APART))


def _network_is_named(case: Case) -> bool:
    """A named cause of the network in a design that is known to be sound."""
    return bool(case.causes_of(Origin.NETWORK)) and case.risk_not_read is None


def _all_began(case: Case) -> bool:
    return case.began_just_now(*case.where.states)


TABLE: tuple[Row, ...] = (
    # guests first: whatever else is well, these would be lost with their process
    Row(Verdict.CONFIGS_MISSING, lambda c: bool(c.without_config), lambda c: advice.RESTORE, advice.configs),
    Row(
        Verdict.STANDALONE,
        lambda c: c.where.is_standalone,
        advice.nothing,
        advice.standalone,
    ),
    # Proxmox's tools on a renamed node find none of its guests, and the runbook would take them for nobody's
    Row(Verdict.REPAIR, lambda c: bool(c.where.renamed), advice.name_back, advice.renamed),
    # a majority is quorate by its own votes: it is never taken apart
    Row(Verdict.HEALTHY, lambda c: _all_in(c) and c.is_quiet, advice.nothing, advice.whole),
    Row(Verdict.WAIT, _all_in, lambda c: advice.WAIT, advice.works),
    Row(Verdict.REPAIR, _own_fault_of_an_out, advice.mend_own, advice.own_evidence, shows_criteria=True),
    Row(
        Verdict.ONE_OUT,
        lambda c: _has_majority(c) and bool(c.where.out(Way.GONE, Way.REMOVED, Way.RENAMED, Way.BETWEEN)),
        advice.two_ways,
        advice.works,
    ),
    Row(
        Verdict.WAIT,
        lambda c: _a_link_of_one(c) and c.began_just_now(*(o.node for o in c.where.out(Way.APART))),
        lambda c: advice.WAIT,
        advice.works,
    ),
    Row(Verdict.REPAIR, _a_link_of_one, advice.look_at_the_link, advice.link_evidence, shows_criteria=True),
    Row(Verdict.UNKNOWN, lambda c: _has_majority(c) and _unclear(c), lambda c: advice.LOOK, advice.what_is_not_known),
    Row(Verdict.HEALTHY_WITHOUT, _has_majority, advice.without, advice.works),
    # none is
    Row(Verdict.HALF, _is_half_way, lambda c: advice.FINISH, advice.states),
    Row(Verdict.SPLIT_BRAIN, lambda c: len(c.where.quorate_parts) > 1, advice.choose, advice.split),
    Row(Verdict.UNKNOWN, _unclear, lambda c: advice.LOOK, advice.what_is_not_known),
    Row(Verdict.REPAIR, lambda c: c.explain, advice.mend_first, advice.evidence, shows_criteria=True),
    Row(
        Verdict.POWER_ON,
        lambda c: c.where.would_be_quorate_with_the_absent,
        advice.power_on,
        advice.design,
        shows_criteria=True,
    ),
    Row(
        Verdict.WAIT,
        lambda c: not c.flaps and _all_began(c),
        lambda c: advice.WAIT,
        advice.just_began,
        shows_criteria=True,
    ),
    Row(
        Verdict.DISMANTLE,
        lambda c: bool(c.risks),
        lambda c: "take it apart, and rebuild it on a clean network",
        advice.design,
        shows_criteria=True,
    ),
    Row(Verdict.REPAIR, _network_is_named, advice.mend_network, advice.network_evidence, shows_criteria=True),
    Row(Verdict.UNKNOWN, lambda c: True, lambda c: advice.LOOK, advice.what_is_not_known, shows_criteria=True),
)
"""The first row that applies is the answer."""


def _criteria(case: Case) -> tuple[Criterion, ...]:
    """ "When does it make sense to fix quorum directly?", one by one."""
    there = {f.cause for f in case.risks}

    def free_of(*causes: Cause) -> bool | None:
        if there & set(causes):
            return False
        return None if case.risk_not_read is not None else True

    return (
        Criterion("the network's design is correct already", free_of(*network.ROOT_CAUSES)),
        Criterion("cluster traffic is isolated", free_of(Cause.SHARED_LINK, Cause.ROUTED, Cause.UNEXPECTED_INTERFACE)),
        Criterion("gateways are unambiguous", free_of(Cause.SEVERAL_GATEWAYS)),
        Criterion("names mean one thing", free_of(Cause.AMBIGUOUS_NAMES)),
        Criterion("the failure can be reproduced: one named cause explains it", len(case.causes) == 1),
    )
