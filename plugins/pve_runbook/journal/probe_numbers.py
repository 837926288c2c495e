"""The questions of a journal: each is written out once, and named by its number after that."""

from __future__ import annotations

from collections.abc import Iterator

from pve_runbook.journal.events import Batch
from pve_runbook.journal.rows import Asked


class Questions:
    """Reads the questions of one journal's batches, which have to come in their order."""

    def __init__(self) -> None:
        self._by_number: dict[int, Asked] = {}

    def of(self, batch: Batch) -> Iterator[Asked]:
        """Yield what a batch asks; a number that no line before it gave reads as an empty question."""
        for item in batch.probes:
            if isinstance(item, Asked):
                if item.q is not None:
                    self._by_number[item.q] = item
                yield item
            else:
                yield self._by_number.get(item, Asked())
