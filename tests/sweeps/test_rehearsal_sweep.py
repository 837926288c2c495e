"""A rehearsal of every starting state tells what the run on the nodes themselves would have done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pve_lab.scenarios import SCENARIOS
from rehearsed import told
from sampling import some

pytestmark = pytest.mark.sweep

EVERY = 24
"""A state costs two whole runs."""


def record(stage: Any) -> Path:
    """The folder of its only record."""
    [found] = [p for p in stage.records.iterdir() if (p / "journal.jsonl").exists()]
    return Path(found)


@pytest.mark.parametrize("scenario", some(SCENARIOS, EVERY))
def test_a_rehearsal_foretells_the_run(three: Any, scenario: str) -> None:
    three.set(scenario)
    foretold, _ = three.run("--rehearse")
    assert three.control.mutating_count() == 0
    if not three.records.exists() or not list(three.records.iterdir()):
        assert foretold == 4  # a node is not reached: neither was the run
        assert three.run()[0] == 4
        return
    rehearsal = told(record(three))
    three.set(scenario)
    status, said = three.run()
    real = told(record(three))
    assert foretold == status, said
    assert rehearsal[0] == real[0]
    assert rehearsal[1] == real[1]
