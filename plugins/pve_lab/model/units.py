"""systemd on one node: the units that matter, their dependencies and jobs.

Dependencies from the unit files of pve-cluster, pve-manager and pve-ha-manager; texts recorded on PVE 8.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from pve_lab.model.host import Host


@dataclass
class Unit:
    """One unit; `enablement` is what is-enabled says when it is not masked."""

    name: str
    description: str
    argv: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    condition: str = ""
    enablement: str = "enabled"
    start_cost: float = 0.5
    stop_cost: float = 0.5
    sysv: bool = False
    active: str = "inactive"
    sub: str = "dead"
    main_pid: int = 0
    exec_status: int = 0
    result: str = "success"
    condition_result: bool = False
    masked: str = ""
    job: int = 0
    job_state: str = ""

    @property
    def unit_file_state(self) -> str:
        """What `systemctl is-enabled` prints."""
        return self.masked or self.enablement

    @property
    def is_active(self) -> bool:
        """Whether it runs."""
        return self.active == "active"


def _daemon(name: str, description: str, *wants: str, **more: object) -> Unit:
    unit = Unit(f"{name}.service", description, (name,), tuple(f"{w}.service" for w in wants))
    for key, value in more.items():
        setattr(unit, key, value)
    return unit


COMMITS = ("pve-sdn-commit.service", "pve-firewall-commit.service")
ONESHOTS = ("pve-guests.service", *COMMITS)
"""Units that do their work and remain as done."""


def proxmox_units(*, scheduler: bool, commits: bool) -> list[Unit]:
    """The units of a node in their order of start; PVE 7.0 and older have no pvescheduler, 8 and older no `commits`."""
    units = [
        _daemon("ssh", "OpenBSD Secure Shell server", argv=("/usr/sbin/sshd", "-D")),
        _daemon("cron", "Regular background program processing daemon", argv=("/usr/sbin/cron", "-f")),
        _daemon("rrdcached", "LSB: start or stop rrdcached", argv=("/usr/bin/rrdcached",), enablement="generated"),
        _daemon(
            "watchdog-mux",
            "Proxmox VE watchdog multiplexer",
            enablement="static",
            argv=("/usr/sbin/watchdog-mux",),
        ),
        _daemon("qmeventd", "PVE Qemu Event Daemon", argv=("/usr/sbin/qmeventd", "/var/run/qmeventd.sock")),
        _daemon(
            "pve-cluster",
            "The Proxmox VE cluster filesystem",
            "corosync",
            argv=("/usr/bin/pmxcfs",),
            start_cost=1.05,
            stop_cost=0.8,
        ),
        _daemon(
            "corosync",
            "Corosync Cluster Engine",
            argv=("/usr/sbin/corosync", "-f"),
            sysv=True,
            condition="/etc/corosync/corosync.conf",
            start_cost=1.0,
            stop_cost=0.46,
        ),
        _daemon("pve-firewall", "Proxmox VE firewall", "pve-cluster"),
        _daemon("pvestatd", "PVE Status Daemon", "pve-cluster", "corosync", start_cost=1.2),
        _daemon("pvedaemon", "PVE API Daemon", "pve-cluster", "corosync", start_cost=1.4, stop_cost=1.0),
        _daemon(
            "pve-ha-crm",
            "PVE Cluster HA Resource Manager Daemon",
            "pve-cluster",
            "corosync",
            "watchdog-mux",
            "pvedaemon",
            stop_cost=1.7,
        ),
        _daemon(
            "pve-ha-lrm",
            "PVE Local HA Resource Manager Daemon",
            "pve-cluster",
            "corosync",
            "watchdog-mux",
            "pvedaemon",
            "pve-ha-crm",
            stop_cost=1.7,
        ),
        _daemon("pveproxy", "PVE API Proxy Server", "pve-cluster", "corosync", "pvedaemon", start_cost=1.5),
        _daemon("spiceproxy", "PVE SPICE Proxy Server", "pve-cluster", "corosync"),
        _daemon("pve-guests", "PVE guests", "pvestatd", "pveproxy", "spiceproxy", argv=()),
    ]
    if scheduler:
        units.append(_daemon("pvescheduler", "Proxmox VE scheduler", "pve-cluster", "corosync"))
    else:
        units.append(Unit("pvesr.timer", "Proxmox VE replication runner"))
        units.append(Unit("pvesr.service", "Proxmox VE replication runner", enablement="static"))
    if commits:
        units += [
            _daemon("pve-sdn-commit", "Commit Proxmox VE SDN changes", "pve-cluster", argv=()),
            _daemon("pve-firewall-commit", "Commit Proxmox VE Firewall changes", "pve-cluster", argv=()),
        ]
    return units


@dataclass
class Outcome:
    """What systemctl did: exit status, text on stderr, seconds."""

    exit_status: int = 0
    stderr: str = ""
    seconds: float = 0.0

    def add(self, other: Outcome) -> None:
        """Take in the outcome of one more unit."""
        self.exit_status = self.exit_status or other.exit_status
        self.stderr += other.stderr
        self.seconds += other.seconds


class Services(Protocol):
    """The processes behind the units."""

    def start_service(self, unit: Unit) -> tuple[int, float]:
        """Start a unit's process: exit status and seconds."""

    def stop_service(self, unit: Unit) -> float:
        """End a unit's process; returns the seconds it takes."""


