"""What every gate says in every state, as a text that is read as a diff.

A gate's name stands alone on a line, its sentence below it. Then, outcome by outcome, on which nodes and with which
words, and below that the states in which it is so. Where a gate passes nothing is written: in every state, and on every
node, that it does not name, it is ok.
"""

from __future__ import annotations

import fcntl
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from gate_opening import Gate, gates
from gate_states import STATES
from pve_runbook.plugin.steps.step import SPEAKING, UNKNOWN
from pve_runbook.refusal.text import ids_in
from pve_runbook.terminal.screen import WARNING

OUTCOMES = ("failed", "warning", "unknown", "n/a")
WIDTH = 120
LONGEST = 90
_OWN = (
    (re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}"), "RUN"),
    (re.compile(r"\b[\w.-]+@[\w.-]+"), "OPERATOR"),
    (re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+Z\b"), "TIME"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "HASH"),
    (re.compile(r"\b[0-9.]+ (ms|s|min|h)\b|\bsecond [0-9]+"), "TIME"),
    (re.compile(r"ahead of \S+'s$"), "ahead of the last"),
    (re.compile(r"\b[0-9]+ changes while watched: .*"), "changes while watched"),
)
"""What is another one every time; times too: the lab's clock goes on with every question, whichever node it is for."""


class Said(NamedTuple):
    """One outcome of a gate in one state, on the nodes that have it; "all" where it is asked once for all."""

    outcome: str
    nodes: str
    text: str


Column = dict[str, tuple[Said, ...]]
"""Gate → what it says in one state, where it is not ok on every node."""
Table = dict[str, Column]
"""State → its column."""


def outcome_of(ask: Callable[[], None]) -> tuple[str, str] | None:
    """How a gate ended, and the first line of what it said; None where it passed. What is no word of a gate goes
    through: it is an error of the tool."""
    try:
        ask()
    except pytest.skip.Exception as error:
        text = str(error)
        return ("warning" if text.startswith(WARNING) else "n/a"), _first_line(text.removeprefix(WARNING))
    except UNKNOWN as error:
        return "unknown", _first_line(str(error))
    except (*SPEAKING, AssertionError, pytest.fail.Exception) as error:
        return "failed", " ".join((_first_line(str(error)), *ids_in(str(error))))
    return None


def _first_line(text: str) -> str:
    line = " ".join(text.partition("\n")[0].split()).rstrip(".") or "(an assertion without words)"
    for own, name in _OWN:
        line = own.sub(name, line)
    return line if len(line) <= LONGEST else line[:LONGEST].rstrip() + " …"


def column(found: Mapping[str, Mapping[str, tuple[str, str]]]) -> Column:
    """Gate → node → outcome and text, as the table has it: the nodes that say the same stand together."""
    return {gate: tuple(sorted(_rows(by_node))) for gate, by_node in found.items() if by_node}


def _rows(by_node: Mapping[str, tuple[str, str]]) -> Iterator[Said]:
    alike: dict[tuple[str, str], list[str]] = {}
    for node, (outcome, text) in by_node.items():
        alike.setdefault((outcome, text.removeprefix(f"{node}: ")), []).append(node or "all")
    for (outcome, text), nodes in alike.items():
        yield Said(outcome, " ".join(nodes), text)


def render(table: Table) -> str:
    """The text of all states; what the table has of other gates and states than there are is left out."""
    return "\n".join(_gate(gate, table) for gate in gates())


def _gate(gate: Gate, table: Table) -> str:
    states: dict[Said, list[str]] = {}
    for state in STATES:
        for said in table.get(state, {}).get(gate.id, ()):
            states.setdefault(said, []).append(state)
    lines = [gate.id, f"  {_sentence(gate)}"]
    for said in sorted(states, key=lambda s: (OUTCOMES.index(s.outcome), s)):
        lines.append(f"  {said.outcome:<8} {said.nodes}: {said.text}")
        lines += textwrap.wrap(
            " ".join(states[said]),
            WIDTH,
            initial_indent=" " * 6,
            subsequent_indent=" " * 6,
            break_on_hyphens=False,
        )
    return "\n".join([*lines, ""])


def _sentence(gate: Gate) -> str:
    return (gate.function.__doc__ or "").strip().partition("\n")[0]


def parse(text: str) -> Table:
    """The table of a text that :func:`render` made."""
    table: Table = {}
    gate, said = "", None
    for line in text.splitlines():
        if line.startswith(" " * 6):
            assert said is not None, line
            for state in line.split():
                rows = table.setdefault(state, {})
                rows[gate] = tuple(sorted((*rows.get(gate, ()), said)))
        elif line.startswith("  ") and line[2:].partition(" ")[0] in OUTCOMES:
            outcome, rest = line[2:10].strip(), line[11:]
            nodes, _, words = rest.partition(": ")
            said = Said(outcome, nodes, words)
        elif line and not line.startswith(" "):
            gate = line
    return table


def write(path: Path, state: str, found: Column) -> None:
    """Put a state's column into the file, which other processes may be doing meanwhile."""
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = render({**parse(file.read()), state: found})
        file.seek(0)
        file.truncate()
        file.write(text)


def outcomes(table: Table, gate: Gate, states: Iterable[str]) -> set[str]:
    """Every outcome that a gate has in these states."""
    rows = [table.get(state, {}).get(gate.id, ()) for state in states]
    return {said.outcome for row in rows for said in row} | ({"ok"} if () in rows else set())
