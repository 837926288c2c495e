"""What the documentation shows of checks/ is what checks/ say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.sweep

PAGE = Path(__file__).parents[2] / "docs" / "verdicts.md"
BLOCK = re.compile(r"<!-- lab: ([a-z-]+) -->\n```text\n(.*?)```", re.DOTALL)
VARIES = ("journal ", "record ", "next ")
"""Lines that are another run's in every run."""


def words(text: str) -> str:
    """The text as one line, without what differs from run to run: numbers, and so where it is wrapped."""
    return re.sub(r"[0-9.]+", "N", " ".join(text.split()))


def last_part(text: str) -> Iterator[str]:
    """From the verdict on, as the terminal has it."""
    lines = text.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("Verdict: "))
    skip = False
    for line in lines[begin:]:
        skip = line.startswith(VARIES) or (skip and line.startswith(" "))
        if not skip and not re.fullmatch(r"=+ .*in [0-9.]+s.* =+", line):
            yield line


SHOWN = dict(BLOCK.findall(PAGE.read_text()))


@pytest.mark.parametrize("scenario", SHOWN)
def test_the_page_shows_what_checks_say(start_lab: Callable[..., Any], run: Callable[..., Any], scenario: str) -> None:
    ran = run("checks/", *start_lab(scenario).options)
    assert words("\n".join(last_part(ran.said))) == words("\n".join(last_part(SHOWN[scenario])))


def test_the_page_shows_five() -> None:
    assert len(SHOWN) >= 5
    assert all(len(line) <= 80 for text in SHOWN.values() for line in text.splitlines())