@dataclass
class Units:
    """All units of a node."""

    host: Host
    services: Services
    table: dict[str, Unit] = field(default_factory=dict)
    next_job: int = 160

    @staticmethod
    def full_name(name: str) -> str:
        """A unit's name with its type."""
        suffixes = (".service", ".timer", ".target", ".socket", ".slice", ".mount", ".scope")
        return name if name.endswith(suffixes) else f"{name}.service"

    def get(self, name: str) -> Unit:
        """A unit that exists; raises KeyError."""
        return self.table[self.full_name(name)]

    def find(self, name: str) -> Unit | None:
        """A unit, or None when there is none of that name."""
        return self.table.get(self.full_name(name))

    # -- start -------------------------------------------------------------------------------

    def _pulled_in(self, unit: Unit) -> list[Unit]:
        """The unit and all that Wants= pull in, in order of start."""
        names: set[str] = set()
        pending = [unit.name]
        while pending:
            name = pending.pop()
            found = self.table.get(name)
            if name in names or found is None or (found.masked and found is not unit):
                continue
            names.add(name)
            pending.extend(found.wants)
        return [u for u in self.table.values() if u.name in names]

    def start(self, name: str) -> Outcome:
        """`systemctl start`: with Wants=, conditions, masks and failures."""
        unit = self.find(name)
        full = self.full_name(name)
        if unit is None:
            return Outcome(5, f"Failed to start {full}: Unit {full} not found.\n", 0.01)
        if unit.masked:
            return Outcome(1, f"Failed to start {full}: Unit {full} is masked.\n", 0.01)
        outcome = Outcome()
        for wanted in self._pulled_in(unit):
            seconds = self.start_one(wanted)
            outcome.seconds += seconds
            self.host.clock.advance(seconds)
        if unit.active == "failed":
            outcome.exit_status = 1
            outcome.stderr = (
                f"Job for {full} failed because the control process exited with error code.\n"
                f'See "systemctl status {full}" and "journalctl -xeu {full}" for details.\n'
            )
        return Outcome(outcome.exit_status, outcome.stderr, 0.0)

    def start_one(self, unit: Unit) -> float:
        if unit.active in ("active", "activating"):
            return 0.0
        journal = self.host.journal
        if unit.condition:
            unit.condition_result = self.host.files.exists(unit.condition)
            if not unit.condition_result:
                journal.systemd(
                    unit.name,
                    f"{unit.name} - {unit.description} was skipped because of an unmet condition check "
                    f"(ConditionPathExists={unit.condition}).",
                )
                return 0.02
        else:
            unit.condition_result = True
        journal.systemd(unit.name, f"Starting {unit.name} - {unit.description}...")
        status, seconds = self.services.start_service(unit)
        unit.exec_status = status
        if status:
            unit.active, unit.sub, unit.result, unit.main_pid = "failed", "failed", "exit-code", 0
            journal.systemd(unit.name, f"{unit.name}: Main process exited, code=exited, status={status}/n/a", 5)
            journal.systemd(unit.name, f"{unit.name}: Failed with result 'exit-code'.", 4)
            journal.systemd(unit.name, f"Failed to start {unit.name} - {unit.description}.", 3)
            return seconds
        unit.result = "success"
        if unit.active != "activating":
            unit.active, unit.sub = "active", "waiting" if unit.name.endswith(".timer") else "running"
            if unit.name in ONESHOTS:
                unit.sub = "exited"
            journal.systemd(unit.name, f"Started {unit.name} - {unit.description}.")
        return seconds

    # -- stop --------------------------------------------------------------------------------

    def stop(self, name: str) -> Outcome:
        """`systemctl stop`: also clears a waiting start job."""
        unit = self.find(name)
        full = self.full_name(name)
        if unit is None:
            return Outcome(5, f"Failed to stop {full}: Unit {full} not loaded.\n", 0.01)
        if unit.job:
            self.finish_job(unit)
            if unit.active == "activating":
                self._cut_short(unit)
        if unit.active not in ("active", "activating"):
            return Outcome(0, "", 0.01)
        boot_id = self.host.boot_id
        seconds = self.services.stop_service(unit)
        if self.host.boot_id != boot_id:
            return Outcome()
        self.stopped(unit)
        self.host.clock.advance(seconds)
        return Outcome()

    def _cut_short(self, unit: Unit) -> None:
        """Its start was under way. A signal is no good end of a oneshot (systemd's is_clean_exit; seen with 257)."""
        unit.active, unit.sub = "inactive", "dead"
        if unit.name in ONESHOTS:
            unit.active, unit.sub, unit.result = "failed", "failed", "signal"
            self.host.journal.systemd(unit.name, f"{unit.name}: Main process exited, code=killed, status=15/TERM", 5)
            self.host.journal.systemd(unit.name, f"{unit.name}: Failed with result 'signal'.", 4)
        self.host.journal.systemd(unit.name, f"Stopped {unit.name} - {unit.description}.")

    def stopped(self, unit: Unit) -> None:
        """The unit's processes have ended well."""
        if unit.main_pid:
            self.host.processes.end(unit.main_pid)
        unit.active, unit.sub, unit.main_pid, unit.result, unit.exec_status = (
            "inactive",
            "dead",
            0,
            "success",
            0,
        )
        self.host.journal.systemd(unit.name, f"{unit.name}: Deactivated successfully.")
        self.host.journal.systemd(unit.name, f"Stopped {unit.name} - {unit.description}.")
        self.host.journal.systemd(unit.name, f"{unit.name}: Consumed 1.563s CPU time.")

    def restart(self, name: str) -> Outcome:
        """`systemctl restart`: stop, then start with everything that Wants= pull in."""
        unit = self.find(name)
        full = self.full_name(name)
        if unit is None:
            return Outcome(5, f"Failed to restart {full}: Unit {full} not found.\n", 0.01)
        if unit.masked:
            return Outcome(1, f"Failed to restart {full}: Unit {full} is masked.\n", 0.01)
        outcome = self.stop(name)
        outcome.add(self.start(name))
        return outcome

    # -- enablement, masks, jobs -------------------------------------------------------------

    def _wants_link(self, unit: Unit) -> str:
        target = "timers" if unit.name.endswith(".timer") else "multi-user"
        return f"/etc/systemd/system/{target}.target.wants/{unit.name}"

    def set_enabled(self, name: str, *, enabled: bool) -> Outcome:
        """`systemctl enable` and `disable` (texts recorded on PVE 8.3)."""
        unit = self.find(name)
        verb = "enable" if enabled else "disable"
        if unit is None:
            full = self.full_name(name)
            return Outcome(1, f"Failed to {verb} unit: Unit file {full} does not exist.\n", 0.1)
        text = ""
        if unit.sysv:
            base = unit.name.removesuffix(".service")
            text = (
                f"Synchronizing state of {unit.name} with SysV service script with /lib/systemd/systemd-sysv-install.\n"
                f"Executing: /lib/systemd/systemd-sysv-install {verb} {base}\n"
            )
        link = self._wants_link(unit)
        if enabled and unit.masked:
            return Outcome(1, f"Failed to enable unit: Unit file /run/systemd/system/{unit.name} is masked.\n", 0.1)
        if enabled and unit.enablement == "disabled":
            unit.enablement = "enabled"
            self.host.files.put_link(f"/lib/systemd/system/{unit.name}", link)
            text += f"Created symlink {link} -> /lib/systemd/system/{unit.name}.\n"
        elif not enabled and unit.enablement == "enabled":
            unit.enablement = "disabled"
            self.host.files.discard(link)
            text += f'Removed "{link}".\n'
        return Outcome(0, text, 0.4)

    def mask(self, name: str, *, runtime: bool) -> Outcome:
        """`systemctl mask [--runtime]`."""
        unit = self.find(name)
        full = self.full_name(name)
        directory = "/run/systemd/system" if runtime else "/etc/systemd/system"
        link = f"{directory}/{full}"
        text = "" if unit is not None else f"Unit {full} does not exist, proceeding anyway.\n"
        if self.host.files.lexists(link):
            return Outcome(0, text, 0.05)
        self.host.files.put_link("/dev/null", link)
        if unit is not None:
            unit.masked = "masked-runtime" if runtime else "masked"
        return Outcome(0, f"{text}Created symlink {link} -> /dev/null.\n", 0.1)

    def unmask(self, name: str, *, runtime: bool) -> Outcome:
        """`systemctl unmask [--runtime]`."""
        unit = self.find(name)
        full = self.full_name(name)
        link = f"{'/run' if runtime else '/etc'}/systemd/system/{full}"
        text = "" if unit is not None else f"Unit {full} does not exist, proceeding anyway.\n"
        if not self.host.files.lexists(link):
            return Outcome(0, text, 0.05)
        self.host.files.discard(link)
        if unit is not None:
            unit.masked = ""
        return Outcome(0, f'{text}Removed "{link}".\n', 0.1)

    def queue_job(self, unit: Unit, state: str) -> None:
        """A start of the unit is queued: `running` or `waiting`; a job that is there keeps its number."""
        if not unit.job:
            self.next_job += 1
            unit.job = self.next_job
        unit.job_state = state

    def finish_job(self, unit: Unit) -> None:
        """The unit's job is done or cancelled."""
        unit.job, unit.job_state = 0, ""
