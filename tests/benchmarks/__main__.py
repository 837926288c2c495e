"""Speed, measured against what people would use instead: `python tests/benchmarks`, see docs/speed.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import table
from contenders import ANSIBLE_TEN, CONTENDERS, FLOOR, OURS, PYINFRA_FACTS, Contender, Task
from delay import DelayingProxy
from measured import measure
from nodes import Nodes, NoServer
from recording import Recording, record
from table import Cell, Turn

MOST_SECONDS = 900
NOT_MEASURED = 77
"""Exit status where OpenSSH cannot be run here."""
FEW_NODES, TARGET_PLACE = 3, (16, 20)
QUICK_NODES, QUICK_RTT, QUICK_TURNS = 3, 20, 3


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python tests/benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few nodes, few turns; fails where the ratios doubled")
    parser.add_argument("--nodes", default="3,16,32", help="how many nodes, comma-separated (default %(default)s)")
    parser.add_argument("--rtt", default="0,20,100", help="round-trip times in ms (default %(default)s)")
    parser.add_argument("--turns", type=int, default=5, help="turns of the quick ones (default %(default)s)")
    parser.add_argument("--slow-turns", type=int, default=1, help="turns of the others (default %(default)s)")
    parser.add_argument("--only", default="", help="only contenders with one of these words in their name, and ours")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    return parser.parse_args()


def numbers(text: str) -> list[int]:
    """Comma-separated numbers."""
    return [int(word) for word in text.split(",")]


def environment(directory: Path) -> dict[str, str]:
    """As a user has it: compiled modules are kept, and no agent is asked."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "SSH_AUTH_SOCK")}
    return {
        **kept,
        "PYTHONPYCACHEPREFIX": str(directory / "pyc"),
        "ANSIBLE_LOCAL_TEMP": str(directory / "ansible"),
        "HOME": str(directory),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def last_fact(records: Path) -> float:
    """When the last probe's answer was parsed, by the journal of the only run in ``records``."""
    [journal] = records.glob("*/journal.jsonl")
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    answers = [e for e in events if e["kind"] in ("probe", "unchanged")]
    silent = [e["id"] for e in answers if "error" in e]
    assert answers and not silent, f"no answer: {silent}"
    return datetime.fromisoformat(answers[-1]["t"]).timestamp()


def turn(contender: Contender, task: Task, proxy: DelayingProxy, rtt: float, env: dict[str, str]) -> Turn:
    """Measure one contender once."""
    argv = contender.prepare(task)
    node_seconds = task.nodes.seconds()
    proxy.set(rtt)
    done = measure(argv, task.directory, env, MOST_SECONDS)
    counted = proxy.set(rtt)
    assert done.status == 0, f"{contender.name} ended with exit status {done.status}:\n{done.text[-3000:]}"
    facts_end = last_fact(task.directory / "records") if contender is OURS else done.ended
    return Turn(
        startup=counted.first - done.began,
        facts=facts_end - counted.first,
        whole=done.ended - done.began,
        control_seconds=done.seconds,
        node_seconds=task.nodes.seconds() - node_seconds,
        connections=counted.connections,
        round_trips=counted.round_trips,
        kilobytes=done.kilobytes,
    )


def is_worth_it(number: int, rtt: int) -> bool:
    """Whether the slow ones are measured here: with few nodes, and where the targets are. They take hours elsewhere."""
    return number <= FEW_NODES or (number, rtt) == TARGET_PLACE


def measure_site(
    recorded: Recording, rtts: Sequence[int], who: Sequence[Contender], turns: int, slow_turns: int
) -> list[Cell]:
    """All contenders in turn, for one number of nodes: A B C, A B C, and so on."""
    with tempfile.TemporaryDirectory(prefix="pve-bench-") as name:
        directory = Path(name)
        env = environment(directory)
        nodes = Nodes(directory, recorded.nodes)
        proxy = DelayingProxy({node: server.port for node, server in nodes.servers.items()})
        try:
            task = Task(directory, nodes, proxy.ports, recorded.nodes)
            turn(OURS, task, proxy, 0, env)  # once without counting: its modules are compiled
            cells = []
            for rtt in rtts:
                here = [c for c in who if not c.is_slow or is_worth_it(len(recorded.nodes), rtt)]
                found = {c.name: list[Turn]() for c in here}
                for number in range(max(turns, slow_turns)):
                    for contender in here:
                        if number < (slow_turns if contender.is_slow else turns):
                            found[contender.name].append(turn(contender, task, proxy, rtt / 1000, env))
                cells += [Cell(len(recorded.nodes), rtt, name, made) for name, made in found.items()]
                print(table.text(cells[-len(here) :], FLOOR.name, OURS.name), flush=True)
            return cells
        finally:
            proxy.stop()
            nodes.stop()


def quick() -> int:
    """Ours and the floor with three nodes at 20 ms; 1 if the ratios are too high twice, 0 if not."""
    recorded = record(QUICK_NODES)
    for _ in range(2):
        cells = measure_site(recorded, [QUICK_RTT], [OURS, FLOOR], QUICK_TURNS, 0)
        wrong = list(table.doubled(cells, OURS.name, FLOOR.name))
        if not wrong:
            return 0
        print("\n".join(wrong))
    return 1


def main() -> int:
    """Measure, print, judge."""
    given = arguments()
    if given.quick:
        return quick()
    words = [w for w in given.only.split(",") if w]
    who = [c for c in CONTENDERS if c in (OURS, FLOOR) or not words or any(w in c.name for w in words)]
    missing = [c.name for c in who if not c.is_here]
    who = [c for c in who if c.is_here]
    if missing:
        print(f"not installed, so not measured: {', '.join(missing)}; type: pip install -e '.[test,bench]'")
    cells: list[Cell] = []
    probes: dict[str, int] = {}
    for number in numbers(given.nodes):
        recorded = record(number)
        probes = recorded.probes
        each = sum(len(said) for said in recorded.nodes.values()) / number
        print(f"\n{number} nodes, {each:.0f} questions a node: {', '.join(sorted(probes))}\n", flush=True)
        cells += measure_site(recorded, numbers(given.rtt), who, given.turns, given.slow_turns)
    if given.json is not None:
        said = {"machine": table.machine(), "probes": sorted(probes), "cells": [asdict(cell) for cell in cells]}
        given.json.write_text(json.dumps(said, indent=1) + "\n")
    for line in table.targets(cells, OURS.name, FLOOR.name, PYINFRA_FACTS.name, ANSIBLE_TEN.name):
        print(line)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NoServer as error:
        print(error, file=sys.stderr)
        sys.exit(NOT_MEASURED)
