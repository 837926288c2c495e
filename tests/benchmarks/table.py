"""What was measured, in medians and ratios."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

PACKAGES = ("pytest", "pytest-testinfra", "fabric", "paramiko", "pyinfra", "ansible-core")


@dataclass(frozen=True)
class Turn:
    """One contender, once. Seconds: ``startup`` to the first byte sent, ``facts`` from there to the last fact parsed
    (the end, for others), ``whole`` process; CPU of the control side and of all nodes. ``round_trips`` of all."""

    startup: float
    facts: float
    whole: float
    control_seconds: float
    node_seconds: float
    connections: int
    round_trips: int
    kilobytes: int


@dataclass(frozen=True)
class Cell:
    """All turns of one contender with so many nodes and this round-trip time (ms)."""

    nodes: int
    rtt: int
    contender: str
    turns: list[Turn]

    def median(self, figure: str) -> float:
        """The median of one of Turn's figures."""
        return float(median(getattr(turn, figure) for turn in self.turns))


def text(cells: Sequence[Cell], floor: str, ours: str) -> str:
    """The cells of one number of nodes and one round-trip time as a table in Markdown."""
    low = next(c for c in cells if c.contender == floor)
    own = next(c for c in cells if c.contender == ours)
    lines = [
        f"**{low.nodes} nodes, {low.rtt} ms**",
        "",
        "| | turns | start-up s | facts s | to the floor | whole s | to ours | CPU control s | CPU nodes s "
        "| connections a node | round trips a node |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for cell in cells:
        lines.append(
            f"| {cell.contender} | {len(cell.turns)} | {cell.median('startup'):.2f} | {cell.median('facts'):.2f} "
            f"| {ratio(cell, low, 'facts'):.2f} | {cell.median('whole'):.2f} | {ratio(cell, own, 'whole'):.2f} "
            f"| {cell.median('control_seconds'):.2f} | {cell.median('node_seconds'):.2f} "
            f"| {cell.median('connections') / cell.nodes:.1f} | {cell.median('round_trips') / cell.nodes:.1f} |"
        )
    return "\n".join([*lines, ""])


def ratio(cell: Cell, other: Cell, figure: str) -> float:
    """The median of a figure in relation to another contender's."""
    return cell.median(figure) / other.median(figure)


def targets(cells: Sequence[Cell], ours: str, floor: str, pyinfra: str, ansible: str) -> Iterator[str]:
    """One line a target: what was asked for, what was measured."""
    by_place = {(c.contender, c.nodes, c.rtt): c for c in cells}
    for (name, nodes, rtt), cell in by_place.items():
        low = by_place.get((floor, nodes, rtt))
        if name != ours or low is None:
            continue
        found = ratio(cell, low, "facts")
        yield _line(found <= 1.3, f"{nodes} nodes, {rtt} ms: facts {found:.2f} times the floor, at most 1.3")
        for other, least in ((pyinfra, 4), (ansible, 8)):
            slow = by_place.get((other, nodes, rtt))
            if slow is not None and (nodes, rtt) == (16, 20):
                times = ratio(slow, cell, "whole")
                yield _line(
                    times >= least, f"{nodes} nodes, {rtt} ms: {other} takes {times:.1f} times as long, >= {least}"
                )
        links = cell.median("connections") / nodes
        yield _line(links == 1, f"{nodes} nodes, {rtt} ms: {links:.2f} connections a node, exactly 1")
    own = [cell for (name, _, _), cell in by_place.items() if name == ours]
    startup = median(turn.startup for cell in own for turn in cell.turns)
    yield _line(startup <= 0.8, f"start-up {startup:.2f} s, at most 0.8")


def doubled(cells: Sequence[Cell], ours: str, floor: str) -> Iterator[str]:
    """What has become dearer by a factor that no load of the machine explains: one line each."""
    own = next(c for c in cells if c.contender == ours)
    low = next(c for c in cells if c.contender == floor)
    bounds = (
        ("facts, in relation to the floor's", ratio(own, low, "facts"), 1.3),
        ("CPU of the nodes, in relation to the floor's", ratio(own, low, "node_seconds"), 2.2),
        ("CPU of this side, in relation to the floor's", ratio(own, low, "control_seconds"), 12),
        ("connections a node", own.median("connections") / own.nodes, 1),
        ("round trips a node, in relation to the floor's", ratio(own, low, "round_trips"), 1.4),
    )
    for what, found, most in bounds:
        if found > most:
            yield f"{what}: {found:.2f}, at most {most}"


def _line(reached: bool, what: str) -> str:
    return f"{'reached    ' if reached else 'NOT REACHED'}  {what}"


def machine() -> dict[str, str]:
    """Where and with what it was measured."""
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    found = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": f"{os.cpu_count()} x {cpus[0].partition(': ')[2] if cpus else platform.machine()}",
        "load": " ".join(f"{x:.1f}" for x in os.getloadavg()),
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, kernel {platform.release()}",
        "python": platform.python_version(),
        "ssh": subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr.strip(),
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
