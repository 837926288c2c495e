"""What all contenders ask, and what the nodes answer: asked of the embedded lab once, by checks/ themselves.

The lab's answers are held against those recorded on Proxmox VE by the tests in tests/lab.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from answers import answer
from pve_runbook.cluster.cluster import Cluster
from pve_runbook.journal.events import Batch, of_kind
from pve_runbook.journal.journal import Journal
from pve_runbook.journal.probe_numbers import Questions
from pve_runbook.parsers.output import Output
from pve_runbook.probes.probe import CHECKED
from pve_runbook.ssh.batch import NoAnswer, run_batch
from pve_runbook.ssh.connection import Connection, ConnectOptions
from pve_runbook.ssh.hosts import parse_hosts

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
        [sys.executable, "-m", "pve_lab", "--until-eof", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        try:
            ready = answer(process)
            yield {"hosts": ",".join(ready["hosts"]), "ssh_config": ready["ssh_config"], "pid": str(process.pid)}
        finally:
            process.stdin.close()
            process.wait(60)


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
        for batch in of_kind(cluster.journal.events, Batch):
            for probe in questions.of(batch):
                asked[batch.node].append(probe.argv)
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
