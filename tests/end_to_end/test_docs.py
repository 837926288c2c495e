"""What the documentation shows of checks/ is what checks/ say.

The outputs on the page are written anew by
`PVE_RUNBOOK_VERDICTS=write .venv/bin/pytest -m sweep tests/end_to_end/test_docs.py`.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pve_runbook.diagnosis.verdict import Verdict

pytestmark = pytest.mark.sweep

WRITE = os.environ.get("PVE_RUNBOOK_VERDICTS") == "write"
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


OURS = re.compile(r" --ssh-config=\S+| --records=\S+| -p no:cacheprovider| -v(?= |$)|(?<= )/\S+/(?=records/)")
"""What stands in the output only because a test typed the command line."""


def as_shown(said: str) -> str:
    """The last part of an output, with the command line as an operator would have typed it."""
    found: list[str] = []
    for line in said[said.index("Verdict: ") :].splitlines():
        if line.startswith(VARIES):
            found.append(line)
        elif found and found[-1].startswith(VARIES) and line.startswith(" "):
            found[-1] = f"{found[-1]} {line.strip()}"
        elif not re.fullmatch(r"=+ .*in [0-9.]+s.* =+", line):
            found.append(line)
    return "\n".join(_wrapped(line) if line.startswith(VARIES) else line for line in found).strip() + "\n"


def _wrapped(line: str) -> str:
    return textwrap.fill(OURS.sub("", line), 80, subsequent_indent=" " * 10, break_on_hyphens=False)


def write(scenario: str, said: str) -> None:
    """Put an output into its block of the page."""
    begin = f"<!-- lab: {scenario} -->\n```text\n"
    before, _, after = PAGE.read_text().partition(begin)
    PAGE.write_text(f"{before}{begin}{as_shown(said)}```{after.partition('```')[2]}")


SHOWN = dict(BLOCK.findall(PAGE.read_text()))


@pytest.mark.parametrize("scenario", SHOWN)
def test_the_page_shows_what_checks_say(start_lab: Callable[..., Any], run: Callable[..., Any], scenario: str) -> None:
    ran = run("checks/", *start_lab(scenario).options, "-v")
    if WRITE:
        write(scenario, ran.said)
    shown = dict(BLOCK.findall(PAGE.read_text()))[scenario]
    assert words("\n".join(last_part(ran.said))) == words("\n".join(last_part(shown)))


def test_the_page_shows_every_verdict_but_two() -> None:
    """Standalone is no more than its name, and unknown is never the same twice."""
    heads = {line.strip() for text in SHOWN.values() for line in text.splitlines()}
    missing = {str(v) for v in Verdict if not any(head.startswith(f"{v.upper()}: ") for head in heads)}
    assert missing == {"standalone", "unknown"}
    assert all(len(line) <= 80 for text in SHOWN.values() for line in text.splitlines())
