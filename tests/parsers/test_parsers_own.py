"""What the tool itself leaves on a node, read back: locks, windows, units; and whether a web server answers."""

from __future__ import annotations

import pytest
from pve_runbook.parsers.host import parse_file_lines
from pve_runbook.parsers.output import Output, ParseError, parse_text
from pve_runbook.parsers.own_files import Lock, WindowStatus, parse_lock, parse_window_status
from pve_runbook.parsers.pvesh import parse_wget
from pve_runbook.parsers.systemd import parse_list_units

NO_FILE = "cat: x: No such file or directory\n"


def test_a_lock_is_read_as_it_was_written() -> None:
    lock = Lock("20260101T000000Z-abcd", "root@ops1", "2026-01-01T00:00:00Z", "2026-01-01T000000Z-lab-CHG-1")
    assert parse_lock(Output(lock.text + "\n", "", 0)) == lock


def test_no_lock_is_an_answer() -> None:
    assert parse_lock(Output("", "", 1)) is None


@pytest.mark.parametrize(
    "output",
    [Output("elsewhere\n", "", 0), Output("", "Permission denied", 1), Output("", "", 124), Output("run=x\n", "", 0)],
)
def test_a_lock_of_another_form_is_unknown(output: Output) -> None:
    with pytest.raises(ParseError):
        parse_lock(output)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("done\n", WindowStatus("done", "")),
        ("rolled-back pmxcfs -l\n", WindowStatus("rolled-back", "pmxcfs -l")),
        ("forward systemctl disable\n", WindowStatus("forward", "systemctl disable")),
        ("stuck after 'x': y\n", WindowStatus("stuck", "after 'x': y")),
    ],
)
def test_a_window_says_how_it_ended(text: str, status: WindowStatus) -> None:
    assert parse_window_status(Output(text, "", 0)) == status


def test_a_window_that_has_not_ended_has_no_status() -> None:
    assert parse_window_status(Output("", NO_FILE, 1)) is None


@pytest.mark.parametrize(
    "output", [Output("fine\n", "", 0), Output("", "", 0), Output("", "cat: x: Input/output error", 1)]
)
def test_any_other_status_of_a_window_is_unknown(output: Output) -> None:
    with pytest.raises(ParseError):
        parse_window_status(output)


def test_text_is_taken_only_from_a_command_that_succeeded() -> None:
    assert parse_text(Output("status: running\n", "", 0)) == "status: running\n"
    with pytest.raises(ParseError, match="no such VM"):
        parse_text(Output("", "no such VM", 2))


@pytest.mark.parametrize(("status", "answers"), [(0, True), (8, True), (4, False)])
def test_a_web_server_answers_or_does_not(status: int, answers: bool) -> None:
    assert parse_wget(Output("", "", status)) is answers


@pytest.mark.parametrize("status", [1, 5, 124, 127])
def test_whether_a_web_server_answers_may_be_unknown(status: int) -> None:
    with pytest.raises(ParseError):
        parse_wget(Output("", "", status))


def test_units_are_read_by_name() -> None:
    text = "pve-runbook-a-1.service loaded activating start pve-runbook\n"
    assert parse_list_units(Output(text, "", 0)) == ("pve-runbook-a-1.service",)
    assert parse_list_units(Output("", "", 0)) == ()
    with pytest.raises(ParseError):
        parse_list_units(Output("nonsense\n", "", 0))


def test_lines_of_a_file_that_may_be_absent() -> None:
    assert parse_file_lines(Output("one\n\ntwo\n", "", 0)) == ("one", "two")
    assert parse_file_lines(Output("", NO_FILE, 1)) == ()
