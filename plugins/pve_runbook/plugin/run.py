"""One run of pytest over runbook/ or checks/: what there is of it from its command line on."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pve_runbook.journal.journal import Journal
from pve_runbook.options.options import RunOptions
from pve_runbook.plugin.steps.outcome import Outcome
from pve_runbook.procedure.notes import Notes
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.usage import usage_error
from pve_runbook.ssh.connection import Connection
from pve_runbook.terminal.screen import Screen

if TYPE_CHECKING:
    from pve_runbook.plugin.rehearsal import Rehearsal
    from pve_runbook.procedure.rollback import Rollback
    from pve_runbook.record.model import Record


class Run:
    """Created when the command line was checked; an :class:`.open_run.OpenRun` follows once the nodes are connected."""

    def __init__(self, config: pytest.Config, options: RunOptions, begun: Sequence[Connection] = ()) -> None:
        """``begun``: connections that are on their way. Raises UsageError where there is nothing to roll back."""
        self.config = config
        self.options = options
        self.begun = begun
        self.started = datetime.now(UTC)
        self.id = f"{self.started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
        self.journal = Journal()
        self.notes = Notes(self.journal)
        self.outcome = Outcome()
        self.screen = Screen(config)
        self.rollback = _rollback(options.rollback) if options.rollback is not None else None
        self.rehearsal: Rehearsal | None = None
        """The twin that this run is made on, in place of the nodes."""
        self._record: tuple[str, Record] | None = None
        """The record that was made last, and the journal's head at that time."""

    def record(self) -> Record:
        """The change record as far as it goes."""
        if self._record is None or self._record[0] != self.journal.head:
            from pve_runbook.record.build import build

            self._record = self.journal.head, build(self.journal.events)
        return self._record[1]


def _rollback(folder: Path) -> Rollback:
    from pve_runbook.procedure.rollback import NoRollback, Rollback

    try:
        return Rollback(folder)
    except NoRollback as error:
        raise usage_error(RefusalId.NOTHING_TO_ROLL_BACK, str(error)) from None


RUN = pytest.StashKey[Run]()
"""Where the config keeps the run."""
