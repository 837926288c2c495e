"""The record as data, from journals that are whole and from journals that stop anywhere."""

from __future__ import annotations

import json

import pytest
import record_journals
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pve_runbook.facts.continuity import Snapshot, compare
from pve_runbook.journal.events import Baseline, Continuity, of_kind
from pve_runbook.journal.journal import Journal as Written
from pve_runbook.journal.reading import entry_of
from pve_runbook.journal.rows import GuestTruth
from pve_runbook.record.build import Record, build
from pve_runbook.record.document import record_json
from pve_runbook.record.html_summary import detail_html, summary_html
from pve_runbook.record.markdown import summary_md
from pve_runbook.record.model import Action, GateCommand, Outcome, Phase, Read, Step
from record_html import check
from record_journals import Journal


def only(record: Record, index: int = 0) -> Step:
    return record.steps[index]


def test_whole_run_has_its_header_phases_and_end() -> None:
    record = build(record_journals.whole_run().entries)
    assert record.header.cluster == "prod"
    assert record.header.hosts == ("pve1", "pve2", "pve3")
    assert record.header.started == "2026-01-08T02:10:00.140Z"
    assert [phase.number for phase in record.phases] == list(range(8))
    assert {phase.outcome for phase in record.phases} == {"passed"}
    assert record.end is not None and record.end.exit_status == 0
    assert not record.is_interrupted


def test_commands_stand_under_the_step_that_asked_for_them_in_order() -> None:
    record = build(record_journals.whole_run().entries)
    window = next(step for step in record.steps if step.nodeid.endswith("test_leaves[pve2]"))
    action, read = window.commands
    assert isinstance(action, Action) and isinstance(read, Read)
    assert action.outcome == "done" and action.node == "pve2" and action.undo.startswith("The window")
    assert [answer.id for answer in read.unanswered] == ["slow"]
    assert len(record.outside) == 3  # the first reads, before any step


def test_line_numbers_point_at_the_answer_in_the_journal() -> None:
    journal = record_journals.whole_run()
    record = build(journal.entries)
    for step in record.steps:
        for command in step.commands:
            event = journal.events[command.line - 1]
            wanted = {Action: "action", Read: "batch", GateCommand: "testinfra"}[type(command)]
            assert event["kind"] == wanted
            if isinstance(command, Read):
                for answer in (*command.answers, *command.repeated):
                    assert journal.events[answer.line - 1]["id"] == answer.id


def test_the_same_answer_again_keeps_the_exit_status_of_the_first() -> None:
    journal = Journal()
    first = journal.read("pve1", {"hostname": "pve1\n"})
    second = journal.read("pve1", {"hostname": first["hostname"]})
    journal.read("pve1", {"hostname": second["hostname"]})
    for again in build(journal.entries).outside[1:]:
        assert isinstance(again, Read)
        assert again.unanswered == ()
        assert again.answers == ()
        assert [answer.exit_status for answer in again.repeated] == [0]


@pytest.mark.parametrize("status", [124, 137])
def test_a_probe_that_timed_out_is_not_answered(status: int) -> None:
    journal = Journal()
    journal.read("pve1", {"hostname": "pve1\n"})
    journal.events[-1]["exit_status"] = status
    (read,) = build(journal.entries).outside
    assert isinstance(read, Read)
    assert [answer.id for answer in read.unanswered] == ["hostname"]


def test_a_step_in_flight_is_unknown_and_says_that_the_run_ended_here() -> None:
    journal = Journal()
    journal.run()
    journal.start(4, "remove corosync", "leaves", "The node leaves.", "pve2")
    journal.intent("pve2", "window", ["systemd-run"], "why", "undo")
    record = build(journal.entries)
    step = only(record)
    assert (step.outcome, step.node, step.title) == ("unknown", "pve2", "The node leaves.")
    assert "The run ended here" in step.message
    (action,) = step.commands
    assert isinstance(action, Action)
    assert (action.outcome, action.error) == ("unknown", "no answer was recorded")
    assert record.is_interrupted and record.end is None


def test_a_blocked_step_never_began() -> None:
    journal = Journal()
    journal.blocked(5, "restart services", "ready", "The node answers.", "pve1")
    step = only(build(journal.entries))
    assert (step.outcome, step.started, step.phase) == ("blocked", "", 5)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["passed", "passed"], "passed"),
        (["passed", "failed", "unknown", "blocked"], "failed"),
        (["passed", "blocked", "unknown"], "unknown"),
        (["passed", "blocked"], "blocked"),
        (["passed", "not evaluated"], "passed"),
        (["not evaluated"], "not evaluated"),
        (["a word of a later version"], "unknown"),
    ],
)
def test_a_phase_is_as_good_as_its_worst_step(outcomes: list[str], expected: Outcome) -> None:
    journal = Journal()
    for number, outcome in enumerate(outcomes):
        journal.start(1, "authority", f"step{number}", "A step.")
        journal.finish(outcome)
    (phase,) = build(journal.entries).phases
    assert phase.outcome == expected
    assert phase.passed == outcomes.count("passed")


