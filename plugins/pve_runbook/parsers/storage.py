"""Storages: how they are configured, whether they are active, and what lies on them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from pve_runbook.facts.answers import NOT_INSTALLED, file_text, lines_of, only_missing_files, stdout_of, unread
from pve_runbook.facts.guests import Volume
from pve_runbook.facts.jsontext import parse_object
from pve_runbook.facts.output import Output, ParseError
from pve_runbook.facts.sections import Section, parse_sections

NETWORK_TYPES = frozenset({"nfs", "cifs", "cephfs", "rbd", "pbs", "iscsi", "iscsidirect", "glusterfs", "zfs", "esxi"})
"""Types that every node reaches over the network, so that they are shared without saying so ("zfs" is over
iSCSI)."""

FILE_TYPES = frozenset({"dir", "btrfs", "nfs", "cifs", "cephfs"})
"""Types whose volumes are files below a directory of the node."""

_MOUNTED_BELOW = frozenset({"nfs", "cifs", "cephfs", "glusterfs"})
_LOCAL_PATH = "/var/lib/vz"
_LOCAL_CONTENT = ("backup", "images", "iso", "rootdir", "snippets", "vztmpl")
_PVESM_ROW = re.compile(r"(?P<id>\S+)\s+(?P<type>\S+)\s+(?P<status>active|inactive|disabled)(\s+\d+){3}\s+\S+\s*")
_MOUNT_ESCAPE = re.compile(r"\\([0-7]{3})")
_FINDMNT_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_STOPPED = frozenset({"emergency_ro", "shutdown"})
_DF_ROW = re.compile(r"(?P<filesystem>\S.*?)\s+\d+\s+\d+\s+(?P<available>-?\d+)\s+(\d+%|-)\s+(?P<target>/.*)")
_ZFS_ABSENT = ("The ZFS modules are not loaded", "The ZFS modules cannot be auto-loaded")
_ZFS_NAME = re.compile(r"[A-Za-z][\w.:% /-]*")
_ZFS_EMPTY = ("no datasets available", "no pools available")


@dataclass(frozen=True, slots=True)
class Storage:
    """One storage of storage.cfg. `nodes` None means every node; `path` is where a storage of files lies."""

    id: str
    type: str
    path: str | None
    content: tuple[str, ...]
    nodes: tuple[str, ...] | None
    disabled: bool
    shared: bool
    options: dict[str, str]

    @property
    def is_shared(self) -> bool:
        """True if other nodes reach the same volumes: a guest could run twice from them."""
        return self.shared or self.type in NETWORK_TYPES

    def is_for(self, node: str) -> bool:
        """True if this node uses the storage."""
        return not self.disabled and (self.nodes is None or node in self.nodes)


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """One row of `pvesm status`: active, inactive or disabled (also: restricted to other nodes)."""

    id: str
    type: str
    status: str


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One mount, or the mount that a path lies on."""

    source: str
    target: str
    fstype: str
    options: tuple[str, ...]

    @property
    def is_writable(self) -> bool:
        """True unless mounted (or remounted after an error) read-only.

        From Linux 6.15 on ext4 that met an error, or was shut down, stays "rw" and says so behind it (fs/ext4/super.c,
        seen on 6.18).
        """
        return "rw" in self.options and not _STOPPED.intersection(self.options)


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """Space that is left, in KiB, on the filesystem mounted at `target`."""

    target: str
    available_kib: int
    filesystem: str


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    """One LVM volume; the percentages are those of a thin pool or thin volume, else None."""

    vg: str
    lv: str
    attr: str
    data_percent: float | None
    metadata_percent: float | None


def parse_storage_cfg(output: Output) -> dict[str, Storage] | None:
    """Read `cat /etc/pve/storage.cfg`; None if the file does not exist (it may, or nothing is mounted
    there)."""
    text = file_text(output, "cat /etc/pve/storage.cfg")
    return None if text is None else parse_storage_cfg_text(text)


