"""What people read names the journal's head: it is what a ticket keeps."""

from __future__ import annotations

from pathlib import Path

import record_folders
from pve_runbook.journal import events
from pve_runbook.record.build import build
from pve_runbook.record.html_summary import summary_html
from pve_runbook.record.markdown import summary_md

HEAD = "ab" * 32


def test_summary_names_it_with_the_backups(tmp_path: Path) -> None:
    record = build(record_folders.begun(tmp_path / "record").events)
    (line,) = (line for line in summary_md(record, HEAD).splitlines() if HEAD in line)
    assert line == f"- Backups: 2 files, 32 B, hashes in record.json; Journal head: `{HEAD}`"


def test_summary_names_it_where_there_are_no_backups(tmp_path: Path) -> None:
    begun = record_folders.begun(tmp_path / "record")
    entries = [entry for entry in begun.events if not isinstance(entry.event, events.Transfer)]
    assert f"\n- Journal head: `{HEAD}`\n" in summary_md(build(entries), HEAD)


def test_summary_stays_within_25_lines_with_it(tmp_path: Path) -> None:
    journal = record_folders.begun(tmp_path / "record")
    for number in range(30):
        journal.write(
            events.Step(
                nodeid=f"t{number}",
                phase=100 + number,
                phase_title="more",
                title="A step.",
                node="a",
                outcome="failed",
                message="no\n" * 50,
                seconds=1.0,
            )
        )
    approved = events.Approval(phase=0, subject="prod", answer="approved", how="typed", by="anna", text="?", at="")
    journal.write(approved)
    journal.write(events.Note(topic="left", node="pve1", text="HA stays off."))
    journal.write(events.Continuity(phase=7, label="at the end", rows=(), nodes=()))
    journal.write(events.End(exit_status=1, verdict="Stopped.", next="look", signal=None))
    lines = summary_md(build(journal.events), HEAD).splitlines()
    assert len([line for line in lines if not line.startswith("  - ")]) == 25
    assert any(HEAD in line for line in lines)


def test_report_names_it_among_the_facts(tmp_path: Path) -> None:
    record = build(record_folders.begun(tmp_path / "record").events)
    facts = (
        summary_html(record, HEAD).split("<h2>What was done, by whom, on which nodes</h2>")[1].split("</section>")[0]
    )
    assert f'<th scope="row">Journal head</th><td><code>{HEAD}</code></td>' in facts


def test_nothing_is_said_of_a_head_that_is_not_known_yet(tmp_path: Path) -> None:
    record = build(record_folders.begun(tmp_path / "record").events)
    assert "ournal head" not in summary_html(record) + summary_md(record)
