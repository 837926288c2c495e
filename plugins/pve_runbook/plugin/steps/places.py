"""Where the runbook asks for the stages: a step that requests an action's fixture is where its stages come."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pve_runbook.plugin.steps.order import phase_of
from pve_runbook.plugin.steps.step import title_of
from pve_runbook.procedure import stages
from pve_runbook.procedure.planning import Place


def places(items: Iterable[pytest.Item]) -> list[Place]:
    """The stages in the order in which ``items`` ask for them; those not asked for are not in it."""
    found: list[Place] = []
    seen: set[str] = set()
    since: list[str] = []
    told: set[tuple[int, str]] = set()
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        new = [s for s in stages.STAGES if s.fixture in asked and s.fixture not in seen]
        title = title_of(item)
        phase = phase_of(item.path) or 0
        found += [Place(stage, phase, tuple(since), title) for stage in new]
        seen |= {s.fixture for s in new}
        # The same gate on the next node, or for the next one that leaves, is the same gate.
        since = [] if new else since if (phase, title) in told else [*since, title]
        told.add((phase, title))
    return found
