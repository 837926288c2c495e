"""The record to paste and to process, and the files it is written to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import record_journals
from pve_runbook.record.build import build
from pve_runbook.record.document import record_json
from pve_runbook.record.html_summary import summary_html
from pve_runbook.record.markdown import summary_md
from pve_runbook.record.writer import write_record
from record_journals import Journal

HEAD = "ab" * 32


def test_summary_says_what_who_when_how_it_went_and_what_next() -> None:
    text = summary_md(build(record_journals.whole_run().entries))
    for expected in (
        "# Change record: cluster prod, 2026-01-08 02:10:00 UTC, CHG-4711",
        "**EXECUTED, passed** (exit status 0): All three nodes stand alone; no guest was interrupted.",
        "- Nodes: pve1, pve2, pve3 (authority: pve1)",
        "- No guest was interrupted: 11 of 11 that ran have the same process and start time; 14 of 14 guests",
        "- Approved: 4 of 4 questions by anna@jump (typed), anna@jump (--approve)",
        "- Backups: 9 files, 458.0 KiB, hashes in record.json",
        "- Left to do (2):\n  - HA stays off",
        "- Next: pytest checks/",
        "| Phase 5: restart services | passed | 6 of 6 | 02:10:",
    ):
        assert expected in text


def test_summary_names_what_was_refused() -> None:
    journal = record_journals.whole_run()
    next(e for e in reversed(journal.events) if e["kind"] == "approval").update(answer="refused", how="typed")
    text = summary_md(build(journal.entries))
    assert "- Approved: 3 of 4 questions by anna@jump (typed), anna@jump (--approve); refused: pve1 by" in text


def test_summary_of_a_failed_run_says_where_it_stopped() -> None:
    text = summary_md(build(record_journals.failed_run().entries))
    [stop] = [line for line in text.splitlines() if line.startswith("- Stopped at: ")]
    assert stop.startswith(
        "- Stopped at: corosync still runs on pve2, pid 812. It would undo the forced quorum. (pve2,"
    )
    assert stop.endswith("failed; required: Corosync is stopped and masked on every peer.)")
    assert "| Phase 3: guests intact: what runs, runs on, and its disks are there | blocked | 0 of 3 |" in text


def test_the_answer_comes_first_verdict_cause_what_to_type_and_then_the_counts() -> None:
    record = build(record_journals.failed_run().entries)
    for text, cause in ((summary_md(record), "- Stopped at: "), (summary_html(record), "Cause: ")):
        places = [text.find(part) for part in ("Stopped in phase 2", cause, "Next: ", "Guests that were", "Nodes")]
        assert places == sorted(places) and places[0] > 0, text


def test_what_stopped_a_run_is_said_once_where_its_verdict_has_it() -> None:
    journal = Journal()
    journal.run(mode="runbook")
    journal.start(0, "freeze", "majority", "No majority is quorate.", None)
    journal.finish("failed", "cluster: a majority is quorate.\nIt is not taken apart.\nLeave it.")
    journal.end(1, "Stopped at phase 0: a majority is quorate.", "pytest checks/")
    assert "Cause: " not in summary_html(build(journal.entries))


def test_the_cause_of_checks_is_what_their_verdict_rests_on() -> None:
    journal = Journal()
    journal.run(mode="checks")
    journal.start(None, "Cluster", "quorum", "The member has quorum.", "pve1")
    journal.finish("failed", "pve1: no quorum.")
    journal.add(
        "note", topic="verdict", text="DISMANTLE: take it apart\n- pve1: link 0 is shared\n- and more", node=None
    )
    journal.end(1, "DISMANTLE: take it apart", "pytest runbook/")
    assert "\n- Cause: pve1: link 0 is shared\n- Stopped at: pve1: no quorum" in summary_md(build(journal.entries))
    assert "Cause: " not in summary_md(build(record_journals.whole_run().entries))


def test_summary_stays_within_25_lines_whatever_is_in_it() -> None:
    journal = record_journals.whole_run("\nanother line\n" * 20)
    for number in range(30):
        journal.start(100 + number, "more\nand more", "step", "A step.\nTwo lines.")
        journal.finish("failed", "no\n" * 50)
    lines = summary_md(build(journal.entries)).splitlines()
    assert len([line for line in lines if not line.startswith("  - ")]) == 25
    assert "and 30 more, see report.html" in lines[-1]


def test_all_that_is_left_to_do_is_in_the_summary_and_none_of_it_is_cut() -> None:
    journal = record_journals.whole_run()
    left = [f"thing {number}: " + "word " * 100 + f"end of {number}" for number in range(20)]
    for text in left:
        journal.add("note", topic="left", text=text, node="pve1")
    lines = summary_md(build(journal.entries)).splitlines()
    assert [line for line in lines if line.startswith("  - pve1: thing")] == [f"  - pve1: {text}" for text in left]


def test_summary_has_no_markup_from_a_node() -> None:
    journal = Journal()
    journal.run(cluster="a|b", operator="<img src=x>", ticket="[x](y)", command="echo `id` ``")
    journal.end(1, "*bold* _it_", "")
    text = summary_md(build(journal.entries))
    assert "cluster a\\|b" in text and "\\[x\\](y)" in text
    assert "<img" not in text and "&lt;img" in text
    assert "``` echo `id` `` ```" in text
    assert "\\*bold\\* \\_it\\_" in text


def test_json_holds_everything_but_the_outputs() -> None:
    secret = "only-in-the-output"
    journal = Journal()
    journal.run()
    journal.start(2, "force quorum", "forced", "The authority is quorate.", "pve1")
    journal.read("pve1", {"pvecm": secret, "slow": None})
    journal.outcome(
        journal.intent("pve1", "expect 1", ["pvecm", "expected", "1"], "why", "undo"), "pve1", secret, secret
    )
    journal.add("testinfra", node="pve1", command="true", exit_status=0, stdout=secret, stderr=secret, seconds=0.1)
    journal.finish()
    data = record_json(build(journal.entries), HEAD)
    assert secret not in json.dumps(data)
    phases = data["phases"]
    assert isinstance(phases, list)
    read, action, gate = phases[0]["steps"][0]["commands"]
    assert read["probes"] == 2
    assert read["unanswered"] == [{"id": "slow", "error": "no answer within 5 s"}]
    assert (action["argv"], action["why"], action["undo"]) == (["pvecm", "expected", "1"], "why", "undo")
    assert (gate["command"], gate["exit_status"]) == ("true", 0)


def test_json_has_a_version_the_verdict_and_the_head_of_the_journal() -> None:
    data = record_json(build(record_journals.whole_run().entries), HEAD)
    assert data["schema_version"] == 3
    assert data["journal_head"] == HEAD
    assert (data["kind"], data["judgement"], data["exit_status"]) == ("EXECUTED", "passed", 0)
    assert data["authority"] == "pve1"
    assert json.loads(json.dumps(data))["continuity"][-1]["guests"][0]["vmid"] == 101


@pytest.mark.parametrize(
    ("exit_status", "expected"), [(0, "passed"), (1, "failed"), (2, "incomplete"), (3, "incomplete")]
)
def test_judgement_follows_the_exit_status(exit_status: int, expected: str) -> None:
    journal = Journal()
    journal.run()
    journal.end(exit_status, "It ended.", "")
    assert record_json(build(journal.entries), HEAD)["judgement"] == expected


def test_a_journal_without_an_end_is_never_passed() -> None:
    journal = record_journals.whole_run()
    journal.events.pop()
    data = record_json(build(journal.entries), HEAD)
    assert (data["kind"], data["judgement"], data["exit_status"]) == ("INTERRUPTED", "incomplete", None)


def test_files_are_written_and_replaced(tmp_path: Path) -> None:
    write_record(tmp_path, build([]), HEAD)
    record = build(record_journals.whole_run("\udcff").entries)
    write_record(tmp_path, record, HEAD)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["record.json", "summary.md"]
    assert json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))["run"]["cluster"] == "prod?"
    assert (tmp_path / "summary.md").read_text(encoding="utf-8") == summary_md(record, HEAD)


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"):
        write_record(tmp_path / "gone", build([]), HEAD)
