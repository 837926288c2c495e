"""pvescheduler: overdue jobs start within a minute once there is quorum (pve-manager PVE/Jobs.pm)."""

from __future__ import annotations

import contextlib

from pve_lab.model.guests import Guests
from pve_lab.model.host import Host
from pve_lab.model.pmxcfs import Pmxcfs
from pve_lab.model.tasks import Tasks
from pve_lab.model.units import Units

ROUND = 60.0
"""Seconds between two rounds of the scheduler."""
BACKUP = 300.0
"""Seconds that a backup runs."""


class Scheduler:
    """The scheduler of one node; `overdue` says that a job's time has passed without quorum."""

    def __init__(self, host: Host, units: Units, pmxcfs: Pmxcfs, guests: Guests, tasks: Tasks) -> None:
        self.host = host
        self.units = units
        self.pmxcfs = pmxcfs
        self.guests = guests
        self.tasks = tasks
        self.overdue = False
        self._waiting = False

    @property
    def _runs(self) -> bool:
        name = "pvescheduler" if self.host.version.scheduler else "pvesr.timer"
        return self.units.get(name).is_active

    def consider(self) -> None:
        """With quorum, running, and a job overdue: it starts in the next round."""
        if self.overdue and self._runs and self.pmxcfs.quorate and not self._waiting:
            self._waiting = True
            self.host.clock.after(ROUND / 2, self._round)

    def _round(self) -> None:
        self._waiting = False
        if self.overdue and self._runs and self.pmxcfs.quorate:
            self.overdue = False
            self.backup()

    def backup(self, seconds: float = BACKUP) -> None:
        """A vzdump task begins, locks the first guest that runs here, and ends after `seconds`."""
        task = self.tasks.begin("vzdump", "")
        vmid = min(self.guests.running, default=None)
        if vmid is not None:
            self.guests.set_lock(vmid, "backup")

        def finished() -> None:
            if not task.pid:
                return
            self.tasks.end(task)
            if vmid is not None:
                with contextlib.suppress(OSError):
                    self.guests.set_lock(vmid, "")

        self.host.clock.after(seconds, finished)
