"""One node of the cluster and what connects its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from pve_lab.formats.nftables import Table
from pve_lab.model.clock import Clock
from pve_lab.model.commits import Commits
from pve_lab.model.corosync import Corosync
from pve_lab.model.guests import Guests
from pve_lab.model.ha import Ha
from pve_lab.model.host import Host
from pve_lab.model.network import INTERFACES, HostRoute, Interface, Network, Route, reloaded
from pve_lab.model.pmxcfs import Pmxcfs
from pve_lab.model.scheduler import Scheduler
from pve_lab.model.storage import Storages
from pve_lab.model.tasks import Task, Tasks
from pve_lab.model.units import COMMITS, Unit, Units, proxmox_units
from pve_lab.model.version import Version

STOP_TIMEOUT = 10.0
"""Seconds until systemd kills a pmxcfs that does not end (TimeoutStopSec of pve-cluster.service)."""
CRON_LINK, CRON_TARGET = "/etc/cron.d/vzdump", "/etc/pve/vzdump.cron"
"""The link through which cron starts the backup jobs of PVE 7.0 and older; on 8 and 9 it is there as well."""


class Neighbourhood(Protocol):
    """The cluster as its nodes know it."""

    @property
    def clock(self) -> Clock:
        """The time of all nodes."""

    @property
    def version(self) -> Version:
        """The release that all nodes run."""

    @property
    def network(self) -> Network:
        """What the cluster link carries."""

    @property
    def nodes(self) -> Mapping[str, Node]:
        """All nodes by name."""

    @property
    def on_corosync_stop(self) -> list[Callable[[], None]]:
        """What scenarios do when a corosync was stopped."""

    def form_memberships(self) -> None:
        """Let corosync follow the network and its own starts and stops."""

    def cast_device_votes(self) -> None:
        """Let a QDevice follow what its nodes' daemons and the network allow."""

    def synchronise(self, node: Node) -> None:
        """Let a node's pmxcfs join the group of its corosync's membership."""


