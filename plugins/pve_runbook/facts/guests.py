"""Guests: their configurations and volumes, their status, their processes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pve_runbook.facts.answers import excerpt, lines_of, stdout_of, unknown, unread
from pve_runbook.facts.output import Output, ParseError, Unsettled
from pve_runbook.facts.pmxcfs import parse_pgrep
from pve_runbook.facts.sections import yes_or_no

GuestKind = Literal["qemu", "lxc"]

_SECTION = re.compile(r"\[(?P<name>[^\]]+)\]\s*")
_LINE = re.compile(r"((?P<raw>lxc\.[\w.-]+)\s*[:=]|(?P<key>[A-Za-z][\w-]*):)\s*(?P<value>.*?)\s*")
_PENDING = frozenset({"pending", "pve:pending"})
_VOLUME_KEY = {
    "qemu": re.compile(r"(ide|sata|scsi|virtio|efidisk|tpmstate|unused)\d+|vmstate"),
    "lxc": re.compile(r"(mp|unused)\d+|rootfs"),
}
_VOLID = re.compile(r"(?P<storage>[A-Za-z][\w.-]*):(?P<name>[^\s:][^\s]*)")
_CLOUDINIT = re.compile(r"(.*/)?vm-\d+-cloudinit(\.\w+)?")
_QM_HEADER = ("VMID", "NAME", "STATUS", "MEM(MB)", "BOOTDISK(GB)", "PID")
_QM_ROW = re.compile(r"\s*(?P<vmid>\d+) (?P<name>.*?)\s+(?P<status>[a-z][a-z-]*)\s+[\d.]+\s+[\d.]+\s+(?P<pid>\d+)\s*")
_PCT_HEADER = ("VMID", "Status", "Lock", "Name")
_PROCESS = re.compile(r"/usr/bin/(?P<program>kvm -id|lxc-start -F -n) (?P<vmid>\d+)(?P<rest>\s.*)?")
_STAT = re.compile(r"(?P<pid>\d+) \(.*\) [A-Za-z] (?P<rest>[-\d ]+)")
_STAT_GONE = re.compile(r"cat: /proc/\d+/stat: (No such file or directory|No such process)")
_START_TIME = 18
"""Index of field 22 of proc_pid_stat(5) among the fields after the state."""


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume that a guest refers to. `volid` is "storage:name"; `snapshot` is None in the current and the
    pending configuration."""

    key: str
    storage: str
    name: str
    volid: str
    snapshot: str | None


@dataclass(frozen=True, slots=True)
class GuestConfig:
    """One guest's configuration file on the node that owns it; `sha256` is that of the file's bytes, and `unlocked`
    that of the file without the lock that an operation puts into it (qemu-server, AbstractConfig.pm set_lock)."""

    vmid: int
    node: str
    kind: GuestKind
    name: str
    onboot: bool
    lock: str | None
    template: bool
    volumes: tuple[Volume, ...]
    snapshots: tuple[str, ...]
    sha256: str
    unlocked: str


@dataclass(frozen=True, slots=True)
class GuestStatus:
    """One row of `qm list` or `pct list`; `pid` is None for a guest that is not running, and for every
    container."""

    vmid: int
    name: str
    status: str
    pid: int | None
    lock: str | None


@dataclass(frozen=True, slots=True)
class GuestProcess:
    """The process that is a running guest; `incoming` marks a VM that waits for its migration to this
    node."""

    vmid: int
    pid: int
    kind: GuestKind
    incoming: bool


