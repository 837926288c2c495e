"""Where the time of a whole run went, and what it asked its nodes, by its journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from pve_runbook.journal.reading import decode
from pve_runbook.probes.probe import IN_PERL
from pve_runbook.record.build import build
from pve_runbook.record.model import Command, Phase, Read, Record, Step
from pve_runbook.record.waiting import Waited, waited

WINDOW = "::test_node_leaves"
"""The step of phase 4 that sends the window and waits until it is over, in every revision."""
OUTSIDE, TOGETHER, WINDOWS = "before, between, after the steps", "together", "of that the windows"


@dataclass(frozen=True)
class Part:
    """A part of a run: its seconds, and what they are made up of."""

    name: str
    seconds: float
    waited: Waited


@dataclass(frozen=True)
class Asked:
    """What the node that was asked most was asked: batches, questions in them, and those that start a Perl tool."""

    batches: int
    questions: int
    pvecm: int
    other_perl: int


@dataclass(frozen=True)
class Run:
    """A whole run. Seconds of wall time; ``cpu`` of the control side; ``load`` of the machine before it."""

    who: str
    wall: float
    windows: float
    cpu: float
    load: float
    status: int
    parts: tuple[Part, ...]
    asked: Asked

    @property
    def rest(self) -> float:
        """Everything but the windows."""
        return self.wall - self.windows


def as_json(said: Mapping[str, Any]) -> bytes:
    """What was measured, to be kept."""
    return msgspec.json.format(msgspec.json.encode(said), indent=1) + b"\n"


def read(journal: Path) -> Record:
    """The record of a journal, of any revision whose events bear these names."""
    lines = map(decode, journal.read_bytes().splitlines())
    return build([line[0] for line in lines if line is not None])


def parts(record: Record, wall: float) -> tuple[Part, ...]:
    """The phases in their order, what lies outside of them, and all together; of these the windows once more."""
    found = [Part(_name(phase), phase.seconds, waited(phase, record.approvals)) for phase in record.phases]
    outside = wall - sum(part.seconds for part in found)
    found.append(Part(OUTSIDE, outside, _outside(record.outside, outside)))
    together = sum((part.waited for part in found), Waited())
    leaving = Phase(4, "", tuple(step for step in record.steps if WINDOW in step.nodeid))
    return (
        *found,
        Part(TOGETHER, wall, together),
        Part(WINDOWS, leaving.seconds, waited(leaving, record.approvals)),
    )


def asked(record: Record) -> Asked:
    """What the node was asked that was asked most, polls included; each figure is the most of a node."""
    found: dict[str, Counter[str]] = {}
    for command in (*record.outside, *record.commands):
        if isinstance(command, Read):
            tools = [answer.argv[0] for answer in command.all_answers if answer.argv and answer.argv[0] in IN_PERL]
            pvecm = tools.count("pvecm")
            of = {"batches": 1, "questions": command.probes, "pvecm": pvecm, "other": len(tools) - pvecm}
            found.setdefault(command.node, Counter()).update(of)
    most = (max((of[w] for of in found.values()), default=0) for w in ("batches", "questions", "pvecm", "other"))
    return Asked(*most)


def table(run: Run) -> str:
    """A run as a table in Markdown: a line for each part."""
    lines = [
        f"**{run.who}**: exit status {run.status}, {run.wall:.1f} s, load before it {run.load:.1f}",
        "",
        "| | s | Proxmox at work on a change | questions to nodes | the tool itself |",
        "| --- | --: | --: | --: | --: |",
    ]
    for part in run.parts:
        spent = part.waited
        lines.append(
            f"| {part.name} | {part.seconds:.1f} | {spent.proxmox:.1f} | {spent.round_trips:.1f} "
            f"| {spent.operator + spent.own:.1f} |"
        )
    of = run.asked
    perl = f"pvecm {of.pvecm} times, other tools in Perl {of.other_perl} times"
    lines += ["", f"The node asked most: {of.batches} batches, {of.questions} questions, {perl}."]
    return "\n".join([*lines, ""])


def compared(runs: Sequence[Run], cards: Sequence[tuple[float, float]]) -> str:
    """All runs in medians, a line for each revision, and the card: (seconds, load) for each time it was typed."""
    lines = [
        "| | turns | whole s | windows s | all else s | CPU of the control side s | batches | questions | pvecm "
        "| other Perl | load |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for who in dict.fromkeys(run.who for run in runs):
        mine = [run for run in runs if run.who == who]
        figures = (_median(getattr(run, name) for run in mine) for name in ("wall", "windows", "rest", "cpu"))
        counts = (_median(getattr(run.asked, field.name) for run in mine) for field in fields(Asked))
        told = " | ".join([*(f"{figure:.1f}" for figure in figures), *(f"{count:.0f}" for count in counts)])
        lines.append(f"| {who} | {len(mine)} | {told} | {loads(run.load for run in mine)} |")
    if cards:
        seconds = _median(seconds for seconds, _ in cards)
        lines.append(
            f"| the card, typed | {len(cards)} | {seconds:.1f} | | | | | | | | {loads(load for _, load in cards)} |"
        )
    return "\n".join([*lines, ""])


def loads(found: Iterable[float]) -> str:
    """From the least to the most."""
    in_order = [f"{one:.1f}" for one in sorted(found)]
    ends = (in_order[0], in_order[-1])
    return " to ".join(dict.fromkeys(ends))


def _name(phase: Phase) -> str:
    title = phase.title.partition(":")[0].partition(",")[0]
    return title if phase.number is None else f"{phase.number}: {title}"


def _outside(commands: tuple[Command, ...], seconds: float) -> Waited:
    """What was asked where no step was under way."""
    step = Step("", None, "", "", None, "passed", "", seconds, "", commands)
    return waited(Phase(None, "", (step,)), ())


def _median(values: Iterable[float]) -> float:
    return float(median(values))
