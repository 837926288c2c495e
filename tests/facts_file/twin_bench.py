"""Reading a lab without its SSH servers as a run reads nodes: the same questions, the same parsers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pve_lab.build import build
from pve_lab.machine import Machine, Site
from pve_lab.model.cluster import Cluster
from pve_lab.scenarios import SCENARIOS
from pve_lab.shell import Channel
from pve_lab.twin import build_twin
from pve_runbook.cluster.rounds import Question, first_round, follow_up
from pve_runbook.diagnosis.history import history_of
from pve_runbook.diagnosis.stability import History, judge
from pve_runbook.diagnosis.verdict import Diagnosis, Verdict, diagnose
from pve_runbook.facts.node import NodeFacts
from pve_runbook.facts_file.collect import portray
from pve_runbook.facts_file.model import Portrait, dump, load
from pve_runbook.parsers.output import Output, ParseError, TimedOut
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import Missing, known_or_why
from pve_runbook.probes.probe import CHECKED
from pve_runbook.ssh.batch import FrameReader, batch_command

EPOCH = 1795415359.0
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKlab0000000000000000000000000000000000000000 test"
WINDOW = 86_400
TIMED_OUT = (124, 137)


class Read:
    """A cluster of the lab in this process, and its facts."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self.cluster = cluster
        self.site = Site(directory / "unsimulated.log")
        (directory / "logs").mkdir()
        for name, node in cluster.nodes.items():
            Machine(node, directory / "logs" / f"{name}.jsonl", self.site)

    def facts(self, name: str) -> NodeFacts:
        """Everything that a portrait is made of, of one node."""
        found = NodeFacts(name, {}, asked=self.cluster.clock.wall)
        self._ask(found, first_round(CHECKED, WINDOW))
        for _ in range(2):
            self._ask(found, follow_up(found, CHECKED))
        return found

    def _ask(self, facts: NodeFacts, questions: list[Question[Any]]) -> None:
        if not questions:
            return
        command = batch_command([(f"p{i}", q.timeout, q.argv) for i, q in enumerate(questions)])
        channel = Channel(self.site.machines[facts.node], lambda done: done(b""))
        stdout, _, _ = channel.execute(command)
        answers = dict(FrameReader([f"p{i}" for i in range(len(questions))]).feed(stdout.encode()))
        for number, question in enumerate(questions):
            answer: Output = answers[f"p{number}"]
            try:
                facts.readings[question.key] = question.parse(answer)
            except ParseError as error:
                kind = TimedOut if answer.exit_status in TIMED_OUT else type(error)
                facts.readings[question.key] = Missing(str(error), kind)

    def portrait(self) -> Portrait:
        """The portrait of the nodes that have power, as it comes out of its file."""
        found = portray([self.facts(n) if x.powered else _silent(n) for n, x in self.cluster.nodes.items()], "test")
        assert load(dump(found)) == found
        return found

    @property
    def powered(self) -> list[NodeFacts]:
        """The facts of every node that has power."""
        return [self.facts(name) for name, node in self.cluster.nodes.items() if node.powered]

    def diagnosis(self, absent: frozenset[str] = frozenset()) -> Diagnosis:
        """What is to be done about the cluster, by what the nodes that have power say."""
        everyone = self.powered
        pasts = {f.node: known_or_why(partial(history_of, f, WINDOW)) for f in everyone}
        stalls = [s for p in pasts.values() if isinstance(p, History) for s in p.stalls]
        judged = {n: judge(p, stalls) if isinstance(p, History) else p for n, p in pasts.items()}
        return diagnose(everyone, judged, absent=absent)

    def verdict(self) -> Verdict:
        """The same, in two words."""
        return self.diagnosis().verdict

    def close(self) -> None:
        """End everything."""
        for machine in self.site.machines.values():
            machine.close()
        for node in self.cluster.nodes.values():
            node.pmxcfs.database.close()
            node.files.release()


def _silent(name: str) -> NodeFacts:
    """What is known of a node that was not reached."""
    return NodeFacts(name, {p.name: Missing("not reached") for p in probes.FIRST_ROUND})


def original(scenario: str, directory: Path, number: int = 3) -> Read:
    """A starting state of the lab."""
    directory.mkdir(parents=True)
    shaped = SCENARIOS[scenario]
    cluster = build(number, directory, EPOCH, KEY, shaped.version, shaped.inventory, shaped.wiring)
    shaped.shape(cluster)
    return Read(cluster, directory)


def twin(portrait: Portrait, directory: Path) -> Read:
    """The twin of a portrait."""
    directory.mkdir(parents=True)
    return Read(build_twin(portrait, directory, KEY), directory)