@lru_cache(maxsize=16_384)
def parse_guest_config(vmid: int, node: str, kind: GuestKind, data: bytes) -> GuestConfig:
    """Read a guest's file as qemu-server's QemuConfig.pm and pve-container's LXC/Config.pm do.

    Volumes are those of the current configuration, of all snapshots and of pending changes, each once per
    snapshot. A file that was read before is not parsed again: every node's database holds every guest's. Raises
    ParseError on a line of unknown form and on a disk that names no volume.
    """
    section = ""
    values: dict[str, str] = {}
    volumes: list[Volume] = []
    snapshots: list[str] = []
    for number, line in enumerate(data.decode(errors="replace").split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        if header := _SECTION.fullmatch(line):
            section = header["name"]
            if not _is_internal(section):
                snapshots.append(section)
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ParseError(f"The configuration of guest {vmid} cannot be read: line {number}.")
        key = match["key"] or match["raw"]
        if not section:
            values[key] = match["value"]
        if _VOLUME_KEY[kind].fullmatch(key) and not section.startswith("special:"):
            snapshot = None if _is_internal(section) or not section else section
            volume = _volume(vmid, key, match["value"], snapshot)
            if volume is not None and volume not in volumes:
                volumes.append(volume)
    return GuestConfig(
        vmid=vmid,
        node=node,
        kind=kind,
        name=values.get("name" if kind == "qemu" else "hostname", ""),
        onboot=_flag(vmid, values, "onboot"),
        lock=values.get("lock"),
        template=_flag(vmid, values, "template"),
        volumes=tuple(volumes),
        snapshots=tuple(snapshots),
        sha256=hashlib.sha256(data).hexdigest(),
        unlocked=hashlib.sha256(_without_lock(data)).hexdigest(),
    )


def _without_lock(data: bytes) -> bytes:
    head, bracket, rest = data.partition(b"\n[")
    return re.sub(rb"(?m)^lock:[^\n]*(\n|\Z)", b"", head) + bracket + rest


def _is_internal(section: str) -> bool:
    return section.lower() in _PENDING or section.startswith("special:")


def _flag(vmid: int, values: dict[str, str], key: str) -> bool:
    flag = yes_or_no(values.get(key, "0"))
    if flag is None:
        raise ParseError(f"The configuration of guest {vmid} has {key}: {values[key]!r}, neither yes nor no.")
    return flag


def _volume(vmid: int, key: str, value: str, snapshot: str | None) -> Volume | None:
    """The volume of one disk line; None for an empty drive, an ISO image, and what is passed through from the
    node."""
    parts = value.split(",")
    named = [part.partition("=")[2] for part in parts if part.startswith(("file=", "volume="))]
    volid = named[0] if named else parts[0]
    if volid in ("none", "cdrom") or volid.startswith("/"):
        return None
    match = _VOLID.fullmatch(volid)
    if match is None:
        raise ParseError(f"The configuration of guest {vmid} has {key}: {excerpt(value)!r}, which names no volume.")
    if "media=cdrom" in parts and not _CLOUDINIT.fullmatch(match["name"]):
        return None
    return Volume(key, match["storage"], match["name"], volid, snapshot)


def parse_qm_list(output: Output) -> dict[int, GuestStatus]:
    """Read `qm list [--full]`: this node's VMs; {} if it prints nothing, as it does without VMs (recorded on
    PVE 8.3).

    A VM without a name is shown as "VM 100" (qemu-server CLI/qm.pm). Raises ParseError if pmxcfs does not
    answer.
    """
    guests: dict[int, GuestStatus] = {}
    for line in _rows(output, "qm list", _QM_HEADER):
        match = _QM_ROW.fullmatch(line)
        if match is None:
            raise unread("qm list", line)
        vmid = int(match["vmid"])
        guests[vmid] = GuestStatus(vmid, match["name"].strip(), match["status"], int(match["pid"]) or None, None)
    return guests


def parse_pct_list(output: Output) -> dict[int, GuestStatus]:
    """Read `pct list`: this node's containers; {} if it prints nothing. The lock column may be blank.

    Raises ParseError if pmxcfs does not answer.
    """
    guests: dict[int, GuestStatus] = {}
    for line in _rows(output, "pct list", _PCT_HEADER):
        fields = line.split()
        if len(fields) not in (3, 4) or not fields[0].isdecimal():
            raise unread("pct list", line)
        vmid = int(fields[0])
        lock = fields[2] if len(fields) == 4 else None
        guests[vmid] = GuestStatus(vmid, fields[-1], fields[1], None, lock)
    return guests


def _rows(output: Output, command: str, header: tuple[str, ...]) -> list[str]:
    lines = [line for line in lines_of(stdout_of(output, command)) if line.strip()]
    if lines and tuple(lines[0].split()) != header:
        raise unread(command, lines[0])
    return lines[1:]


def parse_guest_processes(output: Output) -> dict[int, GuestProcess]:
    """Read `pgrep -af` of the guests' programs, by guest id.

    Raises Unsettled if two processes are one guest: while a VM starts, there is the one that `-daemonize` leaves to
    wait until the other is ready (qemu os-posix.c; seen while a node started its guests).
    """
    guests: dict[int, GuestProcess] = {}
    for process in parse_pgrep(output):
        match = _PROCESS.fullmatch(process.args)
        if match is None:
            raise unread("pgrep", process.args)
        vmid = int(match["vmid"])
        if vmid in guests:
            raise Unsettled(f"Two processes are guest {vmid}: pid {guests[vmid].pid} and pid {process.pid}.")
        incoming = " -incoming " in (match["rest"] or "")
        kind: GuestKind = "qemu" if match["program"].startswith("kvm") else "lxc"
        guests[vmid] = GuestProcess(vmid, process.pid, kind, incoming)
    return guests


def parse_proc_stats(output: Output) -> dict[int, int]:
    """Read `cat /proc/PID/stat ...`: start time in clock ticks since boot (field 22 of proc_pid_stat(5)), by
    pid.

    A process that ended meanwhile has no entry (exit status 1); every other complaint raises ParseError.
    """
    complaints = [line for line in lines_of(output.stderr) if line.strip()]
    expected_status = 1 if complaints else 0
    if output.exit_status != expected_status or not all(map(_STAT_GONE.fullmatch, complaints)):
        raise unknown(output, "cat /proc/PID/stat")
    starts: dict[int, int] = {}
    for line in lines_of(output.stdout):
        match = _STAT.fullmatch(line)
        fields = match["rest"].split() if match else []
        if match is None or len(fields) <= _START_TIME:
            raise unread("cat /proc/PID/stat", line)
        starts[int(match["pid"])] = int(fields[_START_TIME])
    return starts
