"""Mutants of the scripts that run on a node: one line of a command is left out at a time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from python_mutants import Change

_FRAME = re.compile(
    r"#|set -u|(?:if|for|while|until|case|function|then|else|elif|do|done|fi|esac)\b|[{}]|\w+\(\)|\S+\)$|trap |shift"
)
"""Lines that hold the script together, and those without which nothing of it runs."""
_WHOLE = re.compile(r"if .*; fi|case .* esac|\{ .*; \}.*")
"""What begins as such a line and ends on it is a command like any other."""


def changes(path: Path) -> Iterator[Change]:
    """A ``:`` in place of each line that is a command by itself; the name is the command."""
    counts: Counter[str] = Counter()
    start = 0
    for line in path.read_bytes().splitlines(keepends=True):
        text = line.decode().strip()
        begin = start + len(line) - len(line.lstrip())
        start += len(line)
        if not text or "() {" in text or (_FRAME.match(text) and not _WHOLE.fullmatch(text)):
            continue
        name = re.sub(r"\W+", "-", text)[:48].strip("-")
        counts[name] += 1
        yield Change(f"{name}-{counts[name]}", begin, begin + len(text.encode()), ":")
