"""Any interleaving of faults and re-runs: no guest is lost on the way, and the same command line ends the work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from owned_guests import owned
from sampling import EVERYTHING

pytestmark = pytest.mark.sweep

CHANGES = 100
"""About as many commands of an undisturbed run on two nodes change something; a later point strikes nothing."""
LEFT = 60
"""About as many are left for the runs after it."""
HOW = [(what, when) for what in ("kill", "terminate", "cut", "freeze", "power_cycle") for when in ("before", "after")]
HOW += [("fail", "before")] * 2
"""Every kind of fault, before a command's effect or after it; one that was made to fail has none."""
UNDISTURBED = 3
"""Runs that may be needed in the end."""
WINDOW_BOUND = 300  # seconds
SCENARIOS = ("broken", "quorate", "ha-quorate")
STATUSES = (0, 1, 2, 3, 4, -9)


@dataclass(frozen=True)
class Strike:
    """One fault in one run: at which of its changes, before its effect or after it."""

    what: str
    at: int
    when: str


def strikes(last: int) -> st.SearchStrategy[Strike]:
    """Every kind of fault at any of that many changes."""
    return st.builds(
        lambda how, at: Strike(how[0], at, how[1]), st.sampled_from(HOW), st.sampled_from(range(1, last + 1))
    )


def faults() -> st.SearchStrategy[list[Strike]]:
    """One to three runs with a fault each."""
    return st.builds(lambda first, more: [first, *more], strikes(CHANGES), st.lists(strikes(LEFT), max_size=2))


PROFILE = settings(
    max_examples=400 if EVERYTHING else 4,
    derandomize=not EVERYTHING,
    database=None,
    phases=(Phase.generate, Phase.shrink) if EVERYTHING else (Phase.generate,),
)


def quiet(stage: Any) -> None:
    """Wait until no command of a run that was cut short is under way on any node: until then, truth still moves."""
    until = time.monotonic() + WINDOW_BOUND
    ask = "systemctl list-units --no-legend --plain --no-pager --all 'pve-runbook-*'"
    while [h for h in stage.hosts if stage.control.run(h, ask).stdout]:
        assert time.monotonic() < until, "a command of a run that was cut short does not end"


def disturbed(stage: Any, strike: Strike) -> tuple[int, str]:
    """One run with the fault in it, and the node answering again after it."""
    process = stage.start("-o", "pve_timeout_scale=0.05") if strike.what == "freeze" else stage.start()
    pid = process.pid if strike.what in ("kill", "terminate") else None
    stage.control.fault(strike.what, at=strike.at, when=strike.when, pid=pid)
    ended = stage.finish(process)
    stage.control.disarm()
    for fired in stage.control.faults_fired():
        if fired.what == "freeze":
            stage.control.thaw(fired.node)
    return ended


def wrong(stage: Any, status: int, said: str) -> list[str]:
    """What does not hold after a run, by the lab's own truth."""
    quiet(stage)
    reset = {f.node for f in stage.control.faults_fired() if f.what == "power_cycle"}
    state = stage.control.state()
    found = [f"{n} was reset" for n, x in state.items() if x.boot_id != stage.before[n].boot_id and n not in reset]
    if status not in STATUSES:
        found.append(f"the run ended with {status}")
    if "an error of the tool itself" in said or "INTERNALERROR" in said:
        found.append("the run ended by an error of its own")
    return found + stage.lost(*reset)


def run_all(stage: Any, scenario: str, struck: Sequence[Strike]) -> list[str]:
    """Run with one fault after the other, then without, until the work is done; what did not hold."""
    stage.set(scenario)
    runs: list[Strike | None] = [*struck, *[None] * UNDISTURBED]
    status, said = 1, ""
    for number, strike in enumerate(runs, 1):
        status, said = stage.run() if strike is None else disturbed(stage, strike)
        problems = wrong(stage, status, said)
        if problems:
            return [f"after run {number} ({strike or 'undisturbed'}): {p}" for p in problems] + [said[-3000:]]
        if status == 0:
            strangers = owned(stage.control.state()).keys() - owned(stage.before).keys()
            return [f"not standalone: {n}" for n in stage.not_standalone()] + [f"guest {v} is new" for v in strangers]
    return [f"the last of {UNDISTURBED} undisturbed runs ended with {status}", said[-3000:]]


@PROFILE
@given(scenario=st.sampled_from(SCENARIOS), struck=faults())
def test_no_interleaving_of_faults_and_re_runs_loses_a_guest(stage: Any, scenario: str, struck: list[Strike]) -> None:
    """Every guest keeps owner, config and, unless its node was reset, process; in the end every node is standalone."""
    problems = run_all(stage, scenario, struck)
    fired = stage.control.faults_fired()
    assert not problems, "\n".join([f"run_all(stage, {scenario!r}, {struck!r})", f"struck: {fired}", *problems])
