"""The facts of a bench's nodes, read as a run over checks/ reads them, without a connection."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from lab_bench import Bench
from pve_runbook.cluster.rounds import Question, first_round, follow_up
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.output import Output, ParseError
from pve_runbook.probes.answers import Missing
from pve_runbook.probes.probe import CHECKED

DAY = 86_400


def ask(bench: Bench, facts: NodeFacts, questions: Iterable[Question[object]]) -> None:
    """One round trip of one node."""
    new = [q for q in questions if q.key not in facts.readings]
    said = bench.batch(facts.node, [shlex.join(q.argv) for q in new]) if new else []
    for question, answer in zip(new, said, strict=True):
        try:
            facts.readings[question.key] = question.parse(Output(answer.stdout, answer.stderr, answer.exit_status))
        except ParseError as error:
            facts.readings[question.key] = Missing(str(error), type(error))


def facts_of(bench: Bench) -> list[NodeFacts]:
    """The facts of every node."""
    everyone = []
    for name, node in bench.cluster.nodes.items():
        facts = NodeFacts(name, {}, asked=node.clock.wall)
        ask(bench, facts, first_round(CHECKED, DAY))
        for _ in range(2):
            ask(bench, facts, follow_up(facts, CHECKED))
        everyone.append(facts)
    return everyone
