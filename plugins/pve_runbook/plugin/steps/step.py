"""Steps as people see them: what each was for, how it ended, in words."""

from __future__ import annotations

import errno
import inspect
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache

import pytest
from msgspec import Struct

from pve_runbook.actions.errors import ForOperator, NotAllowed, OutcomeUnknown
from pve_runbook.journal import events
from pve_runbook.journal.events import Outcome
from pve_runbook.journal.journal import Journal, JournalLost, utc_now
from pve_runbook.plugin.steps.order import phase_of
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.not_applicable import NotApplicable
from pve_runbook.refusal.text import headline, sentence, with_id
from pve_runbook.ssh.exec import WireError
from pve_runbook.ssh.transport import Refused

UNKNOWN = (UnknownFact, OutcomeUnknown, JournalLost, WireError)
SPEAKING = (ForOperator, Refused)
"""Errors whose text is written for the operator: no traceback beside it."""

OF_A_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
NOT_WRITTEN = (
    "this machine: {error}.\n"
    "What the record needs cannot be written here, and without it nothing further is done to any node.\n"
    "Check the folder --records (free space, write permission), then run the same command line again"
)
CUT = "The run was interrupted in this step; the command under way, if any, had ended"
UNKNOWN_ADVICE = (
    "Unknown is not yes: nothing further is done on it.\n"
    "See that the node answers (ssh, console), then run the same command line again"
)
NOT_UNDERSTOOD_ADVICE = (
    "Unknown is not yes: nothing further is done on it. The node answered, and the answer was not understood.\n"
    "Type that command on {node} and look at what it says: what is wrong outside /etc/pve (a file, a service) can be "
    "fixed without quorum; then run the same command line again. Where nothing is wrong there, report it with the "
    "answer (in journal.jsonl), take this node apart by hand (pve-docs, pvecm: Separate a Node Without Reinstalling), "
    "and leave it out by --absent"
)
BLOCKED = "not run: an earlier step did not pass"


class Step(Struct, dict=True):
    """One test item under way."""

    item: pytest.Item
    node: str | None
    """Which node it is about; None for all of them."""
    started: str
    outcome: Outcome = "passed"
    message: str = ""
    seconds: float = 0.0
    traceback: str = ""
    """Of an error that does not speak for itself."""
    reason: str = ""
    """Why, where other steps fail for the same one: which node was silent, and how; else ""."""

    @cached_property
    def title(self) -> str:
        """Its title in words."""
        return title_of(self.item)

    @property
    def said(self) -> str:
        """Its title as it is shown now: as a statement only where it passed."""
        return sentence(self.title, self.outcome)

    @property
    def headline(self) -> str:
        """Where it did not pass, and what was seen there, in one line."""
        where = f"phase {self.phase}" if self.phase is not None else ""
        return headline(self.title, where, self.node, self.message)

    @cached_property
    def phase(self) -> int | None:
        """The phase's number; None in checks/."""
        return phase_of(self.item.path)

    @property
    def deviation(self) -> str:
        """What the module's docstring says of where its commands differ from the article, and why; or ""."""
        return " ".join(self._module_doc.partition("Not as in the article: ")[2].partition("\n\n")[0].split())

    @property
    def purpose(self) -> str:
        """Why the phase exists: the first sentence after ``Why:`` in its module's docstring; or ""."""
        why = self._module_doc.partition("\nWhy: ")[2].partition("\n\n")[0]
        sentence, stop, _ = " ".join(why.partition("Not as in the article: ")[0].split()).partition(". ")
        return sentence[:1].upper() + sentence[1:] + stop.strip()

    @property
    def with_leave(self) -> str:
        """What the phase means where others stay a cluster: the paragraph after ``With --leave:`` there; or ""."""
        return " ".join(self._module_doc.partition("\nWith --leave: ")[2].partition("\n\n")[0].split())

    @property
    def _module_doc(self) -> str:
        module = self.item.getparent(pytest.Module)
        return _doc(module.obj) if module is not None else ""

    @cached_property
    def phase_title(self) -> str:
        """The first line of the module's docstring, without its ``Phase N:``."""
        first = (self._module_doc or self.item.path.stem).partition("\n")[0].strip().rstrip(".")
        head, colon, rest = first.partition(": ")
        return rest if colon and head.startswith("Phase") else first


@lru_cache(maxsize=1024)
def _doc(described: object) -> str:
    """The docstring of a module or a function, which many steps ask for again and again."""
    return inspect.getdoc(described) or ""


def title_of(item: pytest.Item) -> str:
    """The first line of the docstring; without one, the function's name in words."""
    doc = _doc(getattr(item, "obj", None))
    name = item.name.partition("[")[0].removeprefix("test_").replace("_", " ")
    return doc.partition("\n")[0].strip() or name


def phases_of(items: Iterable[pytest.Item]) -> dict[int, str]:
    """The phases that ``items`` belong to: number → title."""
    found = (Step(item, None, "") for item in items)
    return {step.phase or 0: step.phase_title for step in found}


