"""What was sent to the nodes, counted from the journal alone."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from pve_runbook.journal.events import ActionIntent, Batch, Entry, GateCommand, Refused
from pve_runbook.journal.probe_numbers import Questions
from pve_runbook.probes.allow_list import is_passive, is_registered
from pve_runbook.record.html_markup import count


class Sent(Struct, frozen=True):
    """Commands by kind: ``probes`` of the registry, ``others`` that are none (those of gates that a user added),
    ``changes``; ``refused``: how many batches the line did not take."""

    probes: int = 0
    others: int = 0
    changes: int = 0
    refused: int = 0
    activating: int = 0
    """Of the probes, those that mount and import what is not there yet."""

    def __str__(self) -> str:
        alone = not self.others and not self.changes
        parts = [
            count(self.probes + self.others + self.changes, "command"),
            "all registered probes" if alone else count(self.probes, "registered probe"),
            count(self.others, "command of gates that were added", "commands of gates that were added"),
            f"{self.activating} of them `pvesm status`, which mounts and imports (--activate-storage)",
            count(self.changes, "change"),
            count(self.refused, "batch refused", "batches refused"),
        ]
        shown = (True, True, self.others > 0, self.activating > 0 and alone, True, self.refused > 0)
        return ", ".join(part for part, is_shown in zip(parts, shown, strict=True) if is_shown)


def count_sent(entries: Iterable[Entry]) -> Sent:
    """Count what the events of a journal say was sent; each probe of a batch is a command."""
    batches: dict[int, tuple[int, int]] = {}
    others = changes = refused = activating = 0
    questions = Questions()
    for entry in entries:
        match entry.event:
            case Batch() as batch:
                argvs = [asked.argv for asked in questions.of(batch)]
                known = sum(map(is_registered, argvs))
                activating += sum(is_registered(argv) and not is_passive(argv) for argv in argvs)
                batches[entry.number] = (known, len(argvs) - known)
            case Refused(batch=number):
                refused += 1
                batches.pop(number, None)
            case GateCommand():
                others += 1
            case ActionIntent():
                changes += 1
    probes = sum(known for known, _ in batches.values())
    return Sent(probes, others + sum(unknown for _, unknown in batches.values()), changes, refused, activating)
