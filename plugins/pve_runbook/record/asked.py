"""The questions of a journal: each is written out once, and named by its number after that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pve_runbook.record import fields
from pve_runbook.record.fields import Fields


@dataclass(frozen=True, slots=True)
class Asked:
    """A probe as it was asked."""

    id: str = ""
    argv: tuple[str, ...] = ()
    why: str = ""


class Questions:
    """Reads the questions of one journal's batches, which have to come in their order."""

    def __init__(self) -> None:
        self._by_number: dict[int, Asked] = {}

    def of(self, batch: Fields) -> Iterator[Asked]:
        """Yield what a batch asks; a number that no line before it gave reads as an empty question."""
        listed = batch.get("probes")
        for item in listed if isinstance(listed, list | tuple) else ():
            if isinstance(item, dict):
                asked = Asked(fields.text(item, "id"), fields.texts(item, "argv"), fields.text(item, "why"))
                number = fields.integer(item, "q")
                if number is not None:
                    self._by_number[number] = asked
                yield asked
            else:
                yield self._by_number.get(item, Asked()) if isinstance(item, int) else Asked()
