"""What was asked and answered, in the journal: each question is written out once, an answer when it is a new one."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import TypeVar

from msgspec import Struct

from pve_runbook.cluster.rounds import Question
from pve_runbook.journal import events
from pve_runbook.journal.journal import Journal
from pve_runbook.journal.rows import Asked
from pve_runbook.parsers.output import Output, ParseError, TimedOut
from pve_runbook.probes.answers import Missing
from pve_runbook.ssh.batch import NoAnswer, Same, answer_hash

T = TypeVar("T")

WORTH_TELLING = 4096
"""Characters of an answer from which on a node is told its hash, not to send it again: the hash is 64, in hex."""

LOST = "it gave the answer again that it gave before, which is not at hand any more"

_Key = tuple[str, tuple[str, ...], str]
"""Of question and answer: the question's key, its argv, the answer's hash. One name is asked in two ways (the database,
while pmxcfs runs and while it does not), and one command under two names, which read it differently."""


class _Said(Struct):
    """An answer: the line of the journal that holds it, what was read in it, how long it is, and how many nodes said it
    last."""

    line: int
    value: object
    length: int
    nodes: int = 0


class AnswerLog:
    """Writes for one run; used from the threads of several nodes, each for its own node."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        """One node's answers are read at a time, as the interpreter would have it anyway: what others have said by then
        is known, and what it takes to read them is in memory once."""
        self._numbers: dict[tuple[str, tuple[str, ...]], int] = {}
        self._said: dict[_Key, _Said] = {}
        """What is any node's last answer to any question."""
        self._last: dict[tuple[str, str], _Key] = {}
        """By node and question's key."""

    def ask(self, node: str, questions: Sequence[Question[T]]) -> int:
        """Write that ``questions`` are about to be asked in one request; the number of the event.

        A question stands there with its number the first time that a node is asked it, later as that number. Raises
        JournalLost.
        """
        with self._lock:
            asked = tuple(self._numbered(question) for question in questions)
            number = self._journal.write(events.Batch(node=node, probes=asked))
        self._journal.check()
        return number

    def _numbered(self, question: Question[T]) -> Asked | int:
        said = (question.key, question.argv)
        known = self._numbers.get(said)
        if known is not None:
            return known
        number = self._numbers[said] = len(self._numbers) + 1
        return Asked(number, question.key, question.argv, question.why)

    def worth_telling(self, node: str, question: Question[T]) -> str:
        """The hash of the node's last answer to the question, if that is a long one; else ""."""
        key = self._last.get((node, question.key))
        said = self._said.get(key) if key is not None else None
        worth = key is not None and key[1] == question.argv and said is not None and said.length >= WORTH_TELLING
        return key[2] if key is not None and worth else ""

    def read(
        self, node: str, batch: int, answers: Iterable[tuple[Question[T], Output | Same | NoAnswer]], seconds: float
    ) -> dict[str, T | Missing]:
        """Write what came of the batch of that number, and read it: question's key → value, or why there is none.

        What the node itself or another one said before, word for word, is named by the line that has it, is not parsed
        again, and stands in memory once: the members of a cluster hold one database.
        """
        with self._reading:
            return self._read(node, batch, answers, seconds)

    def _read(
        self, node: str, batch: int, answers: Iterable[tuple[Question[T], Output | Same | NoAnswer]], seconds: float
    ) -> dict[str, T | Missing]:
        values: dict[str, T | Missing] = {}
        unchanged, alike = [], []
        for question, answer in answers:
            key = question.key
            if isinstance(answer, NoAnswer):
                self._unanswered(node, batch, key, answer.why, seconds)
                values[key] = Missing(answer.why, TimedOut if answer.timed_out else ParseError)
                continue
            digest = answer.sha256 if isinstance(answer, Same) else answer_hash(answer)
            which = (key, question.argv, digest)
            said = self._said.get(which)
            if said is None:
                if isinstance(answer, Same):
                    self._unanswered(node, batch, key, LOST, seconds)
                    values[key] = Missing(LOST)
                    continue
                said = self._new(node, batch, question, answer, seconds)
            elif self._last.get((node, key)) == which:
                unchanged.append(said.line)
            else:
                alike.append(said.line)
            values[key] = said.value  # type: ignore[assignment]  # what the same question read in the same words
            self._keep((node, key), which, said)
        if unchanged or alike:
            self._journal.write(
                events.Unchanged(
                    batch=batch, node=node, same_as=tuple(unchanged), as_others=tuple(alike), seconds=seconds
                )
            )
        return values

    def _unanswered(self, node: str, batch: int, key: str, why: str, seconds: float) -> None:
        self._journal.write(events.Probe(batch=batch, node=node, id=key, error=why, seconds=seconds))

    def _keep(self, asked: tuple[str, str], which: _Key, said: _Said) -> None:
        """Keep an answer as long as it is the last one of some node."""
        before = self._last.get(asked)
        if before == which:
            return
        self._last[asked] = which
        self._said[which] = said
        said.nodes += 1
        if before is not None:
            gone = self._said[before]
            gone.nodes -= 1
            if not gone.nodes:
                del self._said[before]

    def _new(self, node: str, batch: int, question: Question[T], answer: Output, seconds: float) -> _Said:
        line = self._journal.write(
            events.Probe(
                batch=batch,
                node=node,
                id=question.key,
                exit_status=answer.exit_status,
                stdout=question.redact(answer) if question.redact else answer.stdout,
                stderr=answer.stderr,
                seconds=seconds,
            )
        )
        return _Said(line, _parsed(question, answer), len(answer.stdout))


def _parsed(question: Question[T], answer: Output) -> T | Missing:
    try:
        return question.parse(answer)
    except ParseError as error:
        return Missing(str(error), type(error), not_understood=type(error) is ParseError)
