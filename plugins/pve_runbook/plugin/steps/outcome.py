"""How a run goes: which steps it has, how they ended, where it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import pytest

from pve_runbook.diagnosis.verdict import Diagnosis
from pve_runbook.plugin.steps.step import Step
from pve_runbook.terminal.fold import WARNING

WARNED = "warning"
"""What such a step is counted as: it was evaluated, and what should hold does not."""


def is_warning(outcome: str, message: str) -> bool:
    """Whether a step that ended so, with that message, found something that only wants to be known."""
    return outcome == "not evaluated" and message.startswith(WARNING)


class Executed(Protocol):
    """What only a run over runbook/ has, in the words in which its end is told."""

    @property
    def guests(self) -> str:
        """How guests, nodes, configs and volumes are against the baseline."""

    @property
    def is_compared(self) -> bool:
        """Whether they were held against the baseline."""

    @property
    def lost(self) -> str:
        """Which guests did not run on, and why; "" when all did."""

    @property
    def none_ran(self) -> bool:
        """Whether no guest ran when the run began: none could run on."""

    @property
    def some_down(self) -> bool:
        """Whether guests were down when the run began, and nobody starts them."""

    @property
    def started(self) -> tuple[str, ...]:
        """Which guests came up, node by node, once their start was let go."""

    @property
    def asked(self) -> bool:
        """Whether a plan has come to where a run would ask before its first change."""

    @property
    def plan(self) -> tuple[str, int] | None:
        """Hash and number of commands of the plan that was made or approved last."""

    @property
    def plan_text(self) -> str:
        """The plan that was written last, in words; "" when none was."""

    @property
    def changed_something(self) -> bool:
        """Whether a command was sent, by this run or the one it took up, that changes more than our own folder."""


class Outcome:
    """Filled step by step."""

    def __init__(self) -> None:
        self.steps: Sequence[pytest.Item] = ()
        """The steps that will run, in their order."""
        self.complete = True
        """Whether the selection is the whole runbook."""
        self.refused = False
        """Whether the collection was refused already: what is wrong was said then."""
        self.deselected: list[str] = []
        self.not_for_this: frozenset[tuple[str, str]] = frozenset()
        """(file name, function name) of the steps that have no part in this run: they are of --leave, or without it."""
        self.judged: dict[tuple[int | None, str], str] = {}
        """Phase and title of a gate → the first outcome but passed that it had on a node."""
        self.counts: Counter[str] = Counter()
        """How many steps ended how; what found something that only wants to be known is a WARNED."""
        self.first: dict[str, str] = {}
        """Where the first step ended so, and what was seen there."""
        self.stopped_at: str | None = None
        """Where the first step did not pass, and what was seen there."""
        self.seen = ""
        """The first line of what that step said: what was seen, and on which node."""
        self.asked_for = ""
        """The last line of what that step said: what to do."""
        self.stopped_by: str | None = None
        """Its id."""
        self.diagnosis: Diagnosis | None = None
        """What is to be done about the cluster, once it was judged."""
        self.executed: Executed | None = None
        """None in checks/, and before the nodes are connected."""
        self.thawed = False
        """Whether the schedulers were told to run again."""

    @property
    def is_over(self) -> bool:
        """Whether a plan has come to its end: what comes after it is judged by the run."""
        return self.executed is not None and self.executed.asked

    def count(self, step: Step) -> None:
        """Count one step that ended."""
        self.counts[WARNED if is_warning(step.outcome, step.message) else step.outcome] += 1
        self.first.setdefault(step.outcome, step.headline)
        if self.judged.get((step.phase, step.title), "passed") == "passed":
            self.judged[step.phase, step.title] = step.outcome
        if step.outcome in ("failed", "unknown") and self.stopped_at is None:
            self.stopped_at, self.stopped_by = step.headline, step.item.nodeid
            self.seen = step.message.partition("\n")[0]
            self.asked_for = step.message.rpartition("\n")[2]
