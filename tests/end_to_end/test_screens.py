"""What can be taken in: how many lines a run takes at 80 columns, at a terminal and in a pipe, whatever the nodes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_terminal import COLUMNS, records, whole_run  # noqa: F401  (a fixture is found by its name)

CHECKS = {3: 80, 5: 84, 16: 120}
RUNBOOK = {3: 120, 5: 132, 16: 200}
"""Nodes → lines that are allowed; each node that leaves has five of its own."""


def wrapped(said: str) -> Iterator[str]:
    """The lines as a terminal of 80 columns shows them: what is longer goes on in the next one."""
    for line in said.splitlines():
        yield from (line[start : start + COLUMNS] for start in range(0, max(len(line), 1), COLUMNS))


def without_what_differs(lines: list[str]) -> list[str]:
    """A run's lines without its times and ids."""
    text = "\n".join(lines)
    # said of all nodes as one only where all were read in the same second
    text = re.sub(r"(FAILED  )(?:all \d+ nodes|pve1)(: the last change was)", r"\1\2", text)
    text = re.sub(r"(\[PVE-R011\]\n) +Likewise [^\n]*\n", r"\1", text)
    text = re.sub(
        r"\d{4}-\d\d-\d\dT\d{6}Z-labcluster(-[0-9a-f]{4})?|\d{8}T\d{6}Z-[0-9a-f]{4}|head [0-9a-f]{16}|\d+ commands",
        "",
        text,
    )
    text = re.sub(r"in [\d.]+s|\d+ (late token|s ago|min)|\d+ guests?\b", "", text)
    return [line.strip("= ") for line in text.split("\n") if line.strip()]


@pytest.mark.parametrize("nodes", [3, 5, pytest.param(16, marks=pytest.mark.sweep)])
def test_checks_can_be_taken_in(
    start_lab: Callable[..., Any],
    run: Callable[..., Any],
    records: Path,  # noqa: F811
    nodes: int,
) -> None:
    lab = start_lab("broken", nodes)
    _, lines, _ = whole_run(lab, records, "-p", "no:cacheprovider", suite="checks/")
    standing = [line for line in lines if line]
    assert len(standing) <= CHECKS[nodes], "\n".join(standing)
    said = run("checks/", *lab.options, records=records).said
    piped = list(wrapped(said))
    assert len(piped) <= CHECKS[nodes], said

    # a pipe has the same text, and nothing is drawn over in it
    assert "\x1b" not in said and "\r" not in said and "  ..  " not in said
    assert without_what_differs(standing) == without_what_differs(piped)

    # failures are whole, before the warnings; the last screen has the answer before the counts
    text = " ".join(said.split())
    for id_ in ("PVE-R003", "PVE-R123", "PVE-R124", "PVE-R126", "PVE-R010", "PVE-R011"):
        assert text.count(f"[{id_}]") == 1, said
    assert said.rindex("  FAILED  ") < said.index("  warning ")
    labels = [line.split()[0] for line in said.partition("= verification =")[2].splitlines() if line[:1].isalpha()]
    assert labels == ["verdict", "cause", "next", "steps", "sent", "journal", "record"]
    assert "verdict   DISMANTLE" in "\n".join(lines[-24:])


@pytest.mark.parametrize(
    "nodes", [3, pytest.param(5, marks=pytest.mark.sweep), pytest.param(16, marks=pytest.mark.sweep)]
)
def test_a_whole_run_can_be_taken_in(
    start_lab: Callable[..., Any],
    run: Callable[..., Any],
    records: Path,  # noqa: F811
    nodes: int,
) -> None:
    said = run("runbook/", *start_lab("broken", nodes).options, "--approve=all", records=records, called_for=True).said
    lines = list(wrapped(said))
    assert len(lines) <= RUNBOOK[nodes], said
    assert f"\n  ok      {nodes}/{nodes}{'' if nodes > 9 else '  '} " in said and "FAILED" not in said
    assert re.search(r"\n +The authority is pve\d+, chosen by ", said)
    for node in range(1, nodes + 1):
        assert f"\n  ok      {f'pve{node}':<5} The operator approves that this node leaves the cluster now.\n" in said


@pytest.mark.sweep
def test_every_question_is_seen_whole_when_it_is_answered(start_lab: Callable[..., Any], records: Path) -> None:  # noqa: F811
    asked: list[list[str]] = []

    def answer(shown: list[str]) -> str | None:
        if not shown[-1].endswith("anything else to stop:") or (asked and asked[-1] == shown):
            return None
        asked.append(shown)
        [word] = re.findall(r"Type (\S+) to go on", shown[-1])
        return f"{word}\n"

    status, lines, sent = whole_run(start_lab("broken"), records, "-p", "no:cacheprovider", answer=answer)
    assert status == 0, "\n".join(lines)
    questions = [shown[len(shown) - shown[::-1].index("") :] for shown in asked]
    assert [q[0].split()[0] for q in questions] == ["FREEZE", "FORCE", "pve1", "pve3", "pve2", "THAW:"]
    for question in questions:
        text = " ".join(question)
        assert len(question) <= 12, text
        for part in ("Undo: " if "LEAVES" not in text else "--rollback", "/plan.md has them."):
            assert part in text
        assert ("more lines of this question" in text) is ("THAW" in text), text
    assert re.search(r"\r?  \.\.      [12]/3 ", sent), "the line of a step is redrawn while nodes answer"


def test_an_interrupted_run_says_so_on_lines_of_its_own(start_lab: Callable[..., Any], records: Path) -> None:  # noqa: F811
    asked: list[list[str]] = []

    def answer(shown: list[str]) -> str | None:
        if not shown[-1].endswith("anything else to stop:") or asked:
            return None
        asked.append(shown)
        return "\x03"

    status, lines, _ = whole_run(start_lab("broken", 2), records, "-p", "no:cacheprovider", answer=answer)
    assert status == 2
    end = "\n".join(lines[-24:])
    assert "\n  UNKNOWN The run was interrupted in this step" in end, end
    assert "\nverdict   Interrupted (SIGINT) at phase 0; the command under way had ended,\n" in end, end
    assert "\nnext      pytest runbook/" in end


def test_after_a_no_nothing_stands_on_the_screen_as_under_way(start_lab: Callable[..., Any], records: Path) -> None:  # noqa: F811
    """The last of the steps that are blocked is called "The node's lock is gone"."""
    _, lines, _ = whole_run(
        start_lab("broken", 2),
        records,
        "-p",
        "no:cacheprovider",
        answer=lambda shown: "no\n" if shown[-1].endswith("anything else to stop:") else None,
    )
    assert "\nverdict   Stopped at phase 0: not approved" in "\n".join(lines)
    assert [line for line in lines if line.startswith("  ..  ")] == []