def judge(
    call: pytest.CallInfo[None], report: pytest.TestReport, *, evaluates: bool, stopped_by: str | None
) -> tuple[Outcome, str]:
    """What one phase of an item's run means, and why, in the words of the gate itself.

    ``evaluates``: what is skipped was not evaluated, rather than blocked. ``stopped_by``: the id of the step that the
    run stopped at.
    """
    if report.outcome == "passed":
        return "passed", ""
    nothing = not_applicable(call)
    if nothing is not None:
        return "not evaluated", str(nothing)
    if report.outcome == "skipped":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if evaluates:
            return "not evaluated", reason
        return "blocked", f"{BLOCKED} ({stopped_by or reason.rpartition(' depends on ')[2] or reason})"
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, UNKNOWN):
        return "unknown", _unknown(error)
    if isinstance(error, OSError) and error.errno in OF_A_DISK:
        return "failed", with_id(RefusalId.RECORD_CANNOT_BE_WRITTEN, NOT_WRITTEN.format(error=error))
    if isinstance(error, (NotAllowed, Refused)):
        return "failed", with_id(RefusalId.ACTION_IS_NOT_ALLOWED, str(error))
    if isinstance(error, SPEAKING):
        return "failed", str(error)
    if isinstance(error, AssertionError):
        return "failed", _gate_words(str(error))
    if isinstance(error, pytest.fail.Exception):
        return "failed", str(error)
    return (
        "failed",
        f"{type(error).__name__}: {error} (an error of the tool itself, with its traceback)",
    )


def not_applicable(call: pytest.CallInfo[None]) -> NotApplicable | None:
    """What the gate says where there is nothing for it to judge; None where there is."""
    error = call.excinfo.value if call.when == "call" and call.excinfo is not None else None
    return error if isinstance(error, NotApplicable) else None


def _unknown(error: BaseException) -> str:
    if isinstance(error, OutcomeUnknown):
        return with_id(RefusalId.OUTCOME_IS_UNKNOWN, str(error))
    if isinstance(error, JournalLost):
        return with_id(RefusalId.JOURNAL_IS_LOST, str(error))
    if isinstance(error, UnknownFact) and error.not_understood:
        advice = NOT_UNDERSTOOD_ADVICE.format(node=error.node)
        return with_id(RefusalId.FACT_IS_NOT_UNDERSTOOD, f"{error}\n{advice}")
    return with_id(RefusalId.FACT_IS_UNKNOWN, f"{error}\n{UNKNOWN_ADVICE}")


def reason_of(call: pytest.CallInfo[None], silent: Mapping[str, str]) -> str:
    """Why a step is unknown, where many others are for the same reason, whatever each asked; else "".

    ``silent``: node → why it could not be reached, of those that nothing is asked of.
    """
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, UnknownFact) and error.node in silent:
        return f"{error.node}: it was not reached ({silent[error.node]})"
    if not isinstance(error, UnknownFact) or error.not_understood:
        return ""
    return f"{error.node}: {'no answer in time' if error.why.rstrip('.').endswith('timed out') else error.why}"


def speaks_for_itself(call: pytest.CallInfo[None]) -> bool:
    """Whether the error's own text is all that the operator needs."""
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, AssertionError):
        return not str(error).startswith("assert ")
    if isinstance(error, OSError):
        return error.errno in OF_A_DISK
    return isinstance(error, (*UNKNOWN, *SPEAKING, pytest.fail.Exception))


def _gate_words(text: str) -> str:
    """A failed assertion's own sentence, without the expression that pytest shows beneath it."""
    head, found, _ = text.partition("\nassert ")
    return "\n".join(line.strip() for line in head.splitlines()) if found else text


_RANK: dict[Outcome, int] = {"passed": 0, "not evaluated": 1, "blocked": 2, "unknown": 3, "failed": 4}


def worse(one: Outcome, other: Outcome) -> Outcome:
    """The outcome that counts of two."""
    return one if _RANK[one] >= _RANK[other] else other


def begin(item: pytest.Item, node: str | None, journal: Journal) -> Step:
    """Journal that a step, about ``node`` or all of them, begins; every event until its end is filed under it."""
    step = Step(item, node, utc_now())
    journal.step = item.nodeid
    journal.write(
        events.StepStart(
            nodeid=item.nodeid,
            phase=step.phase,
            phase_title=step.phase_title,
            title=step.title,
            node=node,
        )
    )
    return step


def end(step: Step, journal: Journal) -> None:
    """Journal how a step ended."""
    journal.write(
        events.Step(
            nodeid=step.item.nodeid,
            phase=step.phase,
            phase_title=step.phase_title,
            title=step.title,
            node=step.node,
            outcome=step.outcome,
            seconds=round(step.seconds, 3),
            message=step.message,
        )
    )
    journal.step = None
