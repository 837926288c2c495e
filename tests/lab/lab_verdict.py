"""What is to be done about a bench, judged as a run over checks/ judges it; and the model's own word on quorum."""

from __future__ import annotations

from dataclasses import dataclass

from lab_bench import Bench
from lab_facts import DAY, ask, facts_of
from pve_runbook.cluster.rounds import Question, history_round
from pve_runbook.diagnosis.case import Case
from pve_runbook.diagnosis.history import history_of, names_of
from pve_runbook.diagnosis.situation import situation
from pve_runbook.diagnosis.stability import Findings, History, judge
from pve_runbook.diagnosis.verdict import Diagnosis, diagnose
from pve_runbook.facts.node import NodeFacts
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact


def pasts(bench: Bench, everyone: list[NodeFacts]) -> dict[str, Findings | UnknownFact]:
    """What every node's journal shows of the last day."""
    told: dict[str, History] = {}
    for facts in everyone:
        clock = probes.HISTORY_CLOCK
        ask(bench, facts, [Question(clock.name, clock.argv, clock.timeout, clock.parse, clock.why, None)])
        ask(bench, facts, history_round(DAY))
        told[facts.node] = history_of(facts, DAY, names_of(everyone))
    stalls = [s for past in told.values() for s in past.stalls]
    return {name: judge(past, stalls) for name, past in told.items()}


def judged_case(bench: Bench, read: list[NodeFacts] | None = None) -> tuple[Case, Diagnosis]:
    """What the powered nodes say, and the verdict on it; ``read``: the facts of all, where they were read."""
    off = {name: "not reached" for name, node in bench.cluster.nodes.items() if not node.powered}
    everyone = [facts for facts in read or facts_of(bench) if facts.node not in off]
    told = pasts(bench, everyone)
    return Case(everyone, told, situation(everyone, off)), diagnose(everyone, told, off)


def judged(bench: Bench) -> Diagnosis:
    """The verdict on what the powered nodes say."""
    return judged_case(bench)[1]


def quorate_by_own_votes(bench: Bench) -> bool:
    """By the model itself: members that see each other have more than half of all votes, and were given no other
    number to expect."""
    for node in bench.cluster.nodes.values():
        runtime = node.corosync.runtime
        if runtime is not None and runtime.quorate:
            every = {m.nodeid: m.votes for m in runtime.conf.members}
            if 2 * sum(every[i] for i in runtime.members) > sum(every.values()) + runtime.conf.device_votes:
                return True
    return False


@dataclass(frozen=True)
class Started:
    """A starting state as it was found."""

    everyone: list[NodeFacts]
    """The facts of every node."""
    case: Case
    found: Diagnosis
    is_quorate: bool
    """Whether a majority is, by the model."""


def started(bench: Bench) -> Started:
    """What its nodes say, and the verdict on that."""
    everyone = facts_of(bench)
    copies = [NodeFacts(facts.node, dict(facts.readings), asked=facts.asked) for facts in everyone]
    return Started(
        everyone,
        *judged_case(bench, copies),
        quorate_by_own_votes(bench),
    )
