"""Guests: their configurations and volumes, their status, their processes."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from pve_runbook.parsers.devices.of_processes import drives_over_the_network
from pve_runbook.parsers.output import (
    Output,
    ParseError,
    Skipped,
    Unsettled,
    excerpt,
    lines_of,
    only_missing_files,
    stdout_of,
    unknown,
    unread,
)
from pve_runbook.parsers.pmxcfs import parse_pgrep
from pve_runbook.parsers.section_config import yes_or_no

GuestKind = Literal["qemu", "lxc"]

FOLDERS: dict[GuestKind, str] = {"qemu": "qemu-server", "lxc": "lxc"}
"""Where the configurations of each kind lie, below a node's own folder."""

_SECTION = re.compile(r"\[(?P<name>[^\]]+)\]\s*")
_LINE = re.compile(r"((?P<raw>lxc\.[\w.-]+)\s*[:=]|(?P<key>[A-Za-z][\w-]*):)\s*(?P<value>.*?)\s*")
_FLAGS = frozenset({"onboot", "template"})
_PENDING = frozenset({"pending", "pve:pending"})
_VOLUME_KEY = {
    "qemu": re.compile(r"(ide|sata|scsi|virtio|efidisk|tpmstate|unused)\d+|vmstate"),
    "lxc": re.compile(r"(mp|unused)\d+|rootfs"),
}
_VOLID = re.compile(r"(?P<storage>[A-Za-z](?:[\w.-]*[A-Za-z0-9])?):(?P<name>\S(?:.*\S)?)")
"""pve-storage, Storage.pm, parse_volume_id: any character may stand in a volume's name."""
_CLOUDINIT = re.compile(r"(.*/)?vm-\d+-cloudinit(\.\w+)?")
_ISO = re.compile(r"iso/[^/]+\.(iso|img)", re.IGNORECASE)
_OF_THE_PROCESS = re.compile(r"(ide|sata|scsi|virtio|efidisk|mp)\d+|rootfs")
_QM_HEADER = ("VMID", "NAME", "STATUS", "MEM(MB)", "BOOTDISK(GB)", "PID")
_QM_ROW = re.compile(r"\s*(?P<vmid>\d+) (?P<name>.*?)\s+(?P<status>[a-z][a-z-]*)\s+[\d.]+\s+[\d.]+\s+(?P<pid>\d+)\s*")
_PCT_HEADER = ("VMID", "Status", "Lock", "Name")
GUEST_PROGRAMS = (
    r"^((/usr/bin/)?(kvm|qemu-system-[a-z0-9_]+) -id [0-9]+"
    r"|(/usr/bin/)?lxc-start (.* )?(-F?n ?|--name[ =])[0-9]+"
    r"|\[lxc monitor\] /var/lib/lxc [0-9]+)( |$)"
)
"""How the process of a guest begins, for `pgrep -f`: QEMU of any architecture (qemu-server, QemuServer.pm), a container
in the foreground as its unit or a person starts it, and one that a person started into the background (lxc)."""
_PROCESS = re.compile(
    r"(?P<qemu>(?:/usr/bin/)?(?:kvm|qemu-system-[a-z0-9_]+) -id (?P<vm>\d+))(?P<rest> .*)?"
    r"|(?P<lxc>(?:/usr/bin/)?lxc-start (?:-F (?=-n ))?)(?:.* )?(?:-F?n ?|--name[ =])(?P<ct>\d+)(?: .*)?"
    r"|(?P<monitor>\[lxc monitor\] /var/lib/lxc )(?P<background>\d+)"
)
_PID_FILE = re.compile(r"([0-9]{1,9})\.pid")
_NUMBER = re.compile(r"[0-9]{1,9}")
_STAT = re.compile(r"(?P<pid>\d+) \(.*\) [A-Za-z] (?P<rest>[-\d ]+)")
_STAT_GONE = re.compile(r"cat: /proc/\d+/stat: (No such file or directory|No such process)")
_START_TIME = 18
"""Index of field 22 of proc_pid_stat(5) among the fields after the state."""


class Volume(Struct, frozen=True):
    """One volume that a guest refers to. `volid` is "storage:name"; `snapshot` is None in the current and the
    pending configuration."""

    key: str
    storage: str
    name: str
    volid: str
    snapshot: str | None

    @property
    def is_iso(self) -> bool:
        """A file of template/iso: no guest's own, whatever it is attached as (pve-storage, Plugin.pm parse_volname)."""
        return _ISO.fullmatch(self.name) is not None

    @property
    def may_be_gone(self) -> bool:
        """Nothing is lost with it: an unused disk, an ISO file, or a cloud-init drive, which is made anew at the next
        start (qemu-server, Cloudinit.pm)."""
        return self.key.startswith("unused") or self.is_iso or _CLOUDINIT.fullmatch(self.name) is not None

    @property
    def is_worked_on(self) -> bool:
        """A guest that runs has it open itself: no snapshot's, and not the TPM's, which swtpm has."""
        return self.snapshot is None and not self.may_be_gone and _OF_THE_PROCESS.fullmatch(self.key) is not None


class GuestConfig(Struct, frozen=True):
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
    skipped: tuple[Skipped, ...] = ()
    """Lines that Proxmox passes over with a warning."""


