"""Approvals: what cannot be taken back is approved by typing a name in full, and holds for the plan of what is left."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from msgspec import Struct
from msgspec.structs import replace

from pve_runbook.actions.errors import ForOperator
from pve_runbook.journal import events
from pve_runbook.options.option_types import LET_GO, PHASES_THAT_ASK, Approve
from pve_runbook.plan import files
from pve_runbook.plan.model import Plan, Question, differences, is_part_of
from pve_runbook.procedure import authority, planning
from pve_runbook.procedure.forecast import Forecast
from pve_runbook.procedure.notes import Notes
from pve_runbook.procedure.planning import Done, Place
from pve_runbook.procedure.work import Work
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import with_id
from pve_runbook.terminal.question import SHOW, covered, in_full, page, pages

NO_TERMINAL = (
    "not approved: phase {phase} ({name}) asks before it goes on, and there is no terminal to ask on.\n"
    "{text}\n"
    "Give --approve={phase}, or --approve=all, once you have read what it will do."
)
REFUSED = (
    "not approved: {by} typed {typed!r} where {words} was asked for.\n"
    "Nothing after this step is done; what was done so far stays as the record says.\n"
    "Run the same command line again when you are ready: it goes on from what it finds."
)
CHANGED = (
    "not approved: what is to be sent is not what was approved (-: approved, +: now):\n"
    "{difference}\n"
    "An approval holds for the commands that it named, on the nodes and by the code that it named.\n"
    "Read what would be sent now with --plan in place of --approve, and approve that: --approve=all@{hash}"
)
NOT_FOUND = "no plan {hash} in {records}: what it named is not known here"
ASKED_AGAIN = "SINCE THE LAST APPROVAL what is to be sent has CHANGED (-: approved, +: now):\n{difference}\n"
AHEAD = "Plan {hash}: {commands}.\n{folder}/plan.md has them."
UNTIL_THE_NEXT = "{covered} commands until the next question, {count} in all"
THE_LAST = "{covered} commands, and no question after this one"
PROMPT = "Type {word} to go on, ? for more, anything else to stop:"
IN_THE_RUN = "it is asked by the run; a plan changes nothing"
INTERRUPTED = "interrupted"
SHOWN = 20
"""Lines of a difference that are shown; the journal has all."""
SHOWN_IN_SHORT = 2
"""Of them those that stand above a question; ? shows the others."""


class NotApproved(ForOperator):
    """The operator said no, or could not be asked."""


class Ahead(Struct, frozen=True):
    """What a plan is made of, and what it is held against: given once, when the run is open."""

    forecasts: Callable[[], Mapping[str, Forecast]]
    work: Callable[[], Work]
    done: Done
    """What the run has carried out; it grows."""
    places: Sequence[Place]
    code: Mapping[str, str]
    wanted_authority: Callable[[Sequence[authority.Candidate]], str | None]
    taken_up: bool
    """Whether an unfinished run is taken up: what is left of it may be a part of the plan that was approved."""


class Asking(Struct, frozen=True):
    """How the operator is asked. ``ask``: a line typed at the prompt, None without a terminal."""

    given: Approve
    rehearsal: bool
    only_plans: bool
    records: Path
    folder: Path
    ask: Callable[[str], str | None]
    write: Callable[[Plan, Question], None]
    """Puts a plan beside the record, before the question is asked."""
    candidates: Callable[[], Sequence[authority.Candidate]]
    second_look: Callable[[Question], str]
    """What changed while a question stood, in words; "" when nothing did."""
    ahead: Callable[[Plan], Iterable[Question]]
    """What else is asked in the course of a plan."""


class NoLongerHolds(ForOperator):
    """The operator said yes to what is not so any more."""


class Approvals:
    """Asks, and remembers the plan that the last yes was for."""

    def __init__(self, ahead: Ahead, asking: Asking, notes: Notes) -> None:
        self._ahead = ahead
        self._asking = asking
        self._notes = notes
        self.approved: Plan | None = None
        """The plan of what was left when the operator last said yes; with --plan, the plan itself."""
        self.asked = False
        """Whether a question stood that a plan only names."""
        self._foreseen: str | None = None
        """The node that a plan takes for the authority, before phase 1 has chosen."""

    def __call__(self, question: Question) -> None:
        """Ask for the question's word to be typed before going on; with the hash of the commands that are left it
        stands in the record. Raises NotApproved, NoLongerHolds, and UnknownFact where no plan can be made."""
        if self._asking.only_plans:
            self.asked = True
            pytest.skip(IN_THE_RUN)
        plan = self.plan()
        changed = self._changed_since(plan)
        if changed:
            self._notes.note("plan", "what is to be sent has changed: " + "; ".join(changed))
        if self.approved is None:
            self._asking.write(plan, question)
        if self._asking.rehearsal:
            self._record(question, plan, "approved", "rehearsal")
        elif question.phase in self._asking.given.phases:
            self._by_option(question, plan, changed)
        else:
            self._at_the_terminal(question, plan, changed)
            found = self._asking.second_look(question)
            if found:
                raise NoLongerHolds(found)
        self.approved = plan

    def plan(self) -> Plan:
        """Everything that is still to be sent, with placeholders for what only the run has. Raises UnknownFact."""
        return self._plan(planning.with_placeholders(self._ahead.work()))

    def card(self, run: str, attempt: str) -> str:
        """What is left, as lines to be typed by hand, in the folder ``run`` on the nodes. Raises UnknownFact."""
        plan = self._plan(replace(self._ahead.work(), run=run, attempt=attempt, backups=run))
        return planning.card(plan, self._ahead.places, run)

    def _plan(self, work: Work) -> Plan:
        ahead = self._ahead
        if work.authority is None and work.back is None:
            work = replace(work, authority=self._foreseen_authority())
        return planning.plan_ahead(ahead.forecasts(), work, ahead.places, ahead.code, ahead.done)

    def _foreseen_authority(self) -> str:
        if self._foreseen is None:
            found = self._asking.candidates()
            self._foreseen = authority.pick(found, self._ahead.wanted_authority(found)).node
        return self._foreseen

    def _changed_since(self, now: Plan) -> list[str]:
        """In what the commands ahead differ from what was approved, a line each; [] when in nothing, or before the
        first approval of a run that is bound to no plan.

        A run that takes another one up is within its plan while all that is left was named by it.
        """
        if self.approved is not None:
            done = [(stage.name, node) for stage, node in self._ahead.done]
            return differences(replace(self.approved, commands=self.approved.without(done)), now)
        wanted = self._asking.given.plan
        if wanted is None or now.hash == wanted:
            return []
        before = files.find(self._asking.records, wanted)
        if before is None:
            return [NOT_FOUND.format(hash=wanted, records=self._asking.records)]
        if self._ahead.taken_up and is_part_of(now.commands, before.commands):
            before = replace(before, commands=now.commands)
        return differences(before, now)

    def _by_option(self, question: Question, plan: Plan, changed: Sequence[str]) -> None:
        bound = self._asking.given.plan
        if bound is None:
            self._record(question, plan, "approved", "--approve, bound to no plan")
            return
        how = f"--approve=...@{bound}"
        if changed:
            self._record(question, plan, "refused", how)
            raise NotApproved(
                with_id(RefusalId.PLAN_IS_ANOTHER, CHANGED.format(difference=_shown(changed), hash=plan.hash))
            )
        self._record(question, plan, "approved", how)

    def _at_the_terminal(self, question: Question, plan: Plan, changed: Sequence[str]) -> None:
        text = question.text.rstrip()
        try:
            typed = self._typed(question, plan, changed)
        except KeyboardInterrupt:
            self._record(question, plan, "refused", INTERRUPTED)
            raise
        if typed is None:
            self._record(question, plan, "refused", "no terminal")
            name = (PHASES_THAT_ASK | LET_GO)[question.phase]
            raise NotApproved(
                with_id(RefusalId.NOBODY_TO_ASK, NO_TERMINAL.format(phase=question.phase, name=name, text=text))
            )
        if typed not in question.words:
            self._record(question, plan, "refused", "typed")
            words = " or ".join(map(repr, question.words))
            raise NotApproved(
                with_id(RefusalId.NOT_APPROVED, REFUSED.format(by=getpass.getuser(), typed=typed, words=words))
            )
        self._record(question, plan, "approved", "typed", typed)

    def _typed(self, question: Question, plan: Plan, changed: Sequence[str]) -> str | None:
        """What is typed at the prompt; ? shows the commands, and asks again. None without a terminal."""
        told, in_short = (
            ASKED_AGAIN.format(difference=_shown(changed, most)) if changed else "" for most in (SHOWN, SHOWN_IN_SHORT)
        )
        commands = covered(plan.commands, question, self._asking.ahead(plan))
        numbers = UNTIL_THE_NEXT if len(commands) < len(plan.commands) else THE_LAST
        said = numbers.format(covered=len(commands), count=len(plan.commands))
        where = AHEAD.format(hash=plan.hash, commands=said, folder=self._asking.folder)
        asked = page(in_short + question.text, where, PROMPT.format(word=" or ".join(map(_quoted, question.words))))
        while (typed := self._asking.ask(asked)) == SHOW:
            for shown in pages(in_full(told + question.text, commands, [n.name for n in plan.nodes], plan.scripts)):
                if self._asking.ask(shown):
                    break
        return next((word for word in question.words if typed == _quoted(word)), typed)

    def _record(
        self, question: Question, plan: Plan, answer: Literal["approved", "refused"], how: str, word: str = ""
    ) -> None:
        """Journal who answered what, when and how; ``word``: which of its words was typed."""
        self._notes.journal.write(
            events.Approval(
                phase=question.phase,
                subject=word or " or ".join(question.words),
                text=question.text,
                answer=answer,
                how=how,
                by=getpass.getuser(),
                at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                plan=plan.hash,
            ),
            sync=True,
        )


def _shown(changed: Sequence[str], most: int = SHOWN) -> str:
    more = [f"- and {len(changed) - most} more."] if len(changed) > most else []
    return "\n".join([*changed[:most], *more])


def _quoted(word: str) -> str:
    """What is to be typed, as the prompt shows it: of a sentence it is seen where it ends. It may be typed so too."""
    return f'"{word}"' if " " in word else word
