"""For what the nodes of a phase were waited for: by the journal, each second once."""

from __future__ import annotations

import pytest
import record_journals
from pve_runbook.journal.events import Approval
from pve_runbook.record.build import build
from pve_runbook.record.document import record_json
from pve_runbook.record.html_summary import summary_html
from pve_runbook.record.model import Action, Answer, Command, Phase, Read, Step
from pve_runbook.record.waiting import Waited, waited


def at(second: float) -> str:
    return f"2026-01-08T02:10:{second:06.3f}Z"


def read(started: float, seconds: float, node: str = "pve1", of: str = "hostname") -> Read:
    answer = Answer(1, of, ("cat",), "", exit_status=0, seconds=seconds)
    return Read(1, node, at(started), (), repeated=(answer,), seconds=seconds)


def action(started: float, seconds: float, node: str = "pve1") -> Action:
    return Action(1, node, "stop-lrm", ("systemctl",), "", "", at(started), outcome="done", seconds=seconds)


def phase(*commands: Command, started: str = at(0), seconds: float = 10) -> Phase:
    step = Step("a::b", 0, "freeze", "It is so.", None, "passed", started, seconds, "", commands)
    return Phase(0, "freeze", (step,))


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ((), Waited(own=10)),
        ((action(0, 3), read(3, 2)), Waited(3, 2, 0, 5)),
        ((action(0, 3, "pve1"), action(1, 3, "pve2"), action(1, 1, "pve3")), Waited(4, 0, 0, 6)),
        ((read(0, 3, "pve1"), read(1, 1, "pve2"), read(5, 1, "pve2")), Waited(0, 4, 0, 6)),
        ((action(0, 3, "pve1"), read(2, 2, "pve2")), Waited(3, 1, 0, 6)),
        ((read(0, 1, of="pause:1"), read(1, 1, of="window_status:x"), read(2, 1)), Waited(2, 1, 0, 7)),
        ((action(0, 12),), Waited(12, 0, 0, 0)),
        ((Read(1, "pve1", "some time", (), seconds=4),), Waited(own=10)),
    ],
    ids=["nothing", "in-turn", "changes", "questions", "both", "polls", "longer", "no-time"],
)
def test_each_second_counts_once_for_what_it_was_spent_on(commands: tuple[Command, ...], expected: Waited) -> None:
    assert waited(phase(*commands), ()) == expected


@pytest.mark.parametrize(("how", "typed"), [("typed", True), ("--approve", False)])
def test_the_operators_own_time_is_not_the_tools(how: str, typed: bool) -> None:
    answer = Approval(phase=0, subject="prod", text="", answer="approved", how=how, by="anna", at=at(9))
    found = waited(phase(read(0, 2)), (answer,))
    assert found == (Waited(0, 2, 8, 0) if typed else Waited(0, 2, 0, 8))


def test_record_and_report_have_it_of_every_phase() -> None:
    record = build(record_journals.whole_run().entries)
    phases = record_json(record, "")["phases"]
    assert [set(one["waited"]) for one in phases] == [{"proxmox", "round_trips", "operator", "own"}] * 8
    for one in phases:
        assert sum(one["waited"].values()) >= one["seconds"] - 0.01
    assert phases[4]["waited"]["proxmox"] > 0
    page = summary_html(record)
    table = page.partition("Where the time went")[2].partition("</section>")[0]
    assert table.count("<tr>") == 1 + 8 + 1, "head, phases, and all of them together"


def test_a_run_that_changed_nothing_has_no_such_table() -> None:
    journal = record_journals.Journal()
    journal.run(mode="checks")
    journal.start(None, "Quorum", "quorate", "The node is quorate.", "pve1")
    journal.finish()
    assert "Where the time went" not in summary_html(build(journal.entries))
