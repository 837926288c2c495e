"""--plan: read, judge what reading can judge, and name what a run would send. A plugin that is loaded for it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pve_runbook.facts.output import ParseError
from pve_runbook.plugin import planning, plans
from pve_runbook.plugin.run import RUN, Run
from pve_runbook.work.errors import NotAllowed
from pve_runbook.work.readings import UnknownFact

LATER = "judged by the run, once its first command was sent"
MAY_NOT_ASK = "not evaluated by a plan, which only reads: {why}"


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """A plan judges what reading can judge, up to the first question."""
    yield from _judging(item.config.stash[RUN])


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """What a gate of a plan may not ask is not evaluated."""
    yield from _judging(item.config.stash[RUN])


def _judging(run: Run) -> Generator[None]:
    """While one part of a step runs: a step behind the first question, or one that would send more than probes, is
    skipped."""
    if run.plan_ended:
        pytest.skip(LATER)
    try:
        yield
    except NotAllowed as error:
        pytest.skip(MAY_NOT_ASK.format(why=str(error).partition("\n")[0]))


def make(run: Run) -> None:
    """Make the plan at the end of a session, and write it down; why there is none is where the run would stop."""
    try:
        plan = planning.plan_ahead(run)
        run.plan_text = plans.write(run, plan)
        run.approved = plan
    except (UnknownFact, ParseError, OSError) as error:
        run.stopped_at = run.stopped_at or str(error)
        run.note("plan", f"no plan could be made: {error}")
