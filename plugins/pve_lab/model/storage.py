"""Storages of one node: mounts, volumes, and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pve_lab.formats.storage_cfg import Storage, parse_storage_cfg
from pve_lab.model.file_answers import Hung
from pve_lab.model.host import Host
from pve_lab.model.pmxcfs import Pmxcfs

LVM = ("lvm", "lvmthin")
NAMED = {
    "rbd": "/dev/rbd/{pool}/{name}",
    "iscsi": "/dev/disk/by-id/{name}",
    "drbd": "/dev/drbd/by-res/{name}/0",
    "zfs": "iscsi:{name}",
}
"""Kind of storage whose volumes are names alone → where one is reached."""


def own_name(storage: Storage, name: str) -> str:
    """What a volume is called where it lies: CHANNEL.ID.LUN.NAME on iSCSI, BASE/NAME for a clone."""
    return name.split(".", 3)[-1] if storage.kind == "iscsi" else name.rpartition("/")[2]


@dataclass
class Mount:
    """One line of /proc/mounts; sizes in KiB."""

    target: str
    source: str
    fstype: str
    options: str
    total: int = 0
    used: int = 0


class Storages:
    """What one node sees of its storages."""

    def __init__(self, host: Host, pmxcfs: Pmxcfs) -> None:
        self.host = host
        self.pmxcfs = pmxcfs
        self.inactive: set[str] = set()
        self.groups = {"pve": "wz--n-"}
        """LVM's volume group → attributes."""
        self.logical_volumes: list[str] = []
        self.volume_attributes: dict[str, tuple[str, str, str]] = {}
        """Of volumes that are not as usual: attributes, percent of data and of metadata."""
        self.datasets: list[str] = []
        self.pools = {"tank": "ONLINE"}
        """ZFS pool → health."""
        self.mounts: list[Mount] = []
        self.ceph_health = "HEALTH_OK"
        self.images: dict[str, list[str]] = {}
        """Storage that is neither LVM, ZFS nor files → the names that its volumes have there."""
        self.sessions: list[str] = []
        """Targets of iSCSI that the node is logged in to."""
        self.pools_silent_until = 0.0
        """Model time until which no monitor of Ceph answers."""
        self.pools_refuse = False
        """Whether the monitors of Ceph let nobody in."""

    def all(self) -> Sequence[Storage]:
        """The storages of storage.cfg; without one there is the default `local`."""
        text = self.pmxcfs.database.text("storage.cfg")
        return parse_storage_cfg(text) or [
            Storage("local", "dir", {"path": "/var/lib/vz", "content": "iso,vztmpl,backup"})
        ]

    def find(self, ident: str) -> Storage | None:
        """The storage of that name."""
        return next((s for s in self.all() if s.ident == ident), None)

    def enabled(self, storage: Storage) -> bool:
        """Whether it is to be used on this node."""
        nodes = storage.settings.get("nodes", "")
        return storage.settings.get("disable") != "1" and (not nodes or self.host.hostname in nodes.split(","))

    def active(self, storage: Storage) -> bool:
        """Whether it answers on this node."""
        if storage.ident in self.inactive or not self.enabled(storage):
            return False
        return not storage.path or storage.path not in self.host.files.hung

    def path_of(self, volume: str) -> str | None:
        """Where a volume would be (`pvesm path`), None for an unknown storage."""
        ident, _, name = volume.partition(":")
        storage = self.find(ident)
        if storage is None:
            return None
        if storage.kind in LVM:
            return f"/dev/{storage.settings['vgname']}/{name}"
        if storage.kind == "zfspool":
            pool = storage.settings["pool"]
            return f"/{pool}/{name}" if name.startswith("subvol-") else f"/dev/zvol/{pool}/{name}"
        if storage.kind in NAMED:
            return NAMED[storage.kind].format(name=own_name(storage, name), pool=storage.settings.get("pool", "rbd"))
        if name.startswith("iso/"):
            return f"{storage.path}/template/{name}"
        return f"{storage.path}/{storage.images}/{name}" if name[:1].isdigit() else f"{storage.path}/{name}"

    def volume_exists(self, volume: str) -> bool:
        """Whether the node has the volume now."""
        ident, _, name = volume.partition(":")
        storage = self.find(ident)
        path = self.path_of(volume)
        if storage is None or path is None or not self.active(storage):
            return False
        if storage.kind in LVM:
            return f"{storage.settings['vgname']}/{name}" in self.logical_volumes
        if storage.kind == "zfspool":
            return f"{storage.settings['pool']}/{name}" in self.datasets
        if storage.kind in NAMED:
            return own_name(storage, name) in self.images.get(ident, ())
        return self.host.files.exists(path)

    def is_a_name(self, volume: str) -> bool:
        """Whether the volume's storage is neither LVM, ZFS nor files."""
        storage = self.find(volume.partition(":")[0])
        return storage is not None and storage.kind in NAMED

    def is_there(self, path: str) -> bool:
        """Whether a file is there, as its open descriptor knows it: the server behind it need not answer."""
        try:
            return self.host.files.exists(path)
        except Hung:
            return True

    def add_volume(self, volume: str) -> None:
        """Create a volume on this node."""
        ident, _, name = volume.partition(":")
        storage = self.find(ident)
        path = self.path_of(volume)
        if storage is None or path is None:
            raise KeyError(volume)
        if storage.kind in LVM:
            self.logical_volumes.append(f"{storage.settings['vgname']}/{name}")
        elif storage.kind == "zfspool":
            self.datasets.append(f"{storage.settings['pool']}/{name}")
        elif storage.kind in NAMED:
            self.images.setdefault(ident, []).append(own_name(storage, name))
        else:
            self.host.files.put(path, b"\0" * 64)

    def mount_of(self, path: str) -> Mount:
        """The mount that a path lies on."""
        best = self.mounts[0]
        for mount in self.all_mounts():
            if (path == mount.target or path.startswith(mount.target.rstrip("/") + "/")) and len(mount.target) >= len(
                best.target
            ):
                best = mount
        return best

    def all_mounts(self) -> list[Mount]:
        """All mounts, /etc/pve among them while pmxcfs runs."""
        number = self.host.files.dead_mounts + self.pmxcfs.mounted
        options = "rw,nosuid,nodev,relatime,user_id=0,group_id=0,default_permissions,allow_other"
        return [*self.mounts, *[Mount("/etc/pve", "/dev/fuse", "fuse", options, 131072, 40)] * number]

    def space(self, path: str) -> int | None:
        """Bytes that the path's mount has left, None where that is not counted."""
        mount = self.mount_of(path)
        return (mount.total - mount.used) * 1024 if mount.total else None

    def read_only(self, path: str) -> bool:
        """Whether the path lies on a mount that is read-only."""
        return "ro" in self.mount_of(path).options.split(",")
