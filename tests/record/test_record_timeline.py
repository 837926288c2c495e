"""The picture of a run: every change, every approval and every running guest is in it, and nothing else moves it."""

from __future__ import annotations

import re

import record_journals
from pve_runbook.record.build import build
from pve_runbook.record.timeline import LEFT, PAGE, RIGHT, timeline
from record_html import check
from record_journals import Journal


def shapes(journal: Journal, css: str) -> list[dict[str, str | None]]:
    """The shapes of one class."""
    tags = check(timeline(build(journal.entries))).tags
    return [given for _, given in tags if css in (given.get("class") or "").split()]


def test_every_change_is_a_mark_and_every_running_guest_an_unbroken_line() -> None:
    journal = record_journals.whole_run()
    record = build(journal.entries)
    assert len(record.actions) == 6
    assert len(shapes(journal, "pve-svg-done")) == 6
    assert len(shapes(journal, "pve-svg-approved")) == 4
    assert len(shapes(journal, "pve-svg-guest")) == 11  # three of fourteen were not running
    assert shapes(journal, "pve-svg-broken") == shapes(journal, "pve-svg-cross") == []


def test_a_guest_that_was_interrupted_has_a_broken_line_and_a_failed_change_a_cross() -> None:
    journal = record_journals.failed_run()
    assert len(shapes(journal, "pve-svg-broken")) == 1
    assert "201 shop on pve2: interrupted" in timeline(build(journal.entries))
    assert len(shapes(journal, "pve-svg-cross")) == 1


def test_a_change_stands_in_the_column_of_its_phase() -> None:
    journal = record_journals.whole_run()
    places = [float(given["x"] or 0) for given in shapes(journal, "pve-svg-done")]
    assert [int((x - LEFT) // ((PAGE - LEFT - RIGHT) / 8)) for x in sorted(places)] == [0, 0, 0, 4, 4, 4]


def test_a_guest_that_moved_on_with_another_process_later_stays_broken() -> None:
    journal = record_journals.whole_run()
    comparisons = [event for event in journal.events if event["kind"] == "continuity"]
    rows = comparisons[0]["rows"]
    assert isinstance(rows, list)
    rows[0]["pid_after"] = 1  # seen once, between two comparisons that find it as it was
    assert len(shapes(journal, "pve-svg-broken")) == 1


def test_a_look_at_the_guests_while_a_node_left_is_told() -> None:
    journal = record_journals.whole_run()
    journal.add("sample", nodes=["pve1"], running=11, gone=[])
    assert "was looked for 1 times; none was missing" in timeline(build(journal.entries))
    journal.add("sample", nodes=["pve1"], running=10, gone=[201])
    assert "2 times; missing then: 201" in timeline(build(journal.entries))


def test_a_verification_has_no_picture() -> None:
    journal = Journal()
    journal.run(mode="checks")
    journal.start(None, "Quorum", "quorate", "The node is quorate.", "pve1")
    journal.finish()
    assert timeline(build(journal.entries)) == ""


def test_it_stays_within_its_frame() -> None:
    picture = timeline(build(record_journals.failed_run().entries))
    frame = re.search(r'viewBox="0 0 ([\d.]+) (\d+)"', picture)
    assert frame is not None
    width = float(frame[1])
    places = [float(x) for x in re.findall(r'x="([\d.]+)"|[MH]([\d.]+)', picture) for x in x if x]
    assert places and min(places) >= 0 and max(places) <= width
