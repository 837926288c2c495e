"""Decisions, findings, and what is left to do: put into the journal as they come up."""

from __future__ import annotations

from pve_runbook.journal import events
from pve_runbook.journal.journal import Journal


class Notes:
    """Writes into one run's journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.left: list[str] = []
        """What is still frozen, or left for the operator."""

    def note(self, topic: str, text: str, node: str | None = None) -> None:
        """Put a decision or a finding into the record."""
        self.journal.write(events.Note(topic=topic, text=text, node=node))

    def leave(self, text: str, node: str | None = None) -> None:
        """Note something that the operator has to do afterwards; it closes the terminal's output too."""
        self.left.append(f"{node}: {text}" if node else text)
        self.note("left", text, node)
