"""For every starting state of the lab: the outcome of every gate, and every command that a run sends, as a text.

`PVE_RUNBOOK_TRANSCRIPTS=write .venv/bin/pytest -m sweep tests/transcripts -n auto --dist worksteal` writes all of them
anew: what a change does to any state is then read in `git diff`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pve_lab.scenarios import SCENARIOS
from sampling import some
from transcript import transcript

pytestmark = pytest.mark.sweep

STATES = Path(__file__).parent / "states"
WRITE = os.environ.get("PVE_RUNBOOK_TRANSCRIPTS") == "write"
CHOSEN = list(SCENARIOS) if WRITE else some(SCENARIOS, 9)
INSIST = ("--anyway=a test of what comes after the verdict", "--accept=shared-storage,ceph,locks,volumes")


def parts(three: Any, scenario: str) -> Iterator[str]:
    """checks/, the runbook as typed, and, where that is refused, with all that an operator can say."""
    for title, folder, more in (
        ("checks/", "checks/", ()),
        ("runbook/", "runbook/", ("--approve=all",)),
        ("runbook/ with --anyway and --accept", "runbook/", ("--approve=all", *INSIST)),
    ):
        three.set(scenario)
        status, _ = three.typed(folder, *more)
        yield transcript(title, three.record, status)
        if folder == "runbook/" and status == 0:
            return


@pytest.mark.parametrize("scenario", CHOSEN)
def test_a_state_is_gone_through_as_written(three: Any, scenario: str) -> None:
    path = STATES / f"{scenario}.txt"
    found = "\n".join([f"# {scenario}: {SCENARIOS[scenario].line}\n", *parts(three, scenario)])
    if WRITE:
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def test_every_state_has_a_transcript_and_no_other_is_left() -> None:
    assert {p.stem for p in STATES.glob("*.txt")} == set(SCENARIOS)
