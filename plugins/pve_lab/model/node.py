"""One node of the cluster and what connects its parts."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pve_runbook.lab.model.corosync import Corosync
from pve_runbook.lab.model.files import NodeFiles
from pve_runbook.lab.model.guests import Guests
from pve_runbook.lab.model.ha import Ha
from pve_runbook.lab.model.journal import Journal
from pve_runbook.lab.model.network import Interface, Route
from pve_runbook.lab.model.pmxcfs import Pmxcfs
from pve_runbook.lab.model.processes import ProcessTable
from pve_runbook.lab.model.scheduler import Scheduler
from pve_runbook.lab.model.storage import Storages
from pve_runbook.lab.model.tasks import Task, Tasks
from pve_runbook.lab.model.units import Unit, Units, proxmox_units

if TYPE_CHECKING:
    from pve_runbook.lab.model.cluster import Cluster

BOOT_ID = "/proc/sys/kernel/random/boot_id"
STOP_TIMEOUT = 10.0
"""Seconds until systemd kills a pmxcfs that does not end (TimeoutStopSec of pve-cluster.service)."""
PROXY_WAIT = 30.0
"""Seconds that a start of pveproxy waits for quorum (pvecm updatecerts)."""


class Node:
    """A Proxmox VE host of the model."""

    def __init__(self, cluster: Cluster, name: str, address: str, database_directory: Path) -> None:
        self.cluster = cluster
        self.clock = cluster.clock
        self.version = cluster.version
        self.name = name
        self.address = address
        self.files = NodeFiles(database_directory)
        self.skew = 0.0
        self.powered = True
        self.journal = Journal(lambda: self.wall)
        self.interfaces: list[Interface] = []
        self.default_routes: list[Route] = []
        self.rings = [address]
        """Own addresses on corosync's links."""
        self.filter_rules: tuple[str, ...] = ()
        """The filter table as iptables-save shows it."""
        self.drops = (0, 0)
        """UDP ports, first and last, that no packet of a peer reaches, by a filter here or on the way."""
        self.boot_id = ""
        self.on_power_cycle: list[Callable[[], None]] = []
        self.processes = ProcessTable(self.clock, self.files, 5246.0)
        self.units = Units(self)
        for unit in proxmox_units(scheduler=self.version.scheduler):
            self.units.table[unit.name] = unit
        self.corosync = Corosync(self)
        self.ha = Ha(self)
        self.pmxcfs = Pmxcfs(self)
        self.storages = Storages(self)
        self.guests = Guests(self)
        self.tasks = Tasks(self)
        self.scheduler = Scheduler(self)
        self.startall: Task | None = None
        self.new_boot_id()

    def new_boot_id(self) -> None:
        """A boot of the kernel."""
        seed = f"{self.name} {self.clock.now} {self.boot_id}"
        self.boot_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, seed))
        self.files.put(BOOT_ID, f"{self.boot_id}\n")

    @property
    def wall(self) -> float:
        """Unix time as the node has it: model time and what its clock is wrong by, in seconds."""
        return self.clock.wall + self.skew

    @property
    def standalone(self) -> bool:
        """Whether pmxcfs runs without any cluster configuration in its database."""
        return self.pmxcfs.mounted and self.pmxcfs.database.get("corosync.conf") is None

    def resolve(self, name: str) -> str | None:
        """The address that /etc/hosts of this node gives a name, None without one."""
        for line in self.files.text("/etc/hosts").splitlines():
            fields = line.partition("#")[0].split()
            if name in fields[1:]:
                return fields[0]
        return None

    # -- services ----------------------------------------------------------------------------

    def start_service(self, unit: Unit) -> tuple[int, float]:
        """Start a unit's process: exit status and seconds."""
        if unit.name == "pve-cluster.service":
            status, text, seconds = self.pmxcfs.start(unit.argv)
            if status:
                self.journal.add(unit.name, "pmxcfs", 0, text.strip().splitlines()[-1], 2)
                return status, seconds
            unit.main_pid = self.pmxcfs.pid
            return 0, seconds
        if unit.name == "pve-guests.service":
            self._start_guests(unit)
            return 0, 0.5
        seconds = unit.start_cost
        if unit.name == "pveproxy.service" and not self.pmxcfs.quorate:
            seconds += PROXY_WAIT
        if unit.argv:
            comm = unit.argv[0].rpartition("/")[2][:15]
            unit.main_pid = self.processes.spawn(comm, unit.argv).pid
        if unit.name == "corosync.service":
            version = self.version.corosync
            self.corosync.log("MAIN", f"Corosync Cluster Engine {version} starting up")
            status = self.corosync.start()
            if status:
                self.processes.end(unit.main_pid)
                return status, 0.4
        if unit.name in ("pve-ha-lrm.service", "pve-ha-crm.service"):
            self.clock.after(0.0, self.ha.configuration_changed)
        if unit.name == "corosync-qdevice.service":
            self.clock.after(0.0, self.cluster.cast_device_votes)
        if unit.name in ("pvescheduler.service", "pvesr.timer"):
            self.clock.after(0.0, self.scheduler.consider)
        return 0, seconds

    def stop_service(self, unit: Unit) -> float:
        """End a unit's process; returns the seconds it takes."""
        if unit.name == "pve-cluster.service":
            if self.pmxcfs.hung:
                self.pmxcfs.crash()
                return STOP_TIMEOUT
            if self.pmxcfs.pid == unit.main_pid:
                self.pmxcfs.end()
            return unit.stop_cost
        if unit.name == "corosync.service":
            self.corosync.log("MAIN", "Corosync Cluster Engine exiting normally")
            self.corosync.stop()
            self.cluster_link_used()
            device = self.units.find("corosync-qdevice")
            if device is not None:
                self.units.stop(device.name)
        if unit.name == "corosync-qdevice.service":
            self.clock.after(0.0, self.cluster.cast_device_votes)
        if unit.name == "pve-ha-lrm.service":
            seconds = self.ha.lrm_stop_seconds()
            if self.ha.fence_at is not None and self.ha.armed:
                self.clock.advance(seconds)
                return 0.0
            self.ha.lrm_stopped(seconds)
            self.clock.after(0.0, self.ha.update_marker)
            self.clock.after(0.0, self.ha.configuration_changed)
            return seconds
        if unit.name == "pve-ha-crm.service":
            seconds = 10.6 if self.ha.is_master else unit.stop_cost
            self.ha.crm_stopped()
            self.clock.after(0.0, self.ha.update_marker)
            self.clock.after(0.0, self.ha.configuration_changed)
            return seconds
        return unit.stop_cost

    def cluster_link_used(self) -> None:
        """A hook for scenarios: corosync was stopped somewhere."""
        for action in list(self.cluster.on_corosync_stop):
            action()

    # -- quorum ------------------------------------------------------------------------------

    def quorum_changed(self) -> None:
        """Membership or votes of corosync changed."""
        self.pmxcfs.follow_corosync()

    def quorum_granted(self) -> None:
        """/etc/pve became writable: what waited for it goes on now."""
        if not self.pmxcfs.quorate:
            return
        self.scheduler.consider()
        if self.startall is not None:
            task, self.startall = self.startall, None
            self.guests.start_all()
            self.tasks.end(task)
            guests = self.units.get("pve-guests")
            if guests.active == "activating":
                guests.active, guests.sub = "active", "exited"
            self.units.finish_job(guests)
            for unit in self.units.table.values():
                if unit.job:
                    self.units.finish_job(unit)
                    self.units.start(unit.name)

    def _start_guests(self, unit: Unit) -> None:
        if self.pmxcfs.quorate:
            task = self.tasks.begin("startall", "")
            self.guests.start_all()
            self.tasks.end(task)
            return
        self.startall = self.tasks.begin("startall", "")
        self.tasks.log(self.startall, "waiting for quorum ...")
        unit.active, unit.sub = "activating", "start"
        self.units.queue_job(unit, "running")

    # -- power -------------------------------------------------------------------------------

    def power_cycle(self) -> None:
        """A hard reset."""
        self.power_off()
        self.power_on()

    def power_off(self) -> None:
        """The power is cut: everything that ran is gone, what the disk had stays as it is."""
        for action in list(self.on_power_cycle):
            action()
        for vmid in list(self.guests.running):
            self.guests.end(vmid)
        self.corosync.runtime = None
        self.pmxcfs.end()
        self.ha.quorum_returned()
        self.ha.armed = self.ha.is_master = False
        self.ha.stray_client = ""
        self.files.dead_mounts = 0
        self.startall = None
        for pid in list(self.processes.table):
            self.processes.end(pid)
        for task in self.tasks.running:
            self.tasks.end(task, "unexpected status")
        for path in ("/run", "/tmp"):
            self.files.discard(path)
        for unit in [u for u in self.units.table.values() if u.enablement == "transient"]:
            del self.units.table[unit.name]
        for unit in self.units.table.values():
            unit.active, unit.sub, unit.main_pid, unit.job, unit.job_state = "inactive", "dead", 0, 0, ""
            unit.result, unit.exec_status = "success", 0
            if unit.masked == "masked-runtime":
                unit.masked = ""
        self.powered = False
        self.ha.configuration_changed()
        self.cluster.form_memberships()

    def power_on(self) -> None:
        """Boot: the enabled units start."""
        for path in ("/run/qemu-server", "/run/systemd/system", "/tmp"):
            self.files.make_directories(path)
        self.new_boot_id()
        self.processes.booted = self.clock.now
        self.processes.spawn("systemd", ("/sbin/init",), pid=1)
        self.powered = True
        self.boot()

    def boot(self) -> None:
        """Start the enabled units, in order; the scheduler waits for the guests' start."""
        for unit in self.units.table.values():
            if unit.masked or unit.enablement not in ("enabled", "generated", "static") or unit.is_active:
                continue
            if unit.name == "pvesr.service":
                continue
            if unit.name == "pvescheduler.service" and self.units.get("pve-guests").active == "activating":
                self.units.queue_job(unit, "waiting")
                continue
            self.units.start_one(unit)
