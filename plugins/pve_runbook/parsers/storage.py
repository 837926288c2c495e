"""Storages: how they are configured, whether they are active, what lies on them, and what state they are in.

What `vgs`, `zfs get`, `iscsiadm` and `ceph -s` say of the state is said without mounting, importing or logging in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Literal

from msgspec import Struct

from pve_runbook.parsers.json_objects import parse_object
from pve_runbook.parsers.output import (
    NOT_INSTALLED,
    Output,
    ParseError,
    file_text,
    lines_of,
    only_missing_files,
    stdout_of,
    unread,
)
from pve_runbook.parsers.section_config import Section, parse_sections

NETWORK_TYPES = frozenset({"nfs", "cifs", "cephfs", "rbd", "pbs", "iscsi", "iscsidirect", "glusterfs", "zfs", "esxi"})
"""Types that every node reaches over the network, so that they are shared without saying so ("zfs" is over
iSCSI)."""

FILE_TYPES = frozenset({"dir", "btrfs", "nfs", "cifs", "cephfs", "glusterfs"})
"""Types whose volumes are files below a directory of the node."""

_SUBDIRECTORIES = {"images": "images", "iso": "template/iso"}
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
_SESSION = re.compile(r"\S+ \[\d+\] \S+ (?P<target>\S+)( \(.*\))?")
_NO_SESSION = 21
"""Exit status of iscsiadm: no objects were found (open-iscsi, iscsiadm(8))."""
_NO_DATASET = "dataset does not exist"


class Storage(Struct, frozen=True):
    """One storage of storage.cfg. `nodes` None means every node; `path` is where a storage of files lies."""

    id: str
    type: str
    path: str | None
    content: tuple[str, ...]
    nodes: tuple[str, ...] | None
    disabled: bool
    shared: bool
    options: dict[str, str]

    def directory(self, content: Literal["images", "iso"]) -> str | None:
        """Where a storage of files has its disks or ISO files; content-dirs may name another place (pve-storage,
        Plugin.pm get_subdir)."""
        if self.path is None:
            return None
        named = dict(part.strip().partition("=")[::2] for part in self.options.get("content-dirs", "").split(","))
        return f"{self.path.rstrip('/')}/{named.get(content, _SUBDIRECTORIES[content]).strip('/')}"

    @property
    def has_own_layout(self) -> bool:
        """Whether guests' disks lie elsewhere than in images/."""
        return self.path is not None and self.directory("images") != f"{self.path.rstrip('/')}/images"

    @property
    def is_shared(self) -> bool:
        """True if other nodes reach the same volumes: a guest could run twice from them."""
        return self.shared or self.type in NETWORK_TYPES

    def is_for(self, node: str) -> bool:
        """True if this node uses the storage."""
        return not self.disabled and (self.nodes is None or node in self.nodes)


class StorageStatus(Struct, frozen=True):
    """One row of `pvesm status`: active, inactive or disabled (also: restricted to other nodes)."""

    id: str
    type: str
    status: str


class MountPoint(Struct, frozen=True):
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


class FreeSpace(Struct, frozen=True):
    """Space that is left, in KiB, on the filesystem mounted at `target`."""

    target: str
    available_kib: int
    filesystem: str


class LogicalVolume(Struct, frozen=True):
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


class Health(Struct, frozen=True):
    """What `ceph -s` says: HEALTH_OK, HEALTH_WARN or HEALTH_ERR, and the names of what it complains of."""

    status: str
    checks: tuple[str, ...]


def parse_vgs(output: Output) -> dict[str, str]:
    """Read `vgs --reportformat json -o vg_name,vg_attr`: attributes by volume group; none without LVM. The first
    letter is w (writable) or r, the fourth p where disks are missing (vgs(8))."""
    if output.exit_status == NOT_INSTALLED:
        return {}
    reports = parse_object(stdout_of(output, "vgs"), "vgs").objects("report")
    return {g.text("vg_name"): g.text("vg_attr") for report in reports for g in report.objects("vg")}


def parse_zfs_get(output: Output) -> Mapping[str, str] | None:
    """Read `zfs get -H -o property,value PROPERTIES DATASET`; None when there is no such dataset."""
    if output.exit_status == 1 and _NO_DATASET in output.stderr:
        return None
    found: dict[str, str] = {}
    for line in lines_of(stdout_of(output, "zfs get")):
        name, tab, value = line.partition("\t")
        if not tab:
            raise unread("zfs get", line)
        found[name] = value
    if not found:
        raise ParseError("zfs get ended with exit status 0 but shows no property.")
    return found


def parse_iscsi_sessions(output: Output) -> frozenset[str]:
    """Read `iscsiadm -m session`: the targets that this node is logged in to; none where iSCSI is not installed."""
    if output.exit_status in (NOT_INSTALLED, _NO_SESSION):
        return frozenset()
    targets = set()
    for line in lines_of(stdout_of(output, "iscsiadm")):
        match = _SESSION.fullmatch(line)
        if match is None:
            raise unread("iscsiadm", line)
        targets.add(match["target"])
    if not targets:
        raise ParseError("iscsiadm ended with exit status 0 but shows no session.")
    return frozenset(targets)


def parse_ceph_status(output: Output) -> Health:
    """Read `ceph -s -f json`. Raises ParseError where no monitor answers."""
    health = parse_object(stdout_of(output, "ceph -s"), "ceph -s").object("health")
    return Health(health.text("status"), tuple(sorted(health.object("checks").names())))


def parse_rbd_ls(output: Output) -> frozenset[str]:
    """Read `rbd ls --format json`: the images of a pool. Raises ParseError where no monitor answers, or none lets the
    key in."""
    text = stdout_of(output, "rbd ls")
    try:
        names = json.loads(text)
    except ValueError:
        raise unread("rbd ls", text) from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise unread("rbd ls", output.stdout)
    return frozenset(names)


def rbd_options(storage: Storage, ceph_files: Collection[str]) -> str:
    """How the plugin reaches this storage's pool, as options of rbd, separated by blanks (pve-storage, RBDPlugin.pm
    rbd_cmd, CephConfig.pm ceph_connect_option); `ceph_files` are the names in /etc/pve/priv/ceph."""
    folder, options = "/etc/pve/priv/ceph", storage.options
    monitors = options.get("monhost")
    own = f"{storage.id}.conf" in ceph_files
    keyring = f"{storage.id}.keyring"
    found = [f"--pool={options.get('pool') or 'rbd'}"]
    if "namespace" in options:
        found.append(f"--namespace={options['namespace']}")
    if monitors is None or own:
        found.append(f"--conf={'/etc/pve/ceph.conf' if monitors is None else f'{folder}/{storage.id}.conf'}")
    if monitors is not None:
        found.append(f"--mon_host={','.join(re.split(r'[ ,;]+', monitors.strip()))}")
    found.append(f"--auth_supported={'cephx' if keyring in ceph_files else 'none'}")
    found.append(f"--name=client.{options.get('username') or 'admin'}")
    if keyring in ceph_files:
        found.append(f"--keyring={folder}/{keyring}")
    return " ".join(found)
