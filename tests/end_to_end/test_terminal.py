"""A whole run on a terminal of 80 columns and 24 lines, by a real pseudo-terminal and a terminal's own rules."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eighty_columns import COLUMNS, on_a_terminal

PROJECT = Path(__file__).parents[2]
SNAPSHOT = Path(__file__).with_name("terminal-80x24.txt")
GUESTS = re.compile(r"guests (\d+)/\1 same pid · nodes 3/3 same boot · configs (\d+)/\2 same · volumes (\d+)/\3")


@pytest.fixture
def records() -> Iterator[Path]:
    """A folder with a short name: a path is never broken, and the record's has to fit."""
    with tempfile.TemporaryDirectory(prefix="r") as folder:
        yield Path(folder)


def whole_run(
    lab: Any,
    records: Path,
    *arguments: str,
    suite: str = "runbook/",
    answer: Callable[[list[str]], str | None] | None = None,
) -> tuple[int, list[str], str]:
    """Run a suite; (exit status, every line that stood on the screen in the end, what was sent to it).

    ``answer``: what is typed when the screen shows these lines, None for nothing.
    """
    argv = (suite, *lab.options, f"--records={records}", *arguments)
    shown = on_a_terminal(*argv, cwd=PROJECT, environment={"NO_COLOR": "1"}, answer=answer)
    return shown.status, shown.lines, shown.sent


def test_a_whole_run_reads_on_eighty_columns_without_colour(start_lab: Callable[..., Any], records: Path) -> None:
    status, lines, sent = whole_run(start_lab(), records, "--approve=all", "-p", "no:cacheprovider")
    text = "\n".join(lines)
    assert status == 0, text

    # Nothing is broken by the terminal itself, nothing is coloured, nothing that came and went is left.
    plain = re.sub(r"\x1b\[K", "", sent)
    assert "\x1b" not in plain
    assert [line for part in plain.split("\n") for line in part.split("\r") if len(line) > COLUMNS] == []
    assert "\n  ..  " not in text

    # Each phase: what and why; how the guests are is said when it is another thing than before.
    phases = re.split(r"\n\nPHASE (\d)  ", text)[1:]
    assert phases[::2] == [str(number) for number in range(8)]
    told = [line for line in lines if line.startswith("guests")]
    assert GUESTS.fullmatch(told[0]) and len(told) == 2, told
    assert phases[1].splitlines()[-1] == told[0]
    assert "         Without quorum /etc/pve is read-only and no guest" in phases[5]

    # The end: verdict, what to type next, what is left, guests, the journal's head and the record's path.
    end = text.partition("= change record =")[2].splitlines()
    labels = [line.split()[0] for line in end if line[:1].isalpha()]
    assert labels == ["verdict", "next", "left", "steps", "guests", "journal", "record"]
    record = next(line for line in end if line.startswith("record    "))
    assert Path(record.split()[1]).is_file()


def without_what_changes(line: str) -> str:
    """A line of a run without its times, ids and paths."""
    line = re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{4}", "RUN-ID", line)
    line = re.sub(r"\S*/\d{4}-\d\d-\d\dT\d{6}Z-labcluster", "RECORD", line)
    line = re.sub(r"--(ssh-config|records)=\S+", r"--\1=PATH", line)
    line = re.sub(r"head [0-9a-f]{16}", "head HEAD", line)
    return "= … passed in … s =" if re.fullmatch(r"=+ .* in [\d.]+s =+", line) else line


@pytest.mark.sweep
def test_a_whole_run_looks_as_it_did(start_lab: Callable[..., Any], records: Path) -> None:
    """The snapshot is written anew with PVE_RUNBOOK_SNAPSHOT=write, and read in the diff."""
    _, lines, _ = whole_run(start_lab(), records, "--approve=all", "-p", "no:cacheprovider", "--canary=off")
    from_ours = next(number for number, line in enumerate(lines) if line.startswith("collected "))
    seen = "\n".join(map(without_what_changes, lines[from_ours:])).rstrip() + "\n"
    if os.environ.get("PVE_RUNBOOK_SNAPSHOT") == "write":
        SNAPSHOT.write_text(seen, encoding="utf-8")
    assert seen == SNAPSHOT.read_text(encoding="utf-8")


def test_what_is_asked_is_shown_where_it_is_asked_in_a_pipe_too(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    lines = run("checks/", *start_lab(nodes=1).options, "-v").said.splitlines()
    asked = [number for number, line in enumerate(lines) if line.startswith("  ?        pve1     ")]
    [collected] = (number for number, line in enumerate(lines) if line.startswith("collected "))
    first_step = next(number for number, line in enumerate(lines) if line.startswith("  ok       "))
    assert collected < asked[0] < asked[-1] < first_step
