"""How long an action may take."""

from __future__ import annotations

import pytest
from pve_runbook.actions import registry
from pve_runbook.actions.action import ActionTemplate
from pve_runbook.procedure.members import EARLIER_SECONDS
from pve_runbook.procedure.window import BOUND

TAKEN_UP_WITHIN = 240
"""A person who starts a run again after its line was lost waits for what it had sent: some minutes, and no more."""


@pytest.mark.parametrize("action", registry.registry().values(), ids=lambda action: str(action.name))
def test_a_run_that_is_taken_up_waits_for_its_end(action: ActionTemplate) -> None:
    """What was sent before a line was lost has ended, or was ended, by the time that nobody waits for it any more."""
    assert 0 < action.timeout <= EARLIER_SECONDS


def test_that_wait_and_a_window_are_bounded() -> None:
    assert BOUND <= EARLIER_SECONDS <= TAKEN_UP_WITHIN
