"""What all contenders ask, and what the nodes answer: asked of the embedded lab once, by checks/ themselves.

The lab's answers are held against those recorded on Proxmox VE by the tests in tests/lab.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pve_runbook.facts.output import Output
from pve_runbook.record.asked import Questions
from pve_runbook.wire.batch import NoAnswer, run_batch
from pve_runbook.wire.connection import Connection, ConnectOptions
from pve_runbook.wire.journal import Journal
from pve_runbook.wire.targets import parse_hosts
from pve_runbook.work.cluster import Cluster
from pve_runbook.work.probe import CHECKED

Answers = dict[tuple[str, ...], Output]
"""What one node answers: argv → output."""

MOST_SECONDS = 60


@dataclass(frozen=True)
class Recording:
    """``probes``: the names of what is asked, with how often; ``nodes``: node → its answers, in the order asked."""

    probes: dict[str, int]
    nodes: dict[str, Answers]


@contextlib.contextmanager
def lab(*arguments: str) -> Iterator[dict[str, str]]:
    """A lab in a process of its own: hosts, ssh_config, its pid."""
    with subprocess.Popen(
        [sys.executable, "-m", "pve_runbook.lab", "--until-eof", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            yield {"hosts": ",".join(ready["hosts"]), "ssh_config": ready["ssh_config"], "pid": str(process.pid)}
        finally:
            process.stdin.close()
            process.wait()


def record(number: int) -> Recording:
    """Read a healthy cluster of ``number`` nodes as checks/ do, and ask every question once more for its raw answer."""
    with lab("--scenario", "quorate", "--nodes", str(number)) as site:
        targets = parse_hosts(site["hosts"])
        options = ConnectOptions(ssh_config=site["ssh_config"])
        cluster = Cluster(targets, options, Journal(), read_only=True, attempt="benchmark")
        failed = cluster.open()
        assert not failed, failed
        cluster.read(*CHECKED)
        cluster.close()
        asked: dict[str, list[tuple[str, ...]]] = {t.name: [] for t in targets}
        probes: dict[str, int] = {}
        questions = Questions()
        for event in cluster.journal.events:
            if event["kind"] != "batch":
                continue
            for probe in questions.of(event):
                asked[str(event["node"])].append(probe.argv)
                name = probe.id.partition(":")[0]
                probes[name] = probes.get(name, 0) + 1
        with ThreadPoolExecutor(len(targets)) as threads:
            nodes = threads.map(lambda t: _answers(Connection(t, options), asked[t.name]), targets)
            return Recording(probes, dict(zip(asked, nodes, strict=True)))


def _answers(connection: Connection, questions: Sequence[tuple[str, ...]]) -> Answers:
    with connection:
        said = run_batch(connection, [(f"p{i}", MOST_SECONDS, argv) for i, argv in enumerate(questions)])
    answers: Answers = {}
    for argv, output in zip(questions, said.values(), strict=True):
        assert not isinstance(output, NoAnswer), (argv, output)
        answers[argv] = output
    return answers
