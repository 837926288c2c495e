"""--plan: read, judge what reading can judge, and name what a run would send. A plugin that is loaded for it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pve_runbook.actions.errors import NotAllowed
from pve_runbook.parsers.output import ParseError
from pve_runbook.plugin.execution import EXECUTION
from pve_runbook.plugin.run import RUN
from pve_runbook.probes.answers import UnknownFact

LATER = "judged by the run, once its first command was sent"
MAY_NOT_ASK = "not evaluated by a plan, which only reads: {why}"


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """A plan judges what reading can judge, up to the first question."""
    yield from _judging(item.config)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """What a gate of a plan may not ask is not evaluated."""
    yield from _judging(item.config)


def _judging(config: pytest.Config) -> Generator[None]:
    """While one part of a step runs: a step behind the first question, or one that would send more than probes, is
    skipped."""
    if config.stash[RUN].outcome.is_over:
        pytest.skip(LATER)
    try:
        yield
    except NotAllowed as error:
        pytest.skip(MAY_NOT_ASK.format(why=str(error).partition("\n")[0]))


def make(config: pytest.Config) -> None:
    """Make the plan at the end of a session, and write it down; why there is none is where the run would stop."""
    run, execution = config.stash[RUN], config.stash[EXECUTION]
    outcome = run.outcome
    try:
        plan = execution.approve.plan()
        execution.write_plan(plan)
        execution.approve.approved = plan
    except (UnknownFact, ParseError, OSError) as error:
        outcome.stopped_at = outcome.stopped_at or str(error)
        run.notes.note("plan", f"no plan could be made: {error}")