class Node(Host):
    """A Proxmox VE host of the model: it puts the parts together, and alone knows all of them."""

    def __init__(self, cluster: Neighbourhood, name: str, address: str, database_directory: Path) -> None:
        super().__init__(name, cluster.clock, cluster.version, database_directory)
        self.cluster = cluster
        self.address = address
        self.powered = True
        self.interfaces: list[Interface] = []
        self.default_routes: list[Route] = []
        self.host_routes: list[HostRoute] = []
        self.rings = [address]
        """Own addresses on corosync's links."""
        self.filter_rules: tuple[str, ...] = ()
        """The filter table as iptables-save shows it."""
        self.nft_tables: tuple[Table, ...] = ()
        """Tables of nftables that are not iptables' own."""
        self.drops = (0, 0)
        """UDP ports, first and last, that no packet of a peer reaches, by a filter here or on the way."""
        self.on_power_cycle: list[Callable[[], None]] = []
        self.units = Units(self, self)
        for unit in proxmox_units(scheduler=self.version.scheduler, commits=self.version.commits):
            self.units.table[unit.name] = unit
        self.corosync = Corosync(self, self.units, self)
        self.pmxcfs = Pmxcfs(self, self.corosync, self)
        self.storages = Storages(self, self.pmxcfs)
        self.tasks = Tasks(self)
        self.guests = Guests(self, self.pmxcfs, self.storages, self.tasks)
        self.ha = Ha(self, self.units, self.pmxcfs, self.guests, self)
        self.scheduler = Scheduler(self, self.units, self.pmxcfs, self.guests, self.tasks)
        self.commits = Commits(self, self.units, self.pmxcfs, self)
        self.startall: Task | None = None
        self.said: dict[tuple[str, ...], tuple[object, str]] = {}
        """Question to the database → in which state it was, and what it said."""
        self.network_reloads = 0
        """How often `ifreload -a` ran since the lab began."""

    @property
    def standalone(self) -> bool:
        """Whether pmxcfs runs without any cluster configuration in its database."""
        return self.pmxcfs.mounted and self.pmxcfs.database.get("corosync.conf") is None

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
        if unit.name in COMMITS:
            self.commits.start(unit)
            return 0, 0.5
        seconds = unit.start_cost
        if unit.name == "pveproxy.service":
            seconds += self._update_certs()
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

    def _update_certs(self) -> float:
        """`pvecm updatecerts`, before each start of pveproxy: seconds. While /etc/pve is writable it puts cron's link
        back (pve-cluster, PVE/Cluster/Setup.pm, gen_pve_vzdump_files)."""
        if not self.pmxcfs.quorate:
            return self.version.quorum_wait
        if not self.pmxcfs.hung and not self.files.lexists(CRON_LINK):
            self.files.put_link(CRON_TARGET, CRON_LINK)
        return 0.0

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

    # -- what the parts reach beyond this node -------------------------------------------------

    def reload_network(self) -> None:
        """`ifreload -a`: every interface becomes what /etc/network/interfaces has for it, and new bridges come up."""
        self.network_reloads += 1
        self.interfaces = reloaded(self.interfaces, self.files.text(INTERFACES))
        self.cluster.form_memberships()

    def corosync_of_all(self) -> Iterable[Corosync]:
        """The corosync of every node of the cluster, the own one too."""
        return [n.corosync for n in self.cluster.nodes.values()]

    def pmxcfs_of_all(self) -> Iterable[Pmxcfs]:
        """The pmxcfs of every node of the cluster, the own one too."""
        return [n.pmxcfs for n in self.cluster.nodes.values()]

    def ha_of_all(self) -> Iterable[Ha]:
        """HA of every node of the cluster, the own one too."""
        return [n.ha for n in self.cluster.nodes.values()]

    def form_memberships(self) -> None:
        """A corosync started or ended: memberships follow."""
        self.cluster.form_memberships()

    def synchronise(self) -> None:
        """pmxcfs joins the group of its corosync's membership: the members' databases become equal."""
        self.cluster.synchronise(self)

    # -- what the parts tell each other --------------------------------------------------------

    def corosync_died(self) -> None:
        """corosync is gone, pmxcfs has to notice."""
        self.pmxcfs.corosync_died()

    def configuration_changed(self) -> None:
        """The guests or HA files of the database may be others than before."""
        self.ha.configuration_changed()

    def quorum_changed(self) -> None:
        """Membership or votes of corosync changed."""
        self.pmxcfs.follow_corosync()

    def quorum_lost(self) -> None:
        """/etc/pve is read-only from now on."""
        self.ha.quorum_lost()

    def quorum_returned(self) -> None:
        """Locks in /etc/pve can be renewed again."""
        self.ha.quorum_returned()

    def quorum_granted(self) -> None:
        """/etc/pve became writable: what waited for it goes on now."""
        if not self.pmxcfs.quorate:
            return
        self.scheduler.consider()
        self.commits.quorum_granted()
        guests = self.units.get("pve-guests")
        if guests.job_state == "waiting":  # behind pveproxy, whose start is over with that
            self._begin_guests(guests)
        elif self.startall is not None and self.startall.pid not in self.processes.stopped:
            task, self.startall = self.startall, None
            self.guests.start_all()
            self.tasks.end(task)
            if guests.active == "activating":
                guests.active, guests.sub = "active", "exited"
            self.units.finish_job(guests)
        else:
            return
        self._start_what_is_queued()

    def signal(self, unit: Unit, name: str) -> None:
        """`systemctl kill`: to the start of all guests, which is a worker of its unit."""
        if unit.name != "pve-guests.service" or self.startall is None:
            return
        if name == "STOP":
            self.processes.stopped.add(self.startall.pid)
        elif name == "CONT":
            self.processes.stopped.discard(self.startall.pid)
            self.quorum_granted()
        else:
            self.end_startall()

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

    def end_startall(self) -> None:
        """A start of all guests that waits is ended by a signal: its unit fails, what is queued behind it goes on."""
        if self.startall is None:
            return
        task, self.startall = self.startall, None
        self.tasks.end(task, "interrupted by signal")
        guests = self.units.get("pve-guests")
        guests.active, guests.sub, guests.result = "failed", "failed", "signal"
        self.units.finish_job(guests)
        self._start_what_is_queued()

    def _start_what_is_queued(self) -> None:
        for unit in self.units.table.values():
            if unit.job:
                self.units.finish_job(unit)
                self.units.start(unit.name)

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
        self.hostname = self.files.text("/etc/hostname").strip()
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
            guests = self.units.get("pve-guests")
            if unit is guests and not self.pmxcfs.quorate:
                self.queue_guests(unit)
                continue
            if unit.name == "pvescheduler.service" and (guests.job or guests.active == "activating"):
                self.units.queue_job(unit, "waiting")
                continue
            self.units.start_one(unit)

    def queue_guests(self, unit: Unit) -> None:
        """The start of all guests is queued behind pveproxy's, which waits for quorum for a while (seen on PVE 9.1)."""
        self.units.queue_job(unit, "waiting")
        boot = self.boot_id

        def begin() -> None:
            if self.boot_id == boot and unit.job_state == "waiting":
                self._begin_guests(unit)

        self.clock.after(self.version.quorum_wait, begin)

    def _begin_guests(self, unit: Unit) -> None:
        self.units.start_one(unit)
        if unit.active != "activating":
            self.units.finish_job(unit)
