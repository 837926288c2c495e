"""What looking at the guests once a second costs a node: `python tests/benchmarks/sampling.py`.

A look reads the start times of the processes that are known to be the guests, here of as many that live.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nodes import Nodes, NoServer
from pve_runbook.facts.guests import subject_of_pids
from pve_runbook.probes import per_subject
from pve_runbook.ssh.batch import run_batch
from pve_runbook.ssh.connection import Connection, ConnectOptions
from pve_runbook.ssh.hosts import parse_hosts

FEW, MANY = 10, 110
GUESTS = 60


def seconds(nodes: Nodes, config: Path, argv: Sequence[str], times: int) -> float:
    """CPU seconds of the node for a login and so many looks."""
    before = nodes.seconds()
    with Connection(parse_hosts("pve1")[0], ConnectOptions(ssh_config=str(config))) as connection:
        for _ in range(times):
            run_batch(connection, [("p0", per_subject.PROC_STATS.timeout, argv)])
    return nodes.seconds() - before


def main() -> None:
    """Measure, print one line."""
    with tempfile.TemporaryDirectory(prefix="pve-sample-") as name:
        nodes = Nodes(Path(name), {"pve1": {}})
        try:
            config = nodes.write_ssh_config({"pve1": nodes.servers["pve1"].port})
            pids = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())[:GUESTS]
            argv = per_subject.PROC_STATS.argv(subject_of_pids(pids))
            few, many = (seconds(nodes, config, argv, times) for times in (FEW, MANY))
        finally:
            nodes.stop()
    each = (many - few) / (MANY - FEW)
    print(f"one look at {len(pids)} guests costs their node {each * 1000:.1f} ms of CPU; once a second is")
    print(f"{each:.1%} of one core, at most 2% wanted")


if __name__ == "__main__":
    try:
        main()
    except NoServer as error:
        sys.exit(str(error))
