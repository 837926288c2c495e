"""Steps as people see them: what each was for, how it ended, in words."""

from __future__ import annotations

import errno
import inspect
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import pytest

from pve_runbook.plugin.order import host_name, leave_slots, phase_of
from pve_runbook.plugin.run import Run
from pve_runbook.wire.channel import WireError
from pve_runbook.wire.guard import Refused
from pve_runbook.wire.journal import JournalLost, utc_now
from pve_runbook.work.errors import ForOperator, OutcomeUnknown
from pve_runbook.work.readings import UnknownFact

Outcome = Literal["passed", "failed", "unknown", "blocked", "not evaluated"]

UNKNOWN = (UnknownFact, OutcomeUnknown, JournalLost, WireError)
SPEAKING = (ForOperator, Refused)
"""Errors whose text is written for the operator: no traceback beside it."""

OF_A_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
NOT_WRITTEN = (
    "this machine: {error}.\n"
    "What the record needs cannot be written here, and without it nothing further is done to any node.\n"
    "See to the folder --records (free space, write permission), then run the same command line again"
)
UNKNOWN_ADVICE = (
    "Unknown is not yes: nothing further is done on it.\n"
    "See that the node answers (ssh, console), then run the same command line again"
)
WARNING = "a warning: "
"""How the reason of a check begins that found something which only wants to be known."""
BLOCKED = "not run: an earlier step did not pass"


@dataclass
class Step:
    """One test item under way."""

    item: pytest.Item
    started: str
    outcome: Outcome = "passed"
    message: str = ""
    seconds: float = 0.0
    traceback: str = ""
    """Of an error that does not speak for itself."""

    @cached_property
    def title(self) -> str:
        """Its title in words."""
        return title_of(self.item)

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


def node_of(item: pytest.Item, run: Run) -> str | None:
    """Which node a step is about; None for all of them."""
    name = host_name(item)
    if name is not None:
        return name
    slot = leave_slots(item)
    if slot >= 0 and run.authority is not None:
        return run.leaving[slot].name
    return None


def judge(call: pytest.CallInfo[None], report: pytest.TestReport, run: Run) -> tuple[Outcome, str]:
    """What one phase of an item's run means, and why, in the words of the gate itself."""
    if report.outcome == "passed":
        return "passed", ""
    if report.outcome == "skipped":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if run.options.kind in ("checks", "plan"):
            return "not evaluated", reason
        return "blocked", f"{BLOCKED} ({run.stopped_by or reason.rpartition(' depends on ')[2] or reason})"
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, UNKNOWN):
        says_what_to_do = isinstance(error, (OutcomeUnknown, JournalLost))
        return "unknown", str(error) if says_what_to_do else f"{error}\n{UNKNOWN_ADVICE}"
    if isinstance(error, OSError) and error.errno in OF_A_DISK:
        return "failed", NOT_WRITTEN.format(error=error)
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


def begin(item: pytest.Item, run: Run) -> Step:
    """Journal that a step begins; every event until its end is filed under it."""
    step = Step(item, utc_now())
    run.journal.step = item.nodeid
    run.journal.write(
        "step-start",
        nodeid=item.nodeid,
        phase=step.phase,
        phase_title=step.phase_title,
        title=step.title,
        node=node_of(item, run),
    )
    return step


def end(step: Step, run: Run) -> None:
    """Journal how a step ended."""
    run.journal.write(
        "step",
        nodeid=step.item.nodeid,
        phase=step.phase,
        phase_title=step.phase_title,
        title=step.title,
        node=node_of(step.item, run),
        outcome=step.outcome,
        seconds=round(step.seconds, 3),
        message=step.message,
    )
    run.journal.step = None
