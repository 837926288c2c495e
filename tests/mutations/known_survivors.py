"""Which mutants are known to survive: those with a row, and a reason, in docs/mutations.md."""

from __future__ import annotations

import re
from pathlib import Path

PAPER = Path(__file__).parents[2] / "docs" / "mutations.md"
_ROW = re.compile(r"^\| `([^`]+:[^`]+)` \|", re.MULTILINE)


def known() -> frozenset[str]:
    """Their ids."""
    return frozenset(_ROW.findall(PAPER.read_text(encoding="utf-8")))