class GuestStatus(Struct, frozen=True):
    """One row of `qm list` or `pct list`; `pid` is None for a guest that is not running, and for every
    container."""

    vmid: int
    name: str
    status: str
    pid: int | None
    lock: str | None


class GuestProcess(Struct, frozen=True):
    """The process that is a running guest; `incoming` marks a VM that waits for its migration to this
    node."""

    vmid: int
    pid: int
    kind: GuestKind
    incoming: bool
    drives: tuple[tuple[str, str], ...] = ()
    """(key, address) of the disks that it reaches without a device of the node."""


@lru_cache(maxsize=16_384)
def parse_guest_config(vmid: int, node: str, kind: GuestKind, data: bytes) -> GuestConfig:
    """Read a guest's file as qemu-server's QemuServer.pm (parse_vm_config) and pve-container's LXC/Config.pm do.

    Volumes are those of the current configuration, of all snapshots and of pending changes, each once per
    snapshot. A line that Proxmox passes over is passed over, and told; a disk that names no volume stays one, of
    no storage: nothing shows that it is there. A file that was read before is not parsed again: every node's
    database holds every guest's.
    """
    section = ""
    values: dict[str, str] = {}
    volumes: list[Volume] = []
    snapshots: list[str] = []
    skipped: list[Skipped] = []
    file = f"/etc/pve/nodes/{node}/{FOLDERS[kind]}/{vmid}.conf"
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
            skipped.append(Skipped(file, number, "Proxmox cannot read it, and passes it over"))
            continue
        key = match["key"] or match["raw"]
        if not section and key in _FLAGS and yes_or_no(match["value"]) is None:
            skipped.append(Skipped(file, number, f"{key} is neither yes nor no, and Proxmox passes it over"))
            continue
        if not section:
            values[key] = match["value"]
        if _VOLUME_KEY[kind].fullmatch(key) and not section.startswith("special:"):
            snapshot = None if _is_internal(section) or not section else section
            try:
                volume = _volume(vmid, key, match["value"], snapshot)
            except ParseError:
                skipped.append(Skipped(file, number, f"{key} names no volume"))
                volume = Volume(key, "", match["value"], f"what {key} names", snapshot)
            if volume is not None and volume not in volumes:
                volumes.append(volume)
    return GuestConfig(
        vmid=vmid,
        node=node,
        kind=kind,
        name=values.get("name" if kind == "qemu" else "hostname", ""),
        onboot=yes_or_no(values.get("onboot", "0")) is True,
        lock=values.get("lock"),
        template=yes_or_no(values.get("template", "0")) is True,
        volumes=tuple(volumes),
        snapshots=tuple(snapshots),
        sha256=hashlib.sha256(data).hexdigest(),
        unlocked=hashlib.sha256(_without_lock(data)).hexdigest(),
        skipped=tuple(skipped),
    )


def _without_lock(data: bytes) -> bytes:
    head, bracket, rest = data.partition(b"\n[")
    return re.sub(rb"(?m)^lock:[^\n]*(\n|\Z)", b"", head) + bracket + rest


def _is_internal(section: str) -> bool:
    return section.lower() in _PENDING or section.startswith("special:")


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
            raise unread("pgrep", process.args.partition(" ")[0])
        vmid = int(match["vm"] or match["ct"] or match["background"])
        if vmid in guests:
            raise Unsettled(f"Two processes are guest {vmid}: pid {guests[vmid].pid} and pid {process.pid}.")
        incoming = " -incoming " in (match["rest"] or "")
        drives = drives_over_the_network(match["rest"] or "")
        guests[vmid] = GuestProcess(vmid, process.pid, "qemu" if match["vm"] else "lxc", incoming, drives)
    return guests


def parse_pid_files(output: Output) -> dict[int, int]:
    """Read `grep -rH` over the `VMID.pid` files of /run/qemu-server: the pid in each, by VMID; {} if there is none.

    Files of a VM's helpers (`VMID.swtpm.pid`) are passed over; one that goes away meanwhile is not there. Raises
    ParseError.
    """
    if output.exit_status == 1 and not output.stdout and not output.stderr:
        return {}
    if output.exit_status == 2 and only_missing_files(output):
        output = Output(output.stdout, "", 0)
    elif not output.stdout:
        raise unknown(output, "grep of the pid files")
    pids: dict[int, int] = {}
    for line in lines_of(stdout_of(output, "grep of the pid files")):
        file, _, text = line.partition(":")
        name = file.rpartition("/")[2]
        if not line or re.fullmatch(r"[0-9]+\.\S+\.pid", name):
            continue
        vmid, pid = _PID_FILE.fullmatch(name), _NUMBER.fullmatch(text)
        if vmid is None or pid is None:
            raise unread("grep of the pid files", line)
        pids[int(vmid[1])] = int(pid[0])
    return pids


def guest_program(args: str) -> str:
    """What may be told of a guest's command line: its program and its id; the rest holds whatever `args:` in its config
    says. "" for any other command line."""
    match = _PROCESS.fullmatch(args)
    if match is None:
        return ""
    if match["qemu"]:
        return match["qemu"]
    return f"{match['lxc']}-n {match['ct']}" if match["ct"] else args


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
