"""The pictures of the terminal in docs/ are of real runs, and the text in them is today's.

They are made anew with PVE_RUNBOOK_PICTURES=write, and looked at.
"""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

import pytest
from eighty_columns import COLUMNS, Shown, on_a_terminal
from rich.console import Console
from rich.style import Style
from rich.text import Text

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
COLOURS = {"green": "green", "red": "red", "brown": "yellow", "cyan": "cyan"}
"""A colour as pyte names it → as rich does."""
LETTER = 12.2
"""Width of a letter in rich's pictures."""
PICTURES = {
    "terminal-checks": ["checks/", "--hosts=lab"],
    "terminal-run": ["runbook/", "--hosts=lab", "--approve=all"],
}


def styled(shown: Shown) -> Text:
    """What stands on the screen, with its colours."""
    text = Text()
    for line, cells in zip("\n".join(shown.lines).rstrip().split("\n"), shown.cells, strict=False):
        styles = [Style(color=COLOURS.get(cells[column].fg), bold=cells[column].bold) for column in range(len(line))]
        for style, run in groupby(zip(styles, line, strict=True), key=lambda pair: pair[0]):
            text.append("".join(letter for _, letter in run), style)
        text.append("\n")
    text.rstrip()
    return text


def picture(text: Text, command: str, name: str) -> str:
    """``text`` as SVG. It names no font of another site: what shows it takes one that it has."""
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="standard")
        console.print(text, soft_wrap=True)
        drawn = console.export_svg(title=command, unique_id=name)
    drawn = re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL).replace("Fira Code, ", "")
    return "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"


def written_in(drawn: str) -> list[str]:
    """The lines of a picture, from the first below its title."""
    lines: dict[float, dict[float, str]] = {}
    for x, y, said in re.findall(r'<text class="[^"]*-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', drawn):
        lines.setdefault(float(y), {})[float(x)] = html.unescape(said).replace("\xa0", " ")
    return [_line(parts) for _, parts in sorted(lines.items())]


def _line(parts: Mapping[float, str]) -> str:
    line = ""
    for x in sorted(parts):
        line = line.ljust(round(x / LETTER)) + parts[x]
    return line.rstrip()


def without_what_changes(lines: list[str]) -> list[str]:
    """The words of a run without its times, ids and the machine that it was made on."""
    text = " ".join(" ".join(lines).split())
    text = re.sub(
        r"\d{8}T\d{6}Z-[0-9a-f]{4}|\d{4}-\d\d-\d\dT\d{6}Z|head [0-9a-f]{16}|in [\d.]+s =+|/tmp/pve-\w+", "", text
    )
    return re.sub(r"platform .*? pve-runbook:|=+", "", text).split()


@pytest.mark.sweep
@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_of_the_terminal_are_of_today(name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="pve-") as folder:
        subprocess.run([Path(sys.executable).with_name("pve-runbook"), "init", folder], check=True, timeout=60)
        shown = on_a_terminal(*PICTURES[name], cwd=Path(folder), environment={})
    kept = DOCS / f"{name}.svg"
    drawn = picture(styled(shown), f"pytest {' '.join(PICTURES[name])}", name)
    assert written_in(drawn) == [line for line in shown.lines if line]
    if os.environ.get("PVE_RUNBOOK_PICTURES") == "write":
        kept.write_text(drawn, encoding="utf-8")
    assert without_what_changes(written_in(kept.read_text(encoding="utf-8"))) == without_what_changes(shown.lines)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_asks_no_other_site(name: str) -> None:
    drawn = (DOCS / f"{name}.svg").read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s\"']+", drawn)) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", drawn)
