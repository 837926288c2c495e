"""The probe of what Proxmox itself takes for the process of a VM."""

from __future__ import annotations

from pve_runbook.parsers import guests
from pve_runbook.probes.probe import Probe

PID_FILES = Probe(
    "pid_files",
    ("grep", "-rH", "--include=[0-9]*.pid", "", "/run/qemu-server"),
    guests.parse_pid_files,
    "which process Proxmox takes for each VM (qemu-server, QemuServer/Helpers.pm): the one that was found, or another",
)
PROBES: tuple[Probe[object], ...] = (PID_FILES,)