def parse_storage_cfg_text(text: str) -> dict[str, Storage]:
    """The storages by id. "local" is a directory on every node, even if the file says otherwise or has it not
    at all (pve-storage Plugin.pm parse_config). Raises ParseError on a line of unknown form."""
    storages = {section.id: _storage(section) for section in parse_sections(text, "storage.cfg")}
    local = storages.get("local")
    if local is None or local.type != "dir" or local.path != _LOCAL_PATH:
        options = {"path": _LOCAL_PATH}
        storages["local"] = Storage("local", "dir", _LOCAL_PATH, _LOCAL_CONTENT, None, False, False, options)
    return storages


def _storage(section: Section) -> Storage:
    path = section.options.get("path")
    if path is None and section.id == "local":
        path = _LOCAL_PATH
    if path is None and section.type in _MOUNTED_BELOW:
        path = f"/mnt/pve/{section.id}"
    nodes = section.words("nodes") or None
    return Storage(
        id=section.id,
        type=section.type,
        path=path,
        content=section.words("content"),
        nodes=None if section.id == "local" else nodes,
        disabled=section.flag("disable", default=False),
        shared=section.flag("shared", default=False),
        options=section.options,
    )


def parse_pvesm_status(output: Output) -> dict[str, StorageStatus]:
    """Read `pvesm status`, with the header of any version ("Total" or "Total (KiB)"); complaints about single
    storages come on stderr with exit status 0 (pve-storage CLI/pvesm.pm). Raises ParseError if pmxcfs does
    not answer."""
    lines = [line for line in lines_of(stdout_of(output, "pvesm status")) if line.strip()]
    if not lines or lines[0].split()[:3] != ["Name", "Type", "Status"]:
        raise unread("pvesm status", output.stdout)
    storages: dict[str, StorageStatus] = {}
    for line in lines[1:]:
        match = _PVESM_ROW.fullmatch(line)
        if match is None:
            raise unread("pvesm status", line)
        storages[match["id"]] = StorageStatus(match["id"], match["type"], match["status"])
    return storages


def parse_proc_mounts(output: Output) -> tuple[MountPoint, ...]:
    """Read `cat /proc/mounts` (fstab(5) fields, blanks written as octal escapes)."""
    mounts: list[MountPoint] = []
    for line in lines_of(stdout_of(output, "cat /proc/mounts")):
        fields = [_MOUNT_ESCAPE.sub(lambda found: chr(int(found[1], 8)), field) for field in line.split(" ")]
        if len(fields) != 6:
            raise unread("cat /proc/mounts", line)
        mounts.append(MountPoint(fields[0], fields[1], fields[2], tuple(fields[3].split(","))))
    if not mounts:
        raise ParseError("cat /proc/mounts shows no mount at all.")
    return tuple(mounts)


def parse_findmnt_target(output: Output) -> MountPoint | None:
    """Read `findmnt -n -T PATH -o TARGET,OPTIONS,SOURCE,FSTYPE`: the mount that PATH lies on; None if there
    is no such path (exit status 1, silent)."""
    if output.exit_status == 1 and not output.stdout.strip() and not output.stderr.strip():
        return None
    lines = lines_of(stdout_of(output, "findmnt"))
    fields = [_FINDMNT_ESCAPE.sub(lambda found: chr(int(found[1], 16)), word) for word in " ".join(lines).split()]
    if len(lines) != 1 or len(fields) != 4:
        raise unread("findmnt", output.stdout)
    return MountPoint(fields[2], fields[0], fields[3], tuple(fields[1].split(",")))


def parse_df(output: Output) -> tuple[FreeSpace, ...]:
    """Read `df -Pk PATH...`: one entry for each path, in their order."""
    lines = lines_of(stdout_of(output, "df"))
    if not lines or not lines[0].startswith("Filesystem"):
        raise unread("df", output.stdout)
    spaces: list[FreeSpace] = []
    for line in lines[1:]:
        match = _DF_ROW.fullmatch(line.rstrip())
        if match is None:
            raise unread("df", line)
        spaces.append(FreeSpace(match["target"], int(match["available"]), match["filesystem"]))
    if not spaces:
        raise ParseError("df ended with exit status 0 but shows no filesystem.")
    return tuple(spaces)


