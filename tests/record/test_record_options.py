"""--verify-record and --record-from as typed: plain lines, an exit status, and no session."""

from __future__ import annotations

from pathlib import Path

import hypothesis  # noqa: F401  (its plugin imports it at the end of every inner run: once is enough)
import pytest
import record_folders
from pve_runbook.journal import events
from record_folders import lines, write_lines

NAMES = ("record.json", "summary.md", "report.html")


@pytest.fixture
def whole(pytester: pytest.Pytester) -> Path:
    """The record of a run that ended, beside a test that must never run."""
    pytester.makepyfile("raise SystemExit('collected')")
    return record_folders.whole(pytester.path / "record")


@pytest.fixture
def killed(pytester: pytest.Pytester) -> Path:
    """What a killed run left."""
    return record_folders.killed(pytester.path / "record")


def said(result: pytest.RunResult) -> str:
    """What was printed; no word of a test session."""
    text = "\n".join((*result.outlines, *result.errlines))
    for noise in ("collected", "test session", "no tests ran", "Traceback", "rootdir"):
        assert noise not in text
    return text


def on_one_line(result: pytest.RunResult) -> str:
    """What was printed: where it was wrapped does not matter."""
    return " ".join(said(result).split())


def test_a_record_that_agrees(pytester: pytest.Pytester, whole: Path) -> None:
    result = pytester.runpytest("--verify-record=record")
    assert result.ret == 0
    text = said(result)
    assert "run       EXECUTED, passed (exit status 0): Both nodes stand alone." in text
    assert f"journal   {len(lines(whole))} lines, the chain is unbroken\n          head " in text
    assert "backups   2 files, as they were pulled" in text
    assert "verdict   The record agrees with itself." in text
    assert max(map(len, text.splitlines())) <= 80, "a terminal would break a word"


def test_a_record_that_does_not_agree(pytester: pytest.Pytester, whole: Path) -> None:
    changed = lines(whole)
    changed[3] = changed[3].replace(b"Backups", b"backups")
    write_lines(whole, changed)
    result = pytester.runpytest("--verify-record", str(whole))
    assert result.ret == 1
    assert "journal.jsonl, line 4 was changed: its SHA-256 is not the one that line 5 names." in on_one_line(result)


def test_a_run_that_was_killed(pytester: pytest.Pytester, killed: Path) -> None:
    result = pytester.runpytest("--verify-record=record")
    assert result.ret == 3
    text = said(result)
    assert f"verdict   Intact up to line {len(lines(killed))}, but not whole." in text
    assert f"next pytest --record-from={killed}" in on_one_line(result)
    result = pytester.runpytest("--record-from=record")
    assert result.ret == 0
    assert "INTERRUPTED" in said(result)
    assert [name for name in NAMES if f"{killed}/{name}" in said(result)] == list(NAMES)
    result = pytester.runpytest("--verify-record=record")
    assert result.ret == 3
    assert "next " not in said(result)


def test_rebuilding_from_a_changed_journal_fails(pytester: pytest.Pytester, killed: Path) -> None:
    write_lines(killed, lines(killed)[1:])
    result = pytester.runpytest("--record-from=record")
    assert result.ret == 1
    assert "line 1 was changed: it carries the number 2" in said(result)
    assert not any((killed / name).exists() for name in NAMES)


@pytest.mark.parametrize("option", ["--verify-record", "--record-from"])
def test_no_record(pytester: pytest.Pytester, option: str) -> None:
    result = pytester.runpytest(f"{option}=absent")
    assert result.ret == 4
    assert "absent: there is no journal.jsonl in it, so it is no record" in on_one_line(result)


@pytest.mark.parametrize("option", ["--verify-record", "--record-from"])
def test_an_option_that_names_no_folder_is_not_the_folder_here(pytester: pytest.Pytester, option: str) -> None:
    (pytester.path / "journal.jsonl").touch()
    result = pytester.runpytest(f"{option}=")
    assert result.ret == 4
    assert f"{option}= names no folder" in said(result)


@pytest.mark.parametrize(("option", "status"), [("--verify-record", 3), ("--record-from", 4)])
def test_a_journal_that_was_emptied_is_no_record(
    pytester: pytest.Pytester, killed: Path, option: str, status: int
) -> None:
    """Whether anything else of the record is there or not."""
    write_lines(killed, [])
    assert pytester.runpytest(f"{option}=record").ret == status
    (killed / "record.json").write_text("{}")
    assert pytester.runpytest(f"{option}=record").ret != 0


@pytest.mark.parametrize("option", ["--verify-record", "--record-from"])
def test_a_journal_that_cannot_be_read(pytester: pytest.Pytester, option: str) -> None:
    (pytester.path / "record" / "journal.jsonl").mkdir(parents=True)
    result = pytester.runpytest(f"{option}=record")
    assert result.ret == 4
    assert "cannot be read or written" in said(result)


def test_a_journal_that_can_be_read_again(pytester: pytest.Pytester, whole: Path) -> None:
    journal, away = whole / "journal.jsonl", whole / "away"
    journal.rename(away)
    journal.mkdir()
    result = pytester.runpytest("--verify-record=record")
    assert result.ret == 4 and "[PVE-R246]" in said(result)
    journal.rmdir()
    away.rename(journal)
    assert pytester.runpytest("--verify-record=record").ret == 0


@pytest.mark.parametrize(
    "others", [("runbook/",), ("--hosts=lab",), ("--record-from=record",), ("runbook/", "--hosts=pve1")]
)
def test_nothing_else_is_asked_for_beside_it(pytester: pytest.Pytester, whole: Path, others: tuple[str, ...]) -> None:
    (pytester.path / "runbook").mkdir()
    result = pytester.runpytest("--verify-record=record", *others)
    assert result.ret == 4
    assert "--verify-record stands alone" in said(result)
    assert not (whole / "rebuilt-1").exists()


def test_what_a_terminal_would_obey_is_escaped(pytester: pytest.Pytester) -> None:
    journal = record_folders.begun(pytester.path / "record")
    journal.write(events.End(exit_status=1, verdict="\x1b[2Jgone\x9b1m", next="", signal=None))
    journal.close()
    text = said(pytester.runpytest("--verify-record=record"))
    assert "\\x1b[2Jgone\\x9b1m" in text
    assert "\x1b" not in text and "\x9b" not in text


def test_a_terminal_without_unicode_is_enough(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    journal = record_folders.begun(pytester.path / "record")
    journal.write(events.End(exit_status=1, verdict="änna", next="", signal=None))
    journal.close()
    result = pytester.runpytest_subprocess("--verify-record=record")
    assert result.ret == 3
    assert "\\xe4nna" in said(result)


def test_without_the_options_pytest_is_itself(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_one(): pass")
    pytester.runpytest().assert_outcomes(passed=1)
