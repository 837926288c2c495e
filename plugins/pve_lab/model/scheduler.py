"""pvescheduler: overdue jobs start within a minute once there is quorum (pve-manager PVE/Jobs.pm)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pve_runbook.lab.model.node import Node

ROUND = 60.0
"""Seconds between two rounds of the scheduler."""
BACKUP = 300.0
"""Seconds that a backup runs."""


class Scheduler:
    """The scheduler of one node; `overdue` says that a job's time has passed without quorum."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.overdue = False
        self._waiting = False

    @property
    def _runs(self) -> bool:
        name = "pvescheduler" if self.node.version.scheduler else "pvesr.timer"
        return self.node.units.get(name).is_active

    def consider(self) -> None:
        """With quorum, running, and a job overdue: it starts in the next round."""
        if self.overdue and self._runs and self.node.pmxcfs.quorate and not self._waiting:
            self._waiting = True
            self.node.clock.after(ROUND / 2, self._round)

    def _round(self) -> None:
        self._waiting = False
        if self.overdue and self._runs and self.node.pmxcfs.quorate:
            self.overdue = False
            self.backup()

    def backup(self, seconds: float = BACKUP) -> None:
        """A vzdump task begins, locks the first guest that runs here, and ends after `seconds`."""
        node = self.node
        task = node.tasks.begin("vzdump", "")
        vmid = min(node.guests.running, default=None)
        if vmid is not None:
            node.guests.set_lock(vmid, "backup")

        def finished() -> None:
            if not task.pid:
                return
            node.tasks.end(task)
            if vmid is not None:
                with contextlib.suppress(OSError):
                    node.guests.set_lock(vmid, "")

        node.clock.after(seconds, finished)
