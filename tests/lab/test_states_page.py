"""docs/states.md is what checks/ say of every starting state; in none of them a cluster that works is taken apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lab_bench import MakeBench
from states_page import judged_states, page

PAGE = Path(__file__).parents[2] / "docs" / "states.md"
WRITE = os.environ.get("PVE_RUNBOOK_STATES") == "write"
NEW = "docs/states.md is another one now; " + (
    "it is written anew by: PVE_RUNBOOK_STATES=write .venv/bin/pytest -m sweep tests/lab/test_states_page.py"
)


@pytest.mark.sweep
def test_the_page_is_what_checks_say_and_the_law_holds(make_bench: MakeBench) -> None:
    states = judged_states(make_bench)
    if WRITE:
        PAGE.write_text(page(states), encoding="utf-8")
    works = [s for s in states if s.together and not s.flaps]
    assert works and [s.name for s in works if s.is_taken_apart] == []
    assert page(states) == PAGE.read_text(encoding="utf-8"), NEW
