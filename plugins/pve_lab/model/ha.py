"""High availability on one node: LRM, CRM, the watchdog, and what they do when quorum goes.

Times from pve-ha-manager (watchdog-mux.c, LRM.pm, Manager.pm) and as recorded on PVE 8.3.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from typing import Any, Protocol

from pve_lab.model.clock import Event
from pve_lab.model.guests import Guests
from pve_lab.model.host import Host
from pve_lab.model.pmxcfs import Pmxcfs
from pve_lab.model.units import Units

FENCE_AFTER = 60.0
"""Seconds without quorum after which an active node is reset."""
TAKE_OVER_AFTER = 244.0
"""Seconds after which a separated node that kept HA's files takes over the others' guests."""
IDLE_AFTER = {"lrm": 600.0, "crm": 900.0}
"""Seconds without any service after which they let the watchdog go (60 and 90 rounds of ten seconds)."""
DEAD_AFTER = 30
"""Seconds after which a status counts as `old timestamp - dead?`."""
MARKER = "/run/watchdog-mux.active"


class HaSurroundings(Protocol):
    """What HA of one node reaches beyond the parts that it works with."""

    def ha_of_all(self) -> Iterable[Ha]:
        """HA of every node of the cluster, the own one too."""

    def power_cycle(self) -> None:
        """The watchdog runs out: a hard reset."""


class Ha:
    """LRM and CRM of one node."""

    def __init__(self, host: Host, units: Units, pmxcfs: Pmxcfs, guests: Guests, surroundings: HaSurroundings) -> None:
        self.host = host
        self.units = units
        self.pmxcfs = pmxcfs
        self.guests = guests
        self.surroundings = surroundings
        self.armed = False
        self.disarmed = ""
        self.is_master = False
        self.stray_client = ""
        """A process that feeds the watchdog and belongs to none of HA's units."""
        self.fence_at: float | None = None
        self._fence: Event | None = None
        self._takeover: Event | None = None
        self._idle: list[Event] = []

    # -- configuration -----------------------------------------------------------------------

    def resources(self) -> dict[str, dict[str, str]]:
        """The services of ha/resources.cfg: `vm:101` to its settings."""
        found: dict[str, dict[str, str]] = {}
        current = ""
        for line in self.pmxcfs.database.text("ha/resources.cfg").splitlines():
            match = re.fullmatch(r"(vm|ct):\s*(\d+)", line.strip())
            if match:
                current = f"{match[1]}:{match[2]}"
                found[current] = {}
            elif current and line[:1] in ("\t", " "):
                key, _, value = line.strip().partition(" ")
                found[current][key] = value
        return found

    def manager_status(self) -> dict[str, Any]:
        """ha/manager_status, empty when HA was never used."""
        text = self.pmxcfs.database.text("ha/manager_status")
        loaded = json.loads(text) if text else {}
        return loaded if isinstance(loaded, dict) else {}

    def lrm_status(self, name: str) -> dict[str, Any]:
        """nodes/NAME/lrm_status, empty without one."""
        text = self.pmxcfs.database.text(f"nodes/{name}/lrm_status")
        loaded = json.loads(text) if text else {}
        return loaded if isinstance(loaded, dict) else {}

    def _put(self, path: str, value: dict[str, Any]) -> None:
        if self.pmxcfs.quorate:
            with contextlib.suppress(OSError):  # the daemons log a refused write and try again
                self.pmxcfs.write(path, json.dumps(value, separators=(",", ":"), sort_keys=True).encode())

    @property
    def _lrm_runs(self) -> bool:
        return self.units.get("pve-ha-lrm").is_active

    @property
    def _crm_runs(self) -> bool:
        return self.units.get("pve-ha-crm").is_active

    # -- the watchdog ------------------------------------------------------------------------

    @property
    def watchdog_clients(self) -> list[str]:
        """Daemons that hold the watchdog: an active LRM, the master CRM."""
        if self.disarmed:
            return []
        clients = []
        if self.armed and self._lrm_runs:
            clients.append("pve-ha-lrm")
        if self.is_master and self._crm_runs:
            clients.append("pve-ha-crm")
        return clients

    @property
    def all_clients(self) -> list[str]:
        """Everything that holds the watchdog."""
        return [*self.watchdog_clients, *([self.stray_client] if self.stray_client else [])]

    def update_marker(self) -> None:
        """watchdog-mux keeps a directory as long as it has clients."""
        files = self.host.files
        if self.all_clients:
            files.make_directories(MARKER, 0o600)
            files.modes[MARKER] = 0o600
        else:
            files.discard(MARKER)

    def arm(self, *, master: bool) -> None:
        """The LRM holds its agent lock and feeds the watchdog; one node's CRM is the master."""
        self.armed, self.is_master = True, master
        self.update_marker()

    def services(self) -> dict[str, dict[str, Any]]:
        """What the manager knows of its services."""
        found = self.manager_status().get("service_status", {})
        return found if isinstance(found, dict) else {}

    def set_disarmed(self, mode: str) -> None:
        """`disarm-ha`: the watchdog is let go of, the services stand as they are; "": `arm-ha` (recorded on 9.1)."""
        self.disarmed, self.armed = mode, not mode
        status = self.manager_status()
        for service in status.get("service_status", {}).values():
            service["state"] = mode or "started"
        self._put("ha/manager_status", status)
        self.update_marker()

    def _watch_for_services(self) -> None:
        """Without services LRM and CRM become idle, unless one comes back."""
        without = self.armed and not self.resources()
        if without and not self._idle:
            after = self.host.clock.after
            self._idle = [after(IDLE_AFTER["lrm"], self._lrm_idle), after(IDLE_AFTER["crm"], self._crm_idle)]
        if not without and self.armed:
            for event in self._idle:
                event.cancel()
            self._idle = []

    def _lrm_idle(self) -> None:
        self.armed = False
        self._put(
            f"nodes/{self.host.name}/lrm_status",
            {"mode": "active", "results": {}, "state": "wait_for_agent_lock", "timestamp": int(self.host.wall)},
        )
        self.update_marker()

    def _crm_idle(self) -> None:
        self.is_master = False
        self._idle = []
        self.update_marker()

    # -- quorum ------------------------------------------------------------------------------

    def quorum_lost(self, *, age: float = 0.0) -> None:
        """An active node is reset 60 s after it lost quorum, unless the cluster's quorum returns."""
        if not self.watchdog_clients or self._fence is not None:
            return
        self.fence_at = self.host.clock.now + FENCE_AFTER - age
        self._fence = self.host.clock.after(FENCE_AFTER - age, self._reset)
        self.host.journal.add(
            "pve-ha-lrm.service",
            "pve-ha-lrm",
            self.units.get("pve-ha-lrm").main_pid,
            f"lost lock 'ha_agent_{self.host.name}_lock - cfs lock update failed - Permission denied",
            3,
        )

    def quorum_returned(self) -> None:
        """The locks can be renewed again, the watchdog is fed."""
        if self._fence is not None:
            self._fence.cancel()
        self._fence = self.fence_at = None

    def _reset(self) -> None:
        self._fence = self.fence_at = None
        if self.units.get("watchdog-mux").is_active:
            self.surroundings.power_cycle()

    # -- the services ------------------------------------------------------------------------

    def lrm_stop_seconds(self) -> float:
        """How long `systemctl stop pve-ha-lrm` takes; without quorum it outlasts the node."""
        if not self.armed:
            return 1.7
        if self.fence_at is not None:
            return self.fence_at - self.host.clock.now + 1.0
        return 13.7 if self.is_master else 9.8

    def lrm_stopped(self, seconds: float) -> None:
        """With quorum: services frozen, watchdog closed after `seconds`, guests keep running."""
        journal, pid = self.host.journal, self.units.get("pve-ha-lrm").main_pid
        journal.add("pve-ha-lrm.service", "pve-ha-lrm", pid, "received signal TERM")
        if self.armed:
            journal.add("pve-ha-lrm.service", "pve-ha-lrm", pid, "restart LRM, freeze all services")
            status = self.manager_status()
            for service in status.get("service_status", {}).values():
                if service.get("node") == self.host.name:
                    service["state"] = "freeze"
            if status:
                self._put("ha/manager_status", status)
            self._put(
                f"nodes/{self.host.name}/lrm_status",
                {"mode": "restart", "results": {}, "state": "active", "timestamp": int(self.host.wall + seconds)},
            )
            journal.add("pve-ha-lrm.service", "pve-ha-lrm", pid, "watchdog closed (disabled)")
        journal.add("pve-ha-lrm.service", "pve-ha-lrm", pid, "server stopped")
        self.armed = False

    def crm_stopped(self) -> None:
        """The master's role goes to another node whose CRM runs; its lock is released."""
        journal, pid = self.host.journal, self.units.get("pve-ha-crm").main_pid
        journal.add("pve-ha-crm.service", "pve-ha-crm", pid, "server stopped")
        if not self.is_master:
            return
        self.is_master = False
        status = self.manager_status()
        for other in self.surroundings.ha_of_all():
            if other is self or not other._crm_runs or not other.pmxcfs.quorate:
                continue
            if other.pmxcfs.in_cluster:
                other.is_master = True
                other.update_marker()
                status["master_node"] = other.host.name
                break
        status["timestamp"] = int(self.host.wall)
        self._put("ha/manager_status", status)

    # -- a separated node that kept the files --------------------------------------------------

    def configuration_changed(self) -> None:
        """Watch for the trap: quorate alone, HA's files kept, HA's daemons running; and for services that are gone."""
        self._watch_for_services()
        trapped = self._trapped()
        if trapped and self._takeover is None:
            self._takeover = self.host.clock.after(TAKE_OVER_AFTER, self._take_over)
        if not trapped and self._takeover is not None:
            self._takeover.cancel()
            self._takeover = None

    def _trapped(self) -> bool:
        pmxcfs = self.pmxcfs
        if not pmxcfs.mounted or pmxcfs.clustered or not (self._lrm_runs and self._crm_runs):
            return False
        return bool(self.resources()) and bool(self.manager_status())

    def _take_over(self) -> None:
        self._takeover = None
        name = self.host.name
        status = self.manager_status()
        status["master_node"] = name
        for sid in self.resources():
            config = self.guests.config(int(sid.partition(":")[2]))
            if config is None or config.owner == name:
                continue
            moved = config.path.replace(f"nodes/{config.owner}/", f"nodes/{name}/")
            self.pmxcfs.rename(config.path, moved)
            self.host.journal.add(
                "pve-ha-crm.service",
                "pve-ha-crm",
                self.units.get("pve-ha-crm").main_pid,
                f"recover service '{sid}' from fenced node '{config.owner}' to node '{name}'",
                5,
            )
            status.setdefault("service_status", {}).setdefault(sid, {}).update(node=name, state="started")
            self.guests.start(config.vmid)
        self._put("ha/manager_status", status)
        self.arm(master=True)
