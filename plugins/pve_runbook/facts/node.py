"""The facts of one node at one moment, typed; an unknown fact cannot be read as yes or no."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeVar

from msgspec.structs import replace

from pve_runbook.facts import node_state
from pve_runbook.facts.guests import GuestFacts
from pve_runbook.facts.node_state import NodeState
from pve_runbook.parsers.config_db import ConfigTree
from pve_runbook.parsers.corosync_conf import CorosyncConf, parse_corosync_conf_text
from pve_runbook.parsers.ha import parse_ha_resources_text, parse_ha_started_text
from pve_runbook.parsers.host import Version
from pve_runbook.parsers.network_files import INTERFACES_NEW
from pve_runbook.parsers.output import Damaged, NotConnected, Skipped, TimedOut
from pve_runbook.parsers.own_files import Lock
from pve_runbook.parsers.pmxcfs import Members, Mount, Process
from pve_runbook.parsers.pvecm import PvecmStatus, Quorum
from pve_runbook.parsers.section_config import skipped_lines
from pve_runbook.parsers.systemd import Unit
from pve_runbook.parsers.tasks import Task
from pve_runbook.probes import per_subject
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact, known

T = TypeVar("T")

Glimpse = tuple[PvecmStatus | None, Members | None]
"""What a node says of the membership at one moment, in pvecm's words and in pmxcfs's; None where it did not say."""

SERVICES = ("pve-cluster.service", "pvedaemon.service", "pveproxy.service", "pvestatd.service")

SECTION_FILES = ("storage.cfg", "jobs.cfg", "replication.cfg", "ha/resources.cfg")
"""Files of the database that are made of sections, and that are read here."""


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
        return self.family(per_subject.NAME, self.hostname)

    @property
    def network_files(self) -> Mapping[str, str]:
        """SHA-256 of the files that say how this node is reached and named, now and after the next boot."""
        return {**self.get(probes.NETWORK_FILES), **self.get(probes.NETWORK_DROP_INS)}

    @property
    def comes_with_the_next_boot(self) -> tuple[str, ...]:
        """Files that lie ready, and change the node's network or firewall at the next boot (PVE 9)."""
        firewall = f"nodes/{self.hostname}/host.fw.new"
        staged = tuple(path for path in (INTERFACES_NEW,) if path in self.network_files)
        return (*staged, f"/etc/pve/{firewall}") if firewall in self.tree.files else staged

    @property
    def boot_id(self) -> str:
        """Changes with every boot."""
        return self.get(probes.BOOT_ID)

    @property
    def corosync(self) -> Unit:
        """The corosync unit."""
        return self.units["corosync.service"]

    @property
    def held_starts(self) -> tuple[str, ...]:
        """The units that may not wait to start when this node is granted quorum; none on a standalone one, which has
        it."""
        return () if self.state is NodeState.STANDALONE else (*self.waiting_commits, *self.unknown_starts)

    @property
    def startall_worker(self) -> bool:
        """Whether the start of all guests has begun: its worker lives."""
        return any(t.type == "startall" for t in self.live_tasks)

    @property
    def startall_starts(self) -> bool:
        """Whether it does not wait, but starts guests at this moment."""
        return self.startall_worker and self.is_writable and not self.startall_is_held

    @property
    def cron_files(self) -> tuple[str, ...]:
        """What lies in /etc/cron.d."""
        return self.get(probes.CRON) or ()

    @property
    def scheduler_runs(self) -> bool:
        """Whether backups and replication would start by themselves: by the node's own scheduler, or by cron, which
        still starts the backup jobs that were made before 7.1 (pve-manager)."""
        return self.own_scheduler_runs or "vzdump" in self.cron_files

    @property
    def own_scheduler_runs(self) -> bool:
        """Whether the node's own scheduler runs, or waits for quorum: pvescheduler (from PVE 7.1), before it the timer
        and cron. From 7.1 on cron's file is there on every node, and says nothing of the scheduler."""
        scheduler, timer = self.units["pvescheduler.service"], self.units["pvesr.timer"]
        if scheduler.exists:
            return not scheduler.is_stopped or any(j.unit == scheduler.name for j in self.jobs_waiting_for_quorum)
        return (timer.exists and not timer.is_stopped) or "vzdump" in self.cron_files

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
    def own_votes(self) -> int:
        """How many votes this node has: as its corosync counts them, else by its corosync.conf."""
        quorum = self.quorum
        if quorum is not None:
            return sum(m.votes for m in quorum.members if m.local)
        conf = self.get(probes.ETC_COROSYNC_CONF) or self.corosync_conf
        return next((n.votes for n in conf.nodes if n.name == self.hostname), 1) if conf is not None else 1

    @property
    def can_be_given_quorum(self) -> bool:
        """Whether some number of expected votes makes this node quorate by itself. Without a vote none does
        (corosync, votequorum.c); where corosync does not run, and no start of pve-cluster pulls it in, there is no
        quorum to be given."""
        return self.own_votes > 0 or not (self.is_corosync_running or self.state is NodeState.UNMOUNTED)

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
    def tree(self) -> ConfigTree:
        """The configuration database."""
        return self.get(probes.TREE)

    @property
    def database_is_damaged(self) -> bool:
        """Whether the configuration database is there and cannot be opened. Unknown is no: it is read by who needs
        it."""
        return self.is_missing(probes.TREE, Damaged)

    @property
    def corosync_conf(self) -> CorosyncConf | None:
        """The cluster's configuration: from the database, else from /etc/corosync; None when neither is there."""
        text = self.tree.text("corosync.conf")
        return self.get(probes.ETC_COROSYNC_CONF) if text is None else parse_corosync_conf_text(text)

    @property
    def corosync_conf_faults(self) -> tuple[Skipped, ...]:
        """Lines with which corosync does not start here: of the file that it reads, then of the one in the database,
        which pmxcfs writes into its place (pve-cluster, src/pmxcfs/dcdb.c)."""
        text = self.tree.text("corosync.conf")
        own, common = self.get(probes.ETC_COROSYNC_CONF), None if text is None else parse_corosync_conf_text(text)
        copies = (("/etc/corosync/corosync.conf", own), ("/etc/pve/corosync.conf", common))
        return tuple(replace(x, file=file) for file, conf in copies if conf is not None for x in conf.faults)

    @property
    def conf_in_database(self) -> str | None:
        """SHA-256 of corosync.conf in the database; None when it is not there."""
        text = self.tree.text("corosync.conf")
        return None if text is None else hashlib.sha256(text.encode()).hexdigest()

    @property
    def conf_in_etc(self) -> str | None:
        """SHA-256 of /etc/corosync/corosync.conf; None when it is not there."""
        conf = self.get(probes.ETC_COROSYNC_CONF)
        return None if conf is None else conf.sha256

    @property
    def starts_corosync(self) -> bool:
        """Whether corosync starts with the file that it reads here, as far as its lines go."""
        conf = self.get(probes.ETC_COROSYNC_CONF)
        return conf is None or not conf.faults

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
        found = node_state.corosync_leftovers(self.get(probes.COROSYNC_DIRS))
        return found + tuple(f"/etc/pve/{p}" for p in node_state.ha_leftovers(self.tree))

    @property
    def state(self) -> NodeState:
        """Which of the known states this node is in."""
        return node_state.classify(
            node_state.StateEvidence(
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
    def state_lacks(self) -> UnknownFact | None:
        """The first fact that is missing for a state; None where all are there, and contradict each other."""
        try:
            _ = self.pve_mounts, self.get(probes.PVE_MODE), self.pvecm
        except UnknownFact as error:
            return error
        return None

    @property
    def is_corosync_running(self) -> bool:
        """Whether a corosync process lives or its unit is anything but stopped."""
        return bool(self.get(probes.COROSYNC_PROCESS)) or not self.corosync.is_stopped

    # --- HA

    @property
    def ha_started(self) -> tuple[str, ...]:
        """The service ids that HA keeps running. Raises UnknownFact."""
        return parse_ha_started_text(self.tree.text("ha/resources.cfg") or "")

    @property
    def ha_resources(self) -> tuple[str, ...]:
        """The service ids under HA, e.g. ``vm:101``."""
        return parse_ha_resources_text(self.tree.text("ha/resources.cfg") or "")

    @property
    def ha_starts_guests(self) -> bool:
        """Whether HA starts here what it keeps running: its LRM runs, and the node has quorum. Raises UnknownFact."""
        return self.units["pve-ha-lrm.service"].is_active and self.is_quorate

    @property
    def has_watchdog_client(self) -> bool:
        """Whether something on this node feeds the watchdog: if it stops, the node is reset."""
        return self.get(probes.WATCHDOG)

    @property
    def is_armed_without_quorum(self) -> bool:
        """Whether the watchdog is about to reset this node: it is fed, and there is no quorum."""
        return self.has_watchdog_client and not self.is_quorate

    # --- configurations

    @property
    def skipped_lines(self) -> tuple[Skipped, ...]:
        """Lines of this node's files, and of its guests', that Proxmox passes over, and that are passed over here."""
        found = list(self.get(probes.HOSTS_FILE).skipped)
        for file in SECTION_FILES:
            found += skipped_lines(self.tree.text(file) or "", f"/etc/pve/{file}")
        return (*found, *(line for guest in self.guests.values() for line in guest.skipped))

    # --- tasks

    @property
    def live_tasks(self) -> tuple[Task, ...]:
        """Worker processes of Proxmox that live now."""
        return self.get(probes.TASK_PROCESSES)

    @property
    def tasks_under_way(self) -> tuple[Task, ...]:
        """Those that a change would disturb; a start of all guests that only waits for quorum is none of them."""
        only_waits = self.startall_waits and not self.startall_starts
        return tuple(t for t in self.live_tasks if t.is_blocking and not (t.type == "startall" and only_waits))

    @property
    def lock(self) -> Lock | None:
        """Whose work this node is locked for."""
        return self.get(probes.LOCK)

    @property
    def our_units(self) -> tuple[str, ...]:
        """Commands of this tool that go on on the node, as units."""
        return self.get(probes.OUR_UNITS)