def test_checks_are_grouped_by_title_because_they_have_no_phase() -> None:
    journal = Journal()
    journal.run(mode="checks")
    for title in ("Quorum", "Guests", "Quorum"):
        journal.start(None, title, f"check{len(journal.events)}", "It holds.")
        journal.finish()
    phases = build(journal.entries).phases
    assert [(phase.title, len(phase.steps)) for phase in phases] == [("Quorum", 2), ("Guests", 1)]


def test_continuity_counts_what_is_the_same_and_is_filed_under_its_phase() -> None:
    journal = record_journals.failed_run()
    record = build(journal.entries)
    assert record.survival is not None
    assert (record.survival.guests_same, record.survival.nodes_same) == (13, 2)
    assert not record.survival.is_same
    phase: Phase = record.phases[2]
    assert phase.continuity == (record.survival,)
    whole = build(record_journals.whole_run().entries)
    assert whole.survival is not None and whole.survival.is_same and whole.survival.phase == 7


def test_nothing_compared_is_not_the_same() -> None:
    journal = Journal()
    journal.add("continuity", phase=7, label="", rows=[], nodes=[])
    record = build(journal.entries)
    assert record.survival is not None and not record.survival.is_same


def test_unknown_kinds_are_ignored() -> None:
    journal = Journal()
    journal.run()
    before = build(journal.entries)
    journal.add("telemetry", secret="s3cret")
    after = build(journal.entries)
    assert after.header == before.header
    assert "s3cret" not in repr(after)


def test_a_field_nobody_named_does_not_reach_the_record() -> None:
    journal = record_journals.whole_run()
    for event in journal.events:
        event["password"] = "s3cret"
    record = build(journal.entries)
    for text in (repr(record), summary_html(record), detail_html(record), summary_md(record)):
        assert "s3cret" not in text


def test_every_prefix_of_a_journal_makes_a_record() -> None:
    events = record_journals.whole_run().entries
    for length in range(0, len(events), 7):
        record = build(events[:length])
        assert record.is_interrupted
        check(summary_html(record) + detail_html(record))
        assert len(summary_md(record).splitlines()) <= 25


FAILED_RUN = record_journals.failed_run().events
NAMES = sorted({name for event in FAILED_RUN for name in event})
ODD = [
    None,
    True,
    -1,
    2**70,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "<b>",
    "2026-01-08T02:10:00.140Z",
    [],
    {},
    [None],
]
ODD += [[{}], [{"id": [], "vmid": {}, "node": None, "same": 1}], [["x"]], {"id": 1}]


@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(FAILED_RUN) - 1), st.sampled_from(NAMES), st.sampled_from(ODD)),
        max_size=40,
    )
)
def test_no_journal_breaks_the_record(changes: list[tuple[int, str, object]]) -> None:
    events = [dict(event) for event in FAILED_RUN]
    for place, name, value in changes:
        events[place][name] = value
    record = build([entry_of(event) for event in events])
    check(summary_html(record) + detail_html(record))
    assert len(summary_md(record).splitlines()) <= 25
    json.dumps(record_json(record, "0" * 64), allow_nan=False)


def test_a_guest_that_a_comparison_does_not_name_is_as_it_was() -> None:
    """The journal says the baseline once; a comparison names what differs."""
    was = [GuestTruth(i, f"g{i}", "qemu", "pve1", 100 + i, 7, "c" * 64, 2, 2) for i in (101, 102)]
    before = Snapshot({g.vmid: g for g in was}, {"pve1": "b"})
    now = Snapshot({101: was[0], 102: replace(was[1], pid=9)}, {"pve1": "b"})
    journal = Written()
    journal.write(
        Baseline(
            guests=tuple(was),
            boots=before.boots,
            network={},
            members=(),
            clusters={},
            standalone=(),
            scheduled=(),
            quorate=(),
            leaving=(),
        )
    )
    for after in (before, now):
        found = compare(before, after)
        rows, nodes = found.rows_for_journal(), found.nodes_for_journal()
        journal.write(Continuity(phase=4, label="", guests=2, rows=rows, nodes=nodes))
    assert [len(event.rows) for event in of_kind(journal.events, Continuity)] == [0, 1]
    first, last = build(journal.events).continuity
    assert first.is_same and [row.vmid for row in first.guests] == [101, 102]
    assert [(row.vmid, row.pid_before, row.pid_after) for row in last.guests if not row.same] == [(102, 202, 9)]
    assert last.guests[0].ran_on and last.guests[0].pid_after == 201
