"""The facts of one node at one moment, typed; an unknown fact cannot be read as yes or no."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pve_runbook.facts import state
from pve_runbook.facts.config_tree import ConfigTree
from pve_runbook.facts.corosync_conf import CorosyncConf, parse_corosync_conf_text
from pve_runbook.facts.ha import parse_ha_resources_text
from pve_runbook.facts.identity import Version
from pve_runbook.facts.lock import Lock
from pve_runbook.facts.output import NotConnected, TimedOut
from pve_runbook.facts.pmxcfs import Members, Mount, Process, VmlistEntry
from pve_runbook.facts.quorum import PvecmStatus, Quorum
from pve_runbook.facts.state import NodeState
from pve_runbook.facts.tasks import Task
from pve_runbook.facts.units import Job, Unit
from pve_runbook.work import families, probes
from pve_runbook.work.guestfacts import GuestFacts
from pve_runbook.work.readings import known

T = TypeVar("T")


SERVICES = ("pve-cluster.service", "pvedaemon.service", "pveproxy.service", "pvestatd.service")


class NodeFacts(GuestFacts):
    """What the probes of one node said, in Proxmox's terms. Every property raises UnknownFact when what it is
    made of is unknown."""

    # --- identity and services

    @property
    def hostname(self) -> str:
        """The node's own name."""
        return self.get(probes.HOSTNAME)

    @property
    def is_root(self) -> bool:
        """Whether the login acts as root."""
        return self.get(probes.UID) == 0

    @property
    def version(self) -> Version | None:
        """Which Proxmox VE this is; None when it is none."""
        return self.get(probes.VERSION)

    @property
    def clock_offset(self) -> float:
        """Seconds by which the node's clock is ahead of the control host's, the way there included."""
        return self.get(probes.CLOCK) - self.asked

    @property
    def own_addresses(self) -> tuple[str, ...]:
        """What the node's own name resolves to on itself."""
        return self.family(families.NAME, self.hostname)

    @property
    def network_files(self) -> Mapping[str, str]:
        """SHA-256 of the files that say how this node is reached and named."""
        return self.get(probes.NETWORK_FILES)

    @property
    def boot_id(self) -> str:
        """Changes with every boot."""
        return self.get(probes.BOOT_ID)

    @property
    def units(self) -> Mapping[str, Unit]:
        """systemd's view of Proxmox's units, by full unit name."""
        return self.get(probes.UNIT_STATES)

    @property
    def corosync(self) -> Unit:
        """The corosync unit."""
        return self.units["corosync.service"]

    @property
    def jobs(self) -> tuple[Job, ...]:
        """systemd jobs that are queued or running."""
        return self.get(probes.JOBS)

    @property
    def jobs_waiting_for_quorum(self) -> tuple[Job, ...]:
        """Start jobs that would go on the moment this node is granted quorum (recorded on PVE 8.3)."""
        return tuple(
            j for j in self.jobs if j.type == "start" and j.unit in ("pve-guests.service", "pvescheduler.service")
        )

    @property
    def startall_waits(self) -> bool:
        """Whether the start of all guests waits for quorum."""
        return self.units["pve-guests.service"].active == "activating"

    @property
    def cron_files(self) -> tuple[str, ...]:
        """What lies in /etc/cron.d."""
        return self.get(probes.CRON) or ()

    @property
    def scheduler_runs(self) -> bool:
        """Whether backups and replication would start by themselves: pvescheduler (from PVE 7.1), the timer before
        it, and cron, which still starts the backup jobs that were made before 7.1 (pve-manager)."""
        scheduler = self.units["pvescheduler.service"]
        waits = any(j.unit == "pvescheduler.service" for j in self.jobs_waiting_for_quorum)
        timer = self.units["pvesr.timer"]
        return (
            (scheduler.exists and (not scheduler.is_stopped or waits))
            or (timer.exists and not timer.is_stopped)
            or "vzdump" in self.cron_files
        )

    @property
    def ha_units_on(self) -> tuple[str, ...]:
        """HA's units that run, or will at the next boot."""
        units = (self.units[u] for u in ("pve-ha-lrm.service", "pve-ha-crm.service"))
        return tuple(u.name for u in units if u.is_active or u.is_enabled)

    @property
    def dead_services(self) -> tuple[str, ...]:
        """Proxmox's own services that do not run, and without which nobody can manage the node."""
        return tuple(name for name in SERVICES if not self.units[name].is_active)

    # --- pmxcfs and quorum

    @property
    def pmxcfs_processes(self) -> tuple[Process, ...]:
        """Every pmxcfs that lives."""
        return self.get(probes.PMXCFS_PROCESS)

    @property
    def sees_itself_alone(self) -> bool:
        """Whether corosync counts this node's own vote and no other."""
        quorum = self.quorum
        return quorum is not None and len(quorum.members) == 1 and quorum.members[0].local

    @property
    def corosync_ports(self) -> tuple[str, ...]:
        """What listens on corosync's UDP ports, 5404 to 5412."""
        return tuple(f"{x.process} on {x.address}:{x.port}" for x in self.get(probes.UDP) if 5404 <= x.port <= 5412)

    @property
    def pve_mounts(self) -> tuple[Mount, ...]:
        """The mounts on /etc/pve: one is right, none is unmounted, two are a stale one below."""
        return self.get(probes.PVE_MOUNT)

    @property
    def pve_hangs(self) -> bool:
        """Whether /etc/pve is mounted, and no access to it returns."""
        return bool(self.pve_mounts) and self.is_missing(probes.PVE_MODE, TimedOut)

    @property
    def pve_is_stale(self) -> bool:
        """Whether /etc/pve is a mount that a killed pmxcfs left behind."""
        return bool(self.pve_mounts) and self.is_missing(probes.PVE_MODE, NotConnected)

    @property
    def is_writable(self) -> bool:
        """Whether pmxcfs takes writes: the mode of /etc/pve/local, the mark that PVE itself looks at."""
        return self.get(probes.PVE_MODE) == 0o755

    @property
    def pvecm(self) -> PvecmStatus:
        """``pvecm status``, told apart by its text."""
        return self.get(probes.PVECM)

    @property
    def quorum(self) -> Quorum | None:
        """Votes and members as corosync sees them here; None without corosync."""
        return self.pvecm.quorum

    @property
    def is_quorate(self) -> bool:
        """Text and mode together: corosync says quorate, and pmxcfs follows."""
        return self.quorum is not None and self.quorum.quorate and self.is_writable

    @property
    def members(self) -> Members | None:
        """pmxcfs's list of members."""
        return self.get(probes.MEMBERS)

    @property
    def vmlist(self) -> Mapping[int, VmlistEntry] | None:
        """The guests that pmxcfs shows; None while /etc/pve is not mounted."""
        return self.get(probes.VMLIST)

    @property
    def tree(self) -> ConfigTree:
        """The configuration database."""
        return self.get(probes.TREE)

    @property
    def corosync_conf(self) -> CorosyncConf | None:
        """The cluster's configuration: from the database, else from /etc/corosync; None when neither is there."""
        text = self.tree.text("corosync.conf")
        if text is not None:
            return parse_corosync_conf_text(text)
        return self.get(probes.ETC_COROSYNC_CONF)

    @property
    def conf_in_database(self) -> str | None:
        """SHA-256 of corosync.conf in the database; None when it is not there."""
        text = self.tree.text("corosync.conf")
        return None if text is None else parse_corosync_conf_text(text).sha256

    @property
    def conf_in_etc(self) -> str | None:
        """SHA-256 of /etc/corosync/corosync.conf; None when it is not there."""
        conf = self.get(probes.ETC_COROSYNC_CONF)
        return None if conf is None else conf.sha256

    @property
    def authkey(self) -> str | None:
        """SHA-256 of corosync's key; None when it is not there."""
        return self.get(probes.AUTHKEY).get("/etc/corosync/authkey")

    @property
    def has_corosync_conf_in_database(self) -> bool:
        """While it is there, the next start of pve-cluster makes this node a cluster member again."""
        return "corosync.conf" in self.tree.files

    @property
    def leftovers(self) -> tuple[str, ...]:
        """Files of corosync and HA with which the cluster could come back to life on this node: paths."""
        found = state.corosync_leftovers(self.get(probes.COROSYNC_DIRS))
        return found + tuple(f"/etc/pve/{p}" for p in state.ha_leftovers(self.tree))

    @property
    def state(self) -> NodeState:
        """Which of the known states this node is in."""
        return state.classify(
            state.StateEvidence(
                mounts=known(lambda: self.pve_mounts),
                mode=known(lambda: self.get(probes.PVE_MODE)),
                members=known(lambda: self.members),
                pvecm=known(lambda: self.pvecm),
                pmxcfs=known(lambda: self.get(probes.PMXCFS_PROCESS)),
                corosync_running=known(lambda: self.is_corosync_running),
                authkey_present=known(lambda: "authkey" in (self.get(probes.COROSYNC_DIRS)["/etc/corosync"] or ())),
                conf_in_db=known(lambda: self.has_corosync_conf_in_database),
                leftovers=known(lambda: self.leftovers),
            )
        )

    @property
    def is_corosync_running(self) -> bool:
        """Whether a corosync process lives or its unit is anything but stopped."""
        return bool(self.get(probes.COROSYNC_PROCESS)) or not self.corosync.is_stopped

    # --- HA

    @property
    def ha_resources(self) -> tuple[str, ...]:
        """The service ids under HA, e.g. ``vm:101``."""
        return parse_ha_resources_text(self.tree.text("ha/resources.cfg") or "")

    @property
    def has_watchdog_client(self) -> bool:
        """Whether something on this node feeds the watchdog: if it stops, the node is reset."""
        return self.get(probes.WATCHDOG)

    # --- tasks

    @property
    def live_tasks(self) -> tuple[Task, ...]:
        """Worker processes of Proxmox that live now."""
        return self.get(probes.TASK_PROCESSES)

    @property
    def tasks_under_way(self) -> tuple[Task, ...]:
        """Those that a change would disturb; a start of all guests that only waits for quorum is none of them."""
        return tuple(t for t in self.live_tasks if t.is_blocking and not (t.type == "startall" and self.startall_waits))

    @property
    def lock(self) -> Lock | None:
        """Whose work this node is locked for."""
        return self.get(probes.LOCK)

    @property
    def our_units(self) -> tuple[str, ...]:
        """Commands of this tool that go on on the node, as units."""
        return self.get(probes.OUR_UNITS)
