"""How a whole run grows with nodes and guests, on the embedded lab: `python tests/benchmarks/growth.py`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import table
from answers import answer
from contenders import ROOT, Argv
from measured import measure

MOST_SECONDS = 3600
PLACES = ((3, 10), (3, 100), (3, 500), (3, 2000), (8, 100), (16, 100), (32, 100), (32, 2000))


@dataclass(frozen=True)
class Grown:
    """One run. Seconds of wall time and of CPU, ours and the lab's; ``megabytes`` at the peak, of ours.

    ``waiting`` is the part of the wall time in which at least one request was under way.
    """

    what: str
    nodes: int
    guests: int
    wall: float
    waiting: float
    own_seconds: float
    lab_seconds: float
    megabytes: float
    report_megabytes: float
    journal_megabytes: float
    round_trips: int
    most_round_trips_of_a_node: int
    status: int


@contextlib.contextmanager
def grown_lab(nodes: int, guests: int) -> Iterator[tuple[dict[str, Any], int]]:
    """A lab of that size, in a process of its own: what it says of itself, and its pid."""
    argv = [sys.executable, Path(__file__).with_name("grown_lab.py"), f"--nodes={nodes}", f"--guests={guests}"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            yield answer(process), process.pid
        finally:
            process.stdin.close()
            process.wait(60)


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waiting(events: list[dict[str, Any]]) -> float:
    """Seconds in which at least one node was waited for, by the journal."""
    began: dict[int, float] = {}
    spans = set()
    for event in events:
        if event["kind"] in ("batch", "action-intent"):
            began[event["n"]] = datetime.fromisoformat(event["t"]).timestamp()
        elif event["kind"] in ("probe", "unchanged", "action"):
            start = began[event.get("batch") or event["action_id"]]
            spans.add((start, start + event["seconds"]))
    total = until = 0.0
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def run(what: str, nodes: int, guests: int) -> Grown:
    """One run of checks/ or runbook/ on a lab of that size."""
    with tempfile.TemporaryDirectory(prefix="pve-grow-") as name, grown_lab(nodes, guests) as (lab, pid):
        records = Path(name) / "records"
        records.mkdir()
        argv: Argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
        argv += ["--rootdir", ROOT, "-c", ROOT / "pyproject.toml", ROOT / what]
        argv += ["-o", "pve_timeout_scale=20"]  # one process is all nodes: with thousands of guests it is slow
        argv += [f"--hosts={','.join(lab['hosts'])}", f"--ssh-config={lab['ssh_config']}"]
        argv += [f"--records={records}", *(["--approve=all"] if what == "runbook" else [])]
        before = cpu_of(pid)
        began = time.monotonic()
        done = measure(argv, Path(name), dict(os.environ), MOST_SECONDS)
        wall = time.monotonic() - began
        found = list(records.glob("*/journal.jsonl"))
        if not found:
            raise SystemExit(done.text[-3000:])
        events = [json.loads(line) for line in found[0].read_text().splitlines()]
        trips = Counter(event["node"] for event in events if event["kind"] in ("batch", "action-intent"))
        return Grown(
            what=what,
            nodes=nodes,
            guests=guests,
            wall=wall,
            waiting=waiting(events),
            own_seconds=done.seconds,
            lab_seconds=cpu_of(pid) - before,
            megabytes=done.kilobytes / 1000,
            report_megabytes=found[0].with_name("report.html").stat().st_size / 1e6,
            journal_megabytes=found[0].stat().st_size / 1e6,
            round_trips=trips.total(),
            most_round_trips_of_a_node=max(trips.values()),
            status=done.status,
        )


def main() -> None:
    """Measure each place, print a line each."""
    parser = argparse.ArgumentParser(prog="python tests/benchmarks/growth.py", description=__doc__)
    default = " ".join(f"{nodes}x{guests}" for nodes, guests in PLACES)
    parser.add_argument("--places", default=default, help="nodes x guests (default: %(default)s)")
    parser.add_argument("--what", default="checks,runbook", help="what to run (default %(default)s)")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    given = parser.parse_args()
    print(
        "| | nodes | guests | wall s | less waiting s | own CPU s | lab CPU s | peak MB | report MB | journal MB "
        "| round trips | most of a node | status |\n"
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |"
    )
    rows = []
    for place in given.places.split():
        nodes, guests = map(int, place.split("x"))
        for what in given.what.split(","):
            row = run(what, nodes, guests)
            rows.append(row)
            print(
                f"| {row.what}/ | {row.nodes} | {row.guests} | {row.wall:.1f} | {row.wall - row.waiting:.1f} "
                f"| {row.own_seconds:.1f} | {row.lab_seconds:.1f} | {row.megabytes:.0f} | {row.report_megabytes:.1f} "
                f"| {row.journal_megabytes:.1f} | {row.round_trips} | {row.most_round_trips_of_a_node} "
                f"| {row.status} |",
                flush=True,
            )
            if given.json is not None:
                said = {"machine": table.machine(), "runs": [asdict(r) for r in rows]}
                given.json.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
