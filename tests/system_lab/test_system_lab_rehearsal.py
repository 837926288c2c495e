"""--rehearse: real nodes are only read, and their twin foretells the run on them."""

from __future__ import annotations

from typing import Any

import pytest
from rehearsed import told
from untouched import Watch

pytestmark = pytest.mark.syslab


@pytest.mark.parametrize("state", ["broken", "half-dismantled"])
def test_a_rehearsal_foretells_the_run(stage: Any, state: str) -> None:
    """The same steps end the same way, with the same commands; until then nothing changed on the nodes."""
    stage.set(state)
    watch = Watch(stage)
    foretold, said = stage.run("runbook/", "--approve=all", "--rehearse")
    assert foretold == 0, said[-4000:]
    assert watch.differences() == []
    [rehearsal] = stage.records.iterdir()
    status, said = stage.run("runbook/", "--approve=all")
    assert status == foretold, said[-4000:]
    [run] = [record for record in stage.records.iterdir() if record != rehearsal]
    (steps, commands), (steps_foretold, commands_foretold) = told(run), told(rehearsal)
    assert steps_foretold == steps
    assert commands_foretold == commands
