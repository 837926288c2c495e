"""How long a probe may take."""

from __future__ import annotations

from pve_runbook.cluster.node import SECOND_LOOKS
from pve_runbook.cluster.rounds import first_round
from pve_runbook.probes import per_subject, registry
from pve_runbook.probes.probe import CHECKED, TOOLS
from pve_runbook.ssh import batch

LONGEST = 120
"""Seconds that a round of probes may take on a node that hangs: a run shows nothing new meanwhile."""


def test_every_probe_ends_before_a_person_gives_up() -> None:
    bounds = {p.name: p.timeout for p in registry.registry()} | {f.name: f.timeout for f in per_subject.registry()}
    end = batch.KILL_AFTER_SECONDS + batch.GRACE_SECONDS
    assert {name: seconds for name, seconds in bounds.items() if not 0 < seconds <= LONGEST - end} == {}


def test_the_turns_of_what_is_read_together_are_within_that() -> None:
    """What is asked with others waits for its turn; what takes longest is asked with one or two others."""
    together = [q.timeout for q in first_round(CHECKED, since=86_400)]
    tools = [q.timeout for q in first_round(TOOLS, since=86_400)]
    for asked in (together, tools):
        turns = len(asked) * batch.TURN_SECONDS
        assert max(asked) + turns + batch.KILL_AFTER_SECONDS + batch.GRACE_SECONDS <= LONGEST


def test_a_node_in_the_middle_of_something_is_not_asked_for_ever() -> None:
    assert SECOND_LOOKS <= LONGEST / 10
