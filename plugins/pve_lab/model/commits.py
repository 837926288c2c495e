"""pve-sdn-commit and pve-firewall-commit: they wait until /etc/pve is writable, and act (recorded on PVE 9.1)."""

from __future__ import annotations

import contextlib
import json
from typing import Protocol

from pve_lab.formats import sdn
from pve_lab.model.host import Host
from pve_lab.model.pmxcfs import Pmxcfs
from pve_lab.model.units import COMMITS, Unit, Units

ZONES, RUNNING = "sdn/zones.cfg", "sdn/.running-config"


class Reloading(Protocol):
    """The network of the node."""

    def reload_network(self) -> None:
        """`ifreload -a`."""


class Commits:
    """The two units of one node."""

    def __init__(self, host: Host, units: Units, pmxcfs: Pmxcfs, network: Reloading) -> None:
        self.host = host
        self.units = units
        self.pmxcfs = pmxcfs
        self.network = network

    @property
    def pending(self) -> list[str]:
        """SDN zones that are configured, and not in the running configuration."""
        database = self.pmxcfs.database
        return sdn.pending((database.data(ZONES) or b"").decode(), (database.data(RUNNING) or b"").decode())

    def start(self, unit: Unit) -> None:
        """A start of one of them: with quorum it acts, without it waits."""
        if self.pmxcfs.quorate:
            self._act(unit)
            return
        unit.active, unit.sub = "activating", "start"
        self.units.queue_job(unit, "running")

    def quorum_granted(self) -> None:
        """/etc/pve became writable: what waited for it acts now."""
        for name in COMMITS:
            unit = self.units.find(name)
            if unit is not None and unit.active == "activating":
                self.units.finish_job(unit)
                unit.active, unit.sub = "active", "exited"
                self._act(unit)

    def _act(self, unit: Unit) -> None:
        if unit.name != COMMITS[0] or not self.pending:
            return
        self.network.reload_network()
        self.host.clock.after(max(self.pmxcfs.busy_until - self.host.clock.now, 0.0), self._commit)

    def _commit(self) -> None:
        zones = (self.pmxcfs.database.data(ZONES) or b"").decode()
        with contextlib.suppress(OSError):  # quorum is gone again: they stay pending
            self.pmxcfs.write(RUNNING, json.dumps(sdn.running(zones)).encode())
