"""The blocks of code in a paper, each below a comment that says where it belongs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(r"^ *<!-- (?P<where>[^\n]+) -->\n(?P<indent> *)```\w+\n(?P<code>.*?)^(?P=indent)```$", re.M | re.S)
_PLACES = re.compile(
    r"from (?P<source>\S+)|new file (?P<new>\S+)|at the end of (?P<end>\S+)|in (?P<inside>\S+) after (?P<line>.+)"
)


@dataclass(frozen=True, slots=True)
class Block:
    """``kind``: from (it stands in ``file``), or, to be written there: new, end, inside.

    What is written inside comes after ``line``, as deep and with as many empty lines as what comes there now.
    """

    kind: str
    file: str
    line: str
    code: str

    def write(self, project: Path) -> None:
        """Put the code where it belongs in a copy of the project."""
        path = project / self.file
        if self.kind == "new":
            assert not path.exists(), f"{self.file} is not new"
            path.write_text(self.code)
            return
        text = path.read_text()
        if self.kind == "end":
            path.write_text(f"{text}\n\n{self.code}")
            return
        assert text.count(f"{self.line}\n") == 1, f"{self.file}: {self.line}"
        before, _, after = text.partition(f"{self.line}\n")
        gap, depth = re.match(r"(\n*)( *)", after).groups()  # type: ignore[union-attr]  # it matches anything
        path.write_text(f"{before}{self.line}\n{gap}{indent(self.code, depth)}{after}")


def blocks(paper: Path) -> Iterator[Block]:
    """The blocks of a paper that say where they belong; a comment that says it in no known words is an error."""
    for found in _BLOCK.finditer(paper.read_text()):
        place = _PLACES.fullmatch(found["where"])
        assert place is not None, found["where"]
        kind, file = next((name, text) for name, text in place.groupdict().items() if text is not None)
        code = re.sub(rf"^{found['indent']}", "", found["code"], flags=re.M)
        yield Block("from" if kind == "source" else kind, file, place["line"] or "", code)
