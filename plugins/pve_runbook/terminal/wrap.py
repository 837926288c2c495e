"""Text for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import lru_cache

WIDTH = 80


def wrapped(head: str, text: str) -> list[str]:
    """``text`` behind ``head``, in lines that fit a terminal of 80 columns; words and paths stay whole."""
    lines = _lines(text, WIDTH - len(head))
    return [(head if i == 0 else " " * len(head)) + line for i, line in enumerate(lines)]


def cut(head: str, text: str) -> str:
    """``text`` behind ``head`` in one line of 80 columns, cut between words where it is longer."""
    room = WIDTH - len(head)
    if len(text) <= room:
        return head + text
    kept, blank, _ = text[:room].rpartition(" ")
    return f"{head}{kept if blank else text[: room - 1]}…"


@lru_cache(maxsize=256)
def _lines(text: str, width: int) -> Sequence[str]:
    """The same is said of node after node."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
