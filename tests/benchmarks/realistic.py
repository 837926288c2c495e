"""Whole runs on the system lab, where their time goes, what a reading weighs: `python tests/benchmarks/realistic.py`.

As root, see docs/system-lab.md. In turn, each from the same starting state: the unchanged runbook, the same of another
revision where one is named, and the card of the work by hand, typed at the nodes' consoles, one node after the other,
without a moment of thought. Then checks/ on a quorate cluster, with the nodes under watch.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import light
import spent
import table
from contenders import Argv
from measured import Measured, measure
from pve_system_lab.cluster import SystemLab, alone, missing
from pve_system_lab.scenarios import SCENARIOS

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "system_lab")]

from environment import as_typed  # noqa: E402 - they lie where pytest would find them
from system_lab_stage import BOUND, Stage, standalone  # noqa: E402
from typed_card import typed  # noqa: E402

NOT_MEASURED = 77
"""Exit status where this machine cannot have a system lab."""
REST = 15.0
"""Seconds for which a node is watched at rest, before each reading."""
TYPED = 300
"""Seconds that one block of the card may take."""


@dataclass(frozen=True)
class Revision:
    """A worktree with a venv of its own in .venv."""

    name: str
    root: Path

    def pytest(self, suite: str, stage: Stage, records: Path, *more: str) -> Measured:
        """One run of checks/ or runbook/ of this revision."""
        records.mkdir(parents=True)
        argv: Argv = [self.root / ".venv/bin/python", "-m", "pytest", "-p", "no:cacheprovider"]
        argv += ["--rootdir", self.root, "-c", self.root / "pyproject.toml", self.root / suite]
        argv += [*stage.lab.options.split(), f"--records={records}", *more]
        environment = {k: v for k, v in as_typed().items() if k != "PYTHONDONTWRITEBYTECODE"}
        return measure(argv, self.root, environment, BOUND)


def load() -> float:
    """How many processes waited for the processors in the past minute."""
    return os.getloadavg()[0]


def whole_run(revision: Revision, stage: Stage, scenario: str, records: Path) -> spent.Run:
    """The runbook from that state to its end."""
    stage.set(scenario)
    before = load()
    done = revision.pytest("runbook", stage, records, "--approve=all")
    journals = list(records.glob("*/journal.jsonl"))
    if not journals:
        raise SystemExit(f"{revision.name} wrote no record:\n{done.text[-3000:]}")
    if done.status != 0 or stage.guests() != stage.before:
        print(f"{revision.name} did not end well:\n{done.text[-3000:]}", file=sys.stderr)
    record = spent.read(journals[0])
    found = spent.parts(record, done.ended - done.began)
    windows = next(part.seconds for part in found if part.name == spent.WINDOWS)
    return spent.Run(
        revision.name,
        done.ended - done.began,
        windows,
        done.seconds,
        before,
        done.status,
        found,
        spent.asked(record),
    )


def by_hand(revision: Revision, stage: Stage, scenario: str, records: Path) -> tuple[float, float]:
    """The card that a plan writes, typed from that state to its end: seconds, and the load before it."""
    stage.set(scenario)
    planned = revision.pytest("runbook", stage, records, "--plan")
    cards = list(records.glob("*/by-hand.md"))
    if not cards:
        raise SystemExit(f"no card was written:\n{planned.text[-3000:]}")
    before, began = load(), time.monotonic()
    for node, lines in typed(cards[0].read_text()):
        said = stage.lab.container(node).run("bash", "-c", lines, timeout=TYPED)
        if said.returncode != 0:
            raise SystemExit(f"{node}: {lines[:200]}: {said.stdout}{said.stderr}")
    seconds = time.monotonic() - began
    left = [c.node.name for c in stage.lab.each() if not standalone(c)]
    if left or stage.guests() != stage.before:
        print(f"the card did not end well: {left}", file=sys.stderr)
    return seconds, before


def reading(revision: Revision, stage: Stage, records: Path) -> light.Reading:
    """checks/ once, with the nodes under watch."""
    containers = list(stage.lab.each())
    with light.Watch(containers) as rest:
        time.sleep(REST)
    before = load()
    with light.Watch(containers) as watch:
        done = revision.pytest("checks", stage, records)
    return light.Reading(revision.name, before, done.status, rest.weights, watch.weights)


def arguments() -> argparse.Namespace:
    """The command line."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python tests/benchmarks/realistic.py", description=about)
    parser.add_argument("--nodes", type=int, default=3, help="how many nodes (default %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="turns of each (default %(default)s)")
    parser.add_argument("--scenario", default="broken", choices=SCENARIOS, metavar="NAME", help="default %(default)s")
    parser.add_argument("--beside", type=Path, help="the worktree of another revision, with a venv of its own in .venv")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    return parser.parse_args()


def main() -> int:
    """Measure in turn, print a table for each run, and what all of them come to."""
    given = arguments()
    why_not = missing()
    if why_not is not None:
        print(why_not, file=sys.stderr)
        return NOT_MEASURED
    revisions = [Revision("now", TESTS.parent)]
    if given.beside is not None:
        revisions.insert(0, Revision("before", given.beside.resolve()))
    runs: list[spent.Run] = []
    cards: list[tuple[float, float]] = []
    readings: list[light.Reading] = []
    said: dict[str, Any] = {"machine": table.machine(), "nodes": given.nodes, "scenario": given.scenario}
    with tempfile.TemporaryDirectory(prefix="pve-realistic-") as name, alone():
        folder = Path(name)
        lab = SystemLab.up(given.nodes)
        try:
            stage = Stage(lab, folder / "stage")
            for turn in range(given.turns):
                for revision in revisions:
                    runs.append(whole_run(revision, stage, given.scenario, folder / f"{revision.name}-{turn}"))
                    print(spent.table(runs[-1]), flush=True)
                cards.append(by_hand(revisions[-1], stage, given.scenario, folder / f"plan-{turn}"))
            print(spent.compared(runs, cards), flush=True)
            stage.set("quorate")
            for turn in range(given.turns):
                for revision in revisions:
                    readings.append(reading(revision, stage, folder / f"checks-{revision.name}-{turn}"))
            print(light.table(readings), flush=True)
        finally:
            lab.down()
            if given.json is not None:
                said |= {"runs": runs, "cards": cards, "readings": readings}
                given.json.write_bytes(spent.as_json(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
