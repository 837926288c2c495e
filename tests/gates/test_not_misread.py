"""No gate that failed reads as if it held: not its line, not the run's last word, not the record.

A gate's sentence says what is so when it passes. Here every gate fails with all the words that it has in a state of the
lab.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import cast

import pytest
from gate_opening import gates
from gate_table import parse
from pve_runbook.journal import events
from pve_runbook.journal.journal import Journal
from pve_runbook.plan.markdown import Gate, StageText, plan_md
from pve_runbook.plan.model import Idleness, Plan
from pve_runbook.record.build import build
from pve_runbook.record.html_detail import detail_html
from pve_runbook.record.html_summary import summary_html
from pve_runbook.record.markdown import summary_md
from pve_runbook.record.model import Record
from pve_runbook.refusal.text import REQUIRED, headline, sentence
from refusal_table import said_in_code
from test_gate_table import TABLE

NOT_PASSED = ("failed", "unknown")
SENTENCES = {gate.id: (gate.function.__doc__ or "").strip().partition("\n")[0] for gate in gates()}


def said() -> Iterator[tuple[str, str, str, str]]:
    """(gate, outcome, node, first line of its words) of all that did not pass in a state of the lab."""
    found = {
        (gate, row.outcome, row.nodes.split()[0], row.text)
        for column in parse(TABLE.read_text(encoding="utf-8")).values()
        for gate, rows in column.items()
        for row in rows
        if row.outcome in NOT_PASSED
    }
    yield from sorted(found)


def plain(text: str) -> str:
    """Without case, ends of lines and marks: how it reads."""
    return " ".join(re.sub(r"[*`>\\]", "", text).lower().split()).rstrip(".")


def is_stated(title: str, text: str) -> bool:
    """Whether a sentence stands in a text as a statement."""
    return any(not before.rstrip().endswith(plain(REQUIRED)) for before in plain(text).split(plain(title))[:-1])


def test_the_measure_itself() -> None:
    title = "HA is not active without quorum."
    assert is_stated(title, f"verdict Stopped: {title}") and is_stated(
        title, "FAILED pve1 ha is not\n active without quorum"
    )
    assert not is_stated(title, f"FAILED pve1 {REQUIRED}{title}") and not is_stated(
        title, "HA is active without quorum."
    )


def test_no_line_and_no_verdict_states_it() -> None:
    wrong = []
    for gate, outcome, node, text in said():
        title = SENTENCES[gate]
        lines = (
            sentence(title, outcome),
            headline(title, "phase 0", node, f"{node}: {text}"),
            headline(title, "", node, ""),
        )
        wrong += [(gate, line) for line in lines if is_stated(title, line) or not line]
    assert wrong == []


def test_a_long_headline_ends_with_a_clause() -> None:
    clauses = [f"link {number} went down {number} times in the last hour" for number in range(9)]
    said = headline("No link fails.", "", "pve1", "pve1: " + "; ".join(clauses) + ".")
    assert said == f"pve1: {'; '.join(clauses[:2])}, and more"
    assert headline("No link fails.", "", "pve1", f"pve1: {'x' * 200}.") == f"pve1: {'x' * 200}"


def test_no_refusal_says_in_its_words_what_a_gate_states() -> None:
    """All refusals of the code, with what differs each time left out."""
    stated = {plain(title) for title in SENTENCES.values()}
    assert [(str(s.of), s.seen) for s in said_in_code() if plain(s.seen).removeprefix("cluster: ") in stated] == []


def record_of(gate: str, outcome: str, node: str, text: str) -> Record:
    """A run in which one gate did not pass."""
    title, message = SENTENCES[gate], f"{node}: {text}.\nIt matters.\nDo this."
    journal = Journal()
    journal.write(
        events.Step(
            nodeid=gate,
            phase=0,
            phase_title="freeze",
            title=title,
            node=node,
            outcome=cast(events.Outcome, outcome),
            message=message,
            seconds=1.0,
        )
    )
    verdict = f"Stopped at {headline(title, 'phase 0', node, message)}."
    journal.write(events.End(exit_status=1, verdict=verdict, next="look", signal=None))
    return build(journal.events)


def test_no_record_states_it() -> None:
    """summary.md, and both halves of the page."""
    wrong = []
    for gate, outcome, node, text in said():
        record = record_of(gate, outcome, node, text)
        pages = (
            summary_md(record),
            *(html.unescape(re.sub(r"<[^>]*>", " ", p)) for p in (summary_html(record), detail_html(record))),
        )
        assert all(plain(SENTENCES[gate]) in plain(page) for page in pages), "else nothing was looked at"
        wrong += [gate for page in pages if is_stated(SENTENCES[gate], page)]
    assert wrong == []


@pytest.mark.parametrize("folded", [True, False])
def test_no_plan_states_it(folded: bool) -> None:
    """Where the gate stands before a stage of which the plan says why there is nothing to do."""
    wrong = []
    for gate, outcome, node, text in said():
        title = SENTENCES[gate]
        plan = Plan("prod", (), (), None, {}, (), (Idleness(0, "lock", node, "it is locked"),))
        stage = StageText("lock", 0, (Gate(title, outcome),), Gate("The lock is taken."))
        page = plan_md(plan, [stage], {0: "freeze"}, "Made now.", headline(title, "phase 0", node, text), folded=folded)
        assert plain(title) in plain(page)
        wrong += [gate] if is_stated(title, page) else []
    assert wrong == []
