"""The probes' answers in the journal; an answer that did not change is a reference to the earlier one."""

from __future__ import annotations

import hashlib

from pve_runbook.facts.output import Output
from pve_runbook.wire.batch import NoAnswer
from pve_runbook.wire.journal import Journal
from pve_runbook.work.followup import Question

WORTH_A_REFERENCE = 200
"""Bytes of stdout from which on an unchanged answer is not written again."""


class AnswerLog:
    """Writes answers for one run; used from the threads of several nodes, each for its own node."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._last: dict[tuple[str, str], tuple[str, int]] = {}

    def record(
        self, node: str, batch: int, question: Question[object], answer: Output | NoAnswer, seconds: float
    ) -> None:
        """Write one probe's answer to the journal; an answer that did not change is a reference."""
        if isinstance(answer, NoAnswer):
            self._journal.write("probe", batch=batch, node=node, id=question.key, error=answer.why, seconds=seconds)
            return
        stdout = question.redact(answer) if question.redact else answer.stdout
        digest = hashlib.sha256(f"{answer.exit_status}\0{stdout}\0{answer.stderr}".encode()).hexdigest()
        last = self._last.get((node, question.key))
        if last is not None and last[0] == digest and len(stdout) > WORTH_A_REFERENCE:
            self._journal.write("probe", batch=batch, node=node, id=question.key, same_as=last[1], seconds=seconds)
            return
        number = self._journal.write(
            "probe",
            batch=batch,
            node=node,
            id=question.key,
            exit_status=answer.exit_status,
            stdout=stdout,
            stderr=answer.stderr,
            seconds=seconds,
        )
        self._last[(node, question.key)] = (digest, number)
