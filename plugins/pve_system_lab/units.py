"""The unit files of a node: Proxmox's relations between services, with stand-ins for the programs.

Relations from pve-cluster, pve-manager and pve-ha-manager (their debian/ and services/ folders), as of PVE 8; those of
the units that 9 has more of, recorded on PVE 9.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from pve_system_lab.inventory import EXPORT, NAS

LIBRARY = "/usr/lib/pve-syslab"
"""Where a node sees this package."""
HELPERS = "/usr/share/pve-manager/helpers"
RELOADS = "/var/log/ifreload"
"""A line for each time that the network of a node was reloaded."""
_WANTED = "WantedBy=multi-user.target"


@dataclass(frozen=True)
class Service:
    """One service; `start` is what it runs, by default a process of its name that does nothing."""

    name: str
    description: str
    unit: tuple[str, ...] = ()
    service: tuple[str, ...] = ()
    install: str = _WANTED

    @property
    def idle(self) -> bool:
        """Whether a process that only has the right name stands in for it."""
        return not any(line.startswith("ExecStart=") for line in self.service)

    @property
    def text(self) -> str:
        """The unit file."""
        start = (f"ExecStart=/usr/bin/{self.name}",) if self.idle else ()
        sections = [("Unit", (f"Description={self.description}", *self.unit)), ("Service", (*start, *self.service))]
        if self.install:
            sections.append(("Install", (self.install,)))
        return "\n\n".join("\n".join((f"[{name}]", *lines)) for name, lines in sections) + "\n"


def _cluster_daemon(name: str, description: str, *more: str, service: tuple[str, ...] = ()) -> Service:
    unit = ("Wants=pve-cluster.service", "After=pve-cluster.service", *more)
    return Service(name, description, unit, service)


_HA = ("Wants=watchdog-mux.service pvedaemon.service", "After=corosync.service pvedaemon.service watchdog-mux.service")

SERVICES = (
    Service(
        "pve-cluster",
        "The Proxmox VE cluster filesystem",
        (
            "Wants=corosync.service",
            "Before=corosync.service cron.service shutdown.target",
            "After=network.target sys-fs-fuse-connections.mount",
            "DefaultDependencies=no",
            "Conflicts=shutdown.target",
        ),
        (
            "ExecStart=/usr/bin/pmxcfs",
            "KillMode=mixed",
            "TimeoutStopSec=10",
            "Type=forking",
            "PIDFile=/run/pve-cluster.pid",
        ),
    ),
    _cluster_daemon("pvedaemon", "PVE API Daemon", "Wants=corosync.service", "After=corosync.service"),
    _cluster_daemon(
        "pveproxy",
        "PVE API Proxy Server",
        "Wants=pvedaemon.service ssh.service",
        "After=pvedaemon.service ssh.service",
        service=("ExecStartPre=-/usr/bin/pvecm updatecerts --silent", "ExecStart=/usr/bin/pveproxy"),
    ),
    _cluster_daemon("pvestatd", "PVE Status Daemon", service=("ExecStart=/usr/bin/pvestatd",)),
    Service("spiceproxy", "PVE SPICE Proxy Server", ("Wants=pveproxy.service", "After=pveproxy.service")),
    _cluster_daemon("pvescheduler", "Proxmox VE scheduler", "After=pve-guests.service", service=("KillMode=process",)),
    _cluster_daemon("pve-firewall", "Proxmox VE firewall"),
    Service(
        "pve-syslab-nas",
        "The nas, a stand-in for NFS",
        ("Before=pve-guests.service",),
        ("Type=forking", f"ExecStart=/usr/bin/bindfs -o subtype=nas {EXPORT} {NAS}"),
    ),
    Service("watchdog-mux", "Proxmox VE watchdog multiplexer", install=""),
    _cluster_daemon("pve-ha-crm", "PVE Cluster HA Resource Manager Daemon", *_HA, service=("TimeoutStopSec=65",)),
    _cluster_daemon(
        "pve-ha-lrm",
        "PVE Local HA Resource Manager Daemon",
        *_HA,
        "Wants=pve-ha-crm.service",
        "After=pve-ha-crm.service pveproxy.service ssh.service",
        service=("TimeoutStopSec=infinity", "KillMode=process"),
    ),
    Service(
        "pve-guests",
        "PVE guests",
        (
            "RefuseManualStart=true",
            "RefuseManualStop=true",
            "Wants=pvestatd.service pveproxy.service spiceproxy.service pve-firewall.service",
            "After=pveproxy.service pvestatd.service spiceproxy.service pve-firewall.service",
            "After=pve-ha-crm.service pve-ha-lrm.service",
        ),
        (
            "Type=oneshot",
            "RemainAfterExit=yes",
            "TimeoutSec=infinity",
            "ExecStart=/usr/bin/pvesh create /nodes/localhost/startall",
        ),
    ),
)

COMMITS = ("pve-sdn-commit", "pve-firewall-commit")


def _commit(name: str, what: str, *more: str) -> Service:
    """Waits for quorum, then acts: no end of its own to the wait, no ordering before anything (recorded on PVE 9.1)."""
    unit = ("DefaultDependencies=no", "Wants=pve-cluster.service", "After=corosync.service", *more)
    service = ("Type=oneshot", "RemainAfterExit=yes", f"ExecStart={HELPERS}/{name}")
    return Service(name, f"Commit Proxmox VE {what} changes", unit, service)


_SINCE_9 = (
    _commit(COMMITS[0], "SDN", "Wants=network.target", "After=frr.service network.target"),
    _commit(COMMITS[1], "Firewall"),
)


def services(pve: int) -> tuple[Service, ...]:
    """The services of a node of that release of PVE."""
    return (*SERVICES, *_SINCE_9) if pve >= 9 else SERVICES


COROSYNC_DROP_IN = "[Unit]\nConditionPathExists=/etc/corosync/corosync.conf\n"
"""What Proxmox's corosync has, and Debian's has not (corosync-pve, 0002-only-start-corosync.service-if-conf-exists)."""

TOOLS = ("pvecm", "qm", "pct", "pvesm", "pvesh", "ha-manager", "pveversion")
MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"),
    *("e2scrub_reap.service", "systemd-pstore.service", "console-getty.service", "getty.target"),
    *("lvm2-monitor.service", "lvm2-lvmpolld.socket", "dm-event.socket", "blk-availability.service"),
    *("nftables.service", "systemd-networkd.service", "systemd-resolved.service"),
)
"""Units of Debian that a node has no use for."""
