"""Questions to the operator: what cannot be taken back is approved by typing a name in full."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from pve_runbook.plan.model import Plan
from pve_runbook.plugin import planning, plans
from pve_runbook.plugin.run import Run
from pve_runbook.plugin.terminal import ask_at_terminal
from pve_runbook.plugin.values import PHASES_THAT_ASK
from pve_runbook.work.errors import ForOperator

NO_TERMINAL = (
    "not approved: phase {phase} ({name}) asks before it goes on, and there is no terminal to ask on.\n"
    "{text}\n"
    "Give --approve={phase}, or --approve=all, once you have read what it will do."
)
REFUSED = (
    "not approved: {by} typed {typed!r} where {word!r} was asked for.\n"
    "Nothing after this step is done; what was done so far stays as the record says.\n"
    "Run the same command line again when you are ready: it goes on from what it finds."
)
CHANGED = (
    "not approved: what is to be sent is not what was approved (-: approved, +: now):\n"
    "{difference}\n"
    "An approval holds for the commands that it named, on the nodes and by the code that it named.\n"
    "Read what would be sent now with --plan in place of --approve, and approve that: --approve=all@{hash}"
)
ASKED_AGAIN = "SINCE THE LAST APPROVAL what is to be sent has CHANGED (-: approved, +: now):\n{difference}\n"
AHEAD = "Plan {hash}: {count} commands are left to be sent; they stand in {folder}/plan.md.\n"
IN_THE_RUN = "it is asked by the run; a plan changes nothing"
INTERRUPTED = "interrupted"
SHOWN = 20
"""Lines of a difference that are shown; the journal has all."""


class NotApproved(ForOperator):
    """The operator said no, or could not be asked."""


def approve(run: Run, phase: int, word: str, text: str) -> None:
    """Ask for ``word`` to be typed before going on. Raises NotApproved, and UnknownFact where no plan can be made.

    ``text`` says what will happen, to which node, what is at stake and how it is undone; it stands in the record with
    the hash of the commands that are left, which is what the answer holds for.
    """
    if run.options.plan:
        run.plan_ended = True
        pytest.skip(IN_THE_RUN)
    plan = planning.plan_ahead(run) if run.rollback is None else None
    changed = plans.changed_since_approval(run, plan) if plan is not None else []
    if changed:
        run.note("plan", "what is to be sent has changed: " + "; ".join(changed))
    if plan is not None and run.approved is None:
        plans.write(run, plan)
    ask = _Question(run, phase, word, text, plan)
    if run.options.rehearse:
        ask.record("approved", "rehearsal")
    elif phase in run.options.approve:
        _by_option(ask, changed)
    else:
        _at_the_terminal(ask, changed)
    run.approved = plan


class _Question:
    """One question, and the answers that it was given."""

    def __init__(self, run: Run, phase: int, word: str, text: str, plan: Plan | None) -> None:
        self.run, self.phase, self.word, self.text, self.plan = run, phase, word, text, plan
        self.by = getpass.getuser()

    def record(self, answer: str, how: str) -> None:
        """Journal who answered what, when and how."""
        self.run.journal.write(
            "approval",
            sync=True,
            phase=self.phase,
            subject=self.word,
            text=self.text,
            answer=answer,
            how=how,
            by=self.by,
            at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            plan=self.plan.hash if self.plan is not None else None,
        )


def _by_option(ask: _Question, changed: Sequence[str]) -> None:
    bound = ask.run.options.approved_plan
    if bound is None:
        ask.record("approved", "--approve" if ask.plan is None else "--approve, bound to no plan")
        return
    how = f"--approve=...@{bound}"
    if changed:
        assert ask.plan is not None
        ask.record("refused", how)
        raise NotApproved(CHANGED.format(difference=_shown(changed), hash=ask.plan.hash))
    ask.record("approved", how)


def _at_the_terminal(ask: _Question, changed: Sequence[str]) -> None:
    run, plan = ask.run, ask.plan
    ahead = ""
    if plan is not None:
        ahead = AHEAD.format(hash=plan.hash, count=len(plan.commands), folder=run.folder)
        if changed:
            ahead = ASKED_AGAIN.format(difference=_shown(changed)) + ahead
    prompt = f"\n{ask.text.rstrip()}\n{ahead}Type {ask.word} to go on, anything else to stop: "
    try:
        with run.cluster.brakes.asking():
            typed = ask_at_terminal(run.config, prompt)
    except KeyboardInterrupt:
        ask.record("refused", INTERRUPTED)
        raise
    if typed is None:
        ask.record("refused", "no terminal")
        text = NO_TERMINAL.format(phase=ask.phase, name=PHASES_THAT_ASK[ask.phase], text=ask.text.rstrip())
        raise NotApproved(text)
    run.cluster.forget()
    if typed != ask.word:
        ask.record("refused", "typed")
        raise NotApproved(REFUSED.format(by=ask.by, typed=typed, word=ask.word))
    ask.record("approved", "typed")


def _shown(changed: Sequence[str]) -> str:
    more = [f"and {len(changed) - SHOWN} more"] if len(changed) > SHOWN else []
    return "\n".join([*changed[:SHOWN], *more])
