"""Text for a terminal of 80 columns."""

from __future__ import annotations

import textwrap

WIDTH = 80


def wrapped(head: str, text: str) -> list[str]:
    """``text`` behind ``head``, in lines that fit a terminal of 80 columns; words and paths stay whole."""
    lines = textwrap.wrap(text, WIDTH - len(head), break_long_words=False, break_on_hyphens=False) or [""]
    return [(head if i == 0 else " " * len(head)) + line for i, line in enumerate(lines)]
