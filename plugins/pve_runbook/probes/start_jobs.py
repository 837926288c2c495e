"""Starts that wait in systemd's queue, told apart by what they do to a node once it has quorum.

A node that booted without quorum is `starting` until it has some: its job list is never empty (recorded on PVE 9.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pve_runbook.parsers.systemd import Job
from pve_runbook.parsers.tasks import parse_task_processes
from pve_runbook.probes.probe import Probe

GUESTS, SCHEDULER = "pve-guests.service", "pvescheduler.service"
SDN_COMMIT, FIREWALL_COMMIT = "pve-sdn-commit.service", "pve-firewall-commit.service"
COMMITS = (SDN_COMMIT, FIREWALL_COMMIT)
"""They loop until /etc/pve is writable. The first one then runs `ifreload -a` where SDN changes are pending, and with
it goes whatever was edited in /etc/network/interfaces (recorded on PVE 9.1)."""
KNOWN = (GUESTS, SCHEDULER, *COMMITS, "pve-ha-lrm.service", "pve-ha-crm.service")
"""What acts, and that a run knows: it holds each of them, or asks about it."""
_HARMLESS = re.compile(
    # What a boot ends with, a login or a scope begins with, a device that is waited for: nothing of it acts.
    r".*\.(target|device|slice|scope)"
    r"|(user|user-runtime-dir|getty|serial-getty|sshd?)@.*\.service"
    r"|(systemd-update-utmp(-runlevel)?|systemd-logind|plymouth-quit(-wait)?|systemd-tmpfiles-clean)\.service"
    # Debian's own housekeeping.
    r"|(apt-daily|dpkg-db-backup|e2scrub_(all|reap)|fstrim|logrotate|man-db)\.service"
    # Proxmox's API: its start waits up to 80 s for quorum, and serves then.
    r"|(pveproxy|spiceproxy|pvedaemon|pvestatd|pvebanner|pve-cluster|corosync)\.service"
    # The tool's own commands: a gate of their own waits for them.
    r"|pve-runbook-.*\.service"
)


HELD = Probe(
    "startall_held",
    ("pgrep", "-a", "-r", "T", "-f", "^task UPID:.*:startall:"),
    parse_task_processes,
    "whether the start of all guests is held: it would start them as soon as there is quorum",
)
PROBES: tuple[Probe[object], ...] = (HELD,)


def starts(jobs: Iterable[Job]) -> tuple[Job, ...]:
    """The jobs that end in a start."""
    return tuple(j for j in jobs if j.type in ("start", "restart"))


def is_known(unit: str) -> bool:
    """Whether it is known what the start of ``unit`` does once there is quorum."""
    return unit in KNOWN or _HARMLESS.fullmatch(unit) is not None
