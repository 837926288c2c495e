"""What is read again after an answer of the operator, before anything is sent: minutes may have passed."""

from __future__ import annotations

from collections.abc import Callable

from pve_runbook.diagnosis import refusals, refusals_cluster
from pve_runbook.facts.node import NodeFacts
from pve_runbook.facts.node_state import NodeState
from pve_runbook.plan.model import Question
from pve_runbook.procedure.members import Members
from pve_runbook.procedure.questions import FORCE, FREEZE
from pve_runbook.procedure.survival import Survival

LABEL = "after the question of phase {phase} was answered"
MEANWHILE = "While this question stood:\n{found}"


class SecondLook:
    """Whether what was asked about is still as it was when the question was put."""

    def __init__(self, members: Members, survival: Survival, law: Callable[[], str]) -> None:
        """``law``: why nothing may be changed since a majority is quorate, in words; "" where none is."""
        self._members = members
        self._survival = survival
        self._law = law

    def __call__(self, question: Question) -> str:
        """What changed so that the answer does not hold any more, in words; "" when nothing did. Raises UnknownFact.

        A window's own conditions are read by its action; here only the guests are, so that one that stopped meanwhile
        is not laid at the window's door.
        """
        found = self._of_the_cluster(question.phase)
        if not found and self._survival.is_taken:
            found = self._survival.losses(question.phase, label=LABEL.format(phase=question.phase))
        return MEANWHILE.format(found=found) if found else ""

    def _of_the_cluster(self, phase: int) -> str:
        if phase not in (FREEZE, FORCE):
            return ""
        if not self._members.staying and (found := self._law()):
            return found
        judge = _armed if phase == FREEZE else _awake
        return next(filter(None, (judge(n.facts) for n in self._members.leaving)), "")


def _armed(facts: NodeFacts) -> str:
    return refusals.ha_armed(facts) if facts.is_armed_without_quorum else ""


def _awake(facts: NodeFacts) -> str:
    if facts.waiting_guests_on_shared_storage:
        return refusals.doubled_start(facts)
    if facts.held_starts:
        return refusals_cluster.starts_wait(facts, facts.held_starts)
    if facts.startall_is_loose:
        return refusals_cluster.startall_not_held(facts)
    waits = facts.state is not NodeState.STANDALONE and facts.scheduler_runs
    return refusals_cluster.scheduler_waits(facts) if waits else ""