def parse_lvs(output: Output) -> dict[tuple[str, str], LogicalVolume]:
    """Read `lvs --reportformat json -o vg_name,lv_name,lv_attr,data_percent,metadata_percent`: by the names of
    volume group and volume; {} without LVM."""
    if output.exit_status == NOT_INSTALLED:
        return {}
    volumes: list[LogicalVolume] = []
    for report in parse_object(stdout_of(output, "lvs"), "lvs").objects("report"):
        volumes += (
            LogicalVolume(
                vg=entry.text("vg_name"),
                lv=entry.text("lv_name"),
                attr=entry.text("lv_attr"),
                data_percent=entry.percent_or_none("data_percent"),
                metadata_percent=entry.percent_or_none("metadata_percent"),
            )
            for entry in report.objects("lv")
        )
    return {(volume.vg, volume.lv): volume for volume in volumes}


def parse_zfs_list(output: Output) -> frozenset[str]:
    """Read `zfs list -H -o name`: all datasets; none where ZFS is not installed or its module is not
    loaded."""
    lines = _zfs_lines(output, "zfs list")
    for line in lines:
        if not _ZFS_NAME.fullmatch(line):
            raise unread("zfs list", line)
    return frozenset(lines)


def parse_zpool_list(output: Output) -> dict[str, str]:
    """Read `zpool list -H -o name,health`: health ("ONLINE", "DEGRADED", ...) by pool; none without ZFS."""
    pools: dict[str, str] = {}
    for line in _zfs_lines(output, "zpool list"):
        name, tab, health = line.partition("\t")
        if not name or not tab or not health.isupper():
            raise unread("zpool list", line)
        pools[name] = health
    return pools


def _zfs_lines(output: Output, command: str) -> list[str]:
    if output.exit_status == NOT_INSTALLED:
        return []
    if output.exit_status == 1 and output.stderr.strip().startswith(_ZFS_ABSENT):
        return []
    return [line for line in lines_of(stdout_of(output, command)) if line not in _ZFS_EMPTY]


def parse_find(output: Output) -> frozenset[str]:
    """Read `find DIRECTORY... -maxdepth 2 -printf '%y %P\\n'`: files, links and directories below the
    directories, by their path relative to them. A directory that does not exist holds none (exit status
    1)."""
    if not (output.exit_status == 1 and only_missing_files(output)):
        stdout_of(output, "find")
    names: set[str] = set()
    for line in lines_of(output.stdout):
        letter, blank, name = line.partition(" ")
        if not blank or letter not in ("f", "l", "d", "b", "c", "p", "s"):
            raise unread("find", line)
        if name and letter in ("f", "l", "d"):
            names.add(name)
    if output.exit_status == 0 and not output.stdout:
        raise ParseError("find ended with exit status 0 but does not even show where it started.")
    return frozenset(names)


def volume_exists(
    volume: Volume,
    storage: Storage,
    *,
    lvs: Collection[tuple[str, str]] | None,
    zfs: Collection[str] | None,
    files: Collection[str] | None,
) -> bool:
    """True if the volume lies on its storage, judged by listings alone.

    `lvs`, `zfs` and `files` are what the node listed (`files`: those of this storage), None where that is
    unknown. A linked clone "base/clone" exists if the clone does. Layouts: pve-storage Plugin.pm,
    BTRFSPlugin.pm (a raw image is a directory without suffix), LVMPlugin.pm, ZFSPoolPlugin.pm. Raises
    ParseError if the listing for this type of storage is unknown, and for types that no listing shows.
    """
    parts = volume.name.split("/")
    if storage.type in FILE_TYPES and files is not None and len(parts) in (2, 4) and parts[-2].isdecimal():
        name = "/".join(parts[-2:])
        return (name.removesuffix(".raw") if storage.type == "btrfs" else name) in files
    if storage.type in ("lvm", "lvmthin") and lvs is not None:
        return (_option(storage, "vgname"), parts[-1]) in lvs
    if storage.type == "zfspool" and zfs is not None:
        return f"{_option(storage, 'pool')}/{parts[-1]}" in zfs
    raise ParseError(f"Nothing that was listed shows whether {volume.volid} exists (storage type {storage.type}).")


def _option(storage: Storage, key: str) -> str:
    if not storage.options.get(key):
        raise ParseError(f"storage.cfg: the storage {storage.id} has no {key!r}.")
    return storage.options[key]
