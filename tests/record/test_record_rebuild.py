"""After kill -9 the operator still has a record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import record_folders
from pve_runbook.record.verify import Disagreement, NoRecord, rebuild, verify
from record_folders import lines, write_lines


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The journal and the backups of a run that was killed."""
    return record_folders.killed(tmp_path / "record")


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_step_in_flight_and_its_command_are_unknown(killed: Path) -> None:
    target, _ = rebuild(killed)
    assert target == killed
    data = json.loads((killed / "record.json").read_text("utf-8"))
    assert (data["kind"], data["judgement"]) == ("INTERRUPTED", "incomplete")
    step = data["phases"][1]["steps"][0]
    assert (step["nodeid"], step["outcome"]) == (record_folders.IN_FLIGHT, "unknown")
    assert (step["commands"][0]["name"], step["commands"][0]["outcome"]) == ("window", "unknown")
    assert data["phases"][0]["outcome"] == "passed"


def test_the_page_stands_by_itself_and_says_what_it_lacks(killed: Path) -> None:
    rebuild(killed)
    page = (killed / "report.html").read_text("utf-8")
    assert page.startswith('<!doctype html>\n<html lang="en">') and page.endswith("</body></html>\n")
    assert "INTERRUPTED · no exit status recorded" in page
    assert "Made from journal.jsonl alone. pytest-html's own table of the steps" in page
    assert ".pve-banner" in page.split("</style>")[0]
    assert "<script" not in page and "<link" not in page and "src=" not in page and "cut off" not in page


def test_all_three_files_name_the_head(killed: Path) -> None:
    target, made = rebuild(killed)
    for name in made.compared:
        assert made.chain.head in (target / name).read_text("utf-8")


def test_what_was_rebuilt_is_what_verifying_expects(killed: Path) -> None:
    rebuild(killed)
    found = verify(killed)
    assert found.compared == ("record.json", "summary.md", "report.html")
    assert len(found.gaps) == 1 and found.gaps[0].startswith("The run did not end")


def test_the_last_line_of_a_killed_run_is_vouched_for_once_rebuilt(killed: Path) -> None:
    rebuild(killed)
    for name in ("summary.md", "report.html"):
        (killed / name).unlink()
    data = (killed / "journal.jsonl").read_bytes()
    (killed / "journal.jsonl").write_bytes(data.replace(b"systemd-run", b"systemd-ran"))
    with pytest.raises(Disagreement, match=rf"line {len(lines(killed))} was changed"):
        verify(killed)


def test_a_half_last_line_is_left_out_and_said(killed: Path) -> None:
    before = lines(killed)
    write_lines(killed, [*before, b'{"n":12,"t":"2026'])
    _, made = rebuild(killed)
    assert (len(made.chain.events), made.chain.half) == (len(before), 17)
    assert "cut off after 17 bytes and is left out" in (killed / "report.html").read_text("utf-8")
    assert verify(killed).compared == ("record.json", "summary.md", "report.html")


@pytest.mark.parametrize("name", ["record.json", "summary.md", "report.html"])
def test_nothing_that_is_there_is_replaced(killed: Path, name: str) -> None:
    (killed / name).write_text("what the operator has")
    before = content(killed)
    first, _ = rebuild(killed)
    second, _ = rebuild(killed)
    assert (first, second) == (killed / "rebuilt-1", killed / "rebuilt-2")
    assert content(first) == content(second)
    assert sorted(content(first)) == ["record.json", "report.html", "summary.md"]
    assert {name: data for name, data in content(killed).items() if not name.startswith("rebuilt-")} == before


def test_journal_and_backups_are_never_touched(killed: Path) -> None:
    before = content(killed)
    rebuild(killed)
    after = content(killed)
    assert {name: after[name] for name in before} == before
    assert sorted(after.keys() - before.keys()) == ["record.json", "report.html", "summary.md"]


def test_no_record_is_made_of_a_changed_journal(killed: Path) -> None:
    changed = lines(killed)
    changed[3] = changed[3].replace(b"Backups", b"backups")
    write_lines(killed, changed)
    before = content(killed)
    with pytest.raises(Disagreement, match="line 4 was changed"):
        rebuild(killed)
    assert content(killed) == before


def test_a_damaged_record_json_does_not_keep_the_record_from_being_made(tmp_path: Path) -> None:
    folder = record_folders.whole(tmp_path / "record")
    good = (folder / "record.json").read_bytes()
    (folder / "record.json").write_text('{"journal_head": "0"}')
    target, _ = rebuild(folder)
    assert target == folder / "rebuilt-1"
    assert (target / "record.json").read_bytes() == good


@pytest.mark.parametrize("journal", [b"", b'{"n":1'])
def test_a_journal_without_a_line_gives_no_record(killed: Path, journal: bytes) -> None:
    (killed / "journal.jsonl").write_bytes(journal)
    before = content(killed)
    with pytest.raises(NoRecord, match="not one whole line"):
        rebuild(killed)
    assert content(killed) == before
