"""What was asked and answered, in the journal: each question is written out once, an answer again when it changed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pve_runbook.facts.output import Output, ParseError, TimedOut
from pve_runbook.wire.batch import NoAnswer
from pve_runbook.wire.journal import Journal
from pve_runbook.work.followup import Question
from pve_runbook.work.readings import Missing

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Said:
    """An answer: its hash, the line of the journal that holds it, and what was read in it."""

    digest: bytes
    line: int
    value: object


class AnswerLog:
    """Writes for one run; used from the threads of several nodes, each for its own node."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._numbers: dict[tuple[str, tuple[str, ...]], int] = {}
        self._said: dict[tuple[str, str], _Said] = {}

    def ask(self, node: str, questions: Sequence[Question[T]]) -> int:
        """Write that ``questions`` are about to be asked in one request; the number of the event.

        A question stands there with its number the first time that a node is asked it, later as that number.
        """
        with self._lock:
            asked = [self._numbered(question) for question in questions]
            return self._journal.write("batch", node=node, probes=asked)

    def _numbered(self, question: Question[T]) -> dict[str, object] | int:
        said = (question.key, question.argv)
        known = self._numbers.get(said)
        if known is not None:
            return known
        number = self._numbers[said] = len(self._numbers) + 1
        return {"q": number, "id": question.key, "argv": list(question.argv), "why": question.why}

    def read(
        self, node: str, batch: int, answers: Iterable[tuple[Question[T], Output | NoAnswer]], seconds: float
    ) -> dict[str, T | Missing]:
        """Write what came of the batch of that number, and read it: question's key → value, or why there is none.

        What a node says again word for word is named by the line that has it, and is not parsed again.
        """
        values: dict[str, T | Missing] = {}
        unchanged = []
        for question, answer in answers:
            key = question.key
            if isinstance(answer, NoAnswer):
                self._journal.write("probe", batch=batch, node=node, id=key, error=answer.why, seconds=seconds)
                values[key] = Missing(answer.why, TimedOut if answer.timed_out else ParseError)
                continue
            digest = _digest(question, answer)
            said = self._said.get((node, key))
            if said is not None and said.digest == digest:
                unchanged.append(said.line)
                values[key] = said.value  # type: ignore[assignment]  # what the same question read in the same words
                continue
            line = self._write(node, batch, question, answer, seconds)
            values[key] = value = _parsed(question, answer)
            self._said[node, key] = _Said(digest, line, value)
        if unchanged:
            self._journal.write("unchanged", batch=batch, node=node, same_as=unchanged, seconds=seconds)
        return values

    def _write(self, node: str, batch: int, question: Question[T], answer: Output, seconds: float) -> int:
        return self._journal.write(
            "probe",
            batch=batch,
            node=node,
            id=question.key,
            exit_status=answer.exit_status,
            stdout=question.redact(answer) if question.redact else answer.stdout,
            stderr=answer.stderr,
            seconds=seconds,
        )


def _digest(question: Question[T], answer: Output) -> bytes:
    """Of question and answer: one name is asked in two ways (the database, while pmxcfs runs and while it does not)."""
    told = "\0".join((*question.argv, "", str(answer.exit_status), answer.stdout, answer.stderr))
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).digest()


def _parsed(question: Question[T], answer: Output) -> T | Missing:
    try:
        return question.parse(answer)
    except ParseError as error:
        return Missing(str(error), type(error))
