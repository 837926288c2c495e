"""Storages of one node: mounts, volumes, and what can be wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pve_runbook.lab.model.node import Node


@dataclass
class Mount:
    """One line of /proc/mounts; sizes in KiB."""

    target: str
    source: str
    fstype: str
    options: str
    total: int = 0
    used: int = 0


@dataclass
class Storage:
    """One storage as storage.cfg defines it; sizes in KiB."""

    ident: str
    kind: str
    settings: dict[str, str]

    @property
    def shared(self) -> bool:
        """Whether all nodes see the same volumes."""
        return self.kind in ("nfs", "cifs", "cephfs", "rbd", "pbs") or self.settings.get("shared") == "1"

    @property
    def path(self) -> str:
        """The directory of a storage that keeps files."""
        return self.settings.get("path", f"/mnt/pve/{self.ident}" if self.kind in ("nfs", "cifs", "cephfs") else "")


def parse_storage_cfg(text: str) -> list[Storage]:
    """The sections of storage.cfg in their order."""
    found: list[Storage] = []
    for line in text.splitlines():
        if line.startswith(("\t", " ")):
            key, _, value = line.strip().partition(" ")
            if found and key:
                found[-1].settings[key] = value.strip() or "1"
        elif ":" in line:
            kind, _, ident = line.partition(":")
            found.append(Storage(ident.strip(), kind.strip(), {}))
    return found


class Storages:
    """What one node sees of its storages."""

    def __init__(self, node: Node) -> None:
        self.node = node
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

    def all(self) -> list[Storage]:
        """The storages of storage.cfg; without one there is the default `local`."""
        text = self.node.pmxcfs.database.text("storage.cfg")
        return parse_storage_cfg(text) or [
            Storage("local", "dir", {"path": "/var/lib/vz", "content": "iso,vztmpl,backup"})
        ]

    def find(self, ident: str) -> Storage | None:
        """The storage of that name."""
        return next((s for s in self.all() if s.ident == ident), None)

    def enabled(self, storage: Storage) -> bool:
        """Whether it is to be used on this node."""
        nodes = storage.settings.get("nodes", "")
        return storage.settings.get("disable") != "1" and (not nodes or self.node.name in nodes.split(","))

    def active(self, storage: Storage) -> bool:
        """Whether it answers on this node."""
        if storage.ident in self.inactive or not self.enabled(storage):
            return False
        return not storage.path or storage.path not in self.node.files.hung

    def path_of(self, volume: str) -> str | None:
        """Where a volume would be (`pvesm path`), None for an unknown storage."""
        ident, _, name = volume.partition(":")
        storage = self.find(ident)
        if storage is None:
            return None
        if storage.kind == "lvmthin":
            return f"/dev/{storage.settings['vgname']}/{name}"
        if storage.kind == "zfspool":
            pool = storage.settings["pool"]
            return f"/{pool}/{name}" if name.startswith("subvol-") else f"/dev/zvol/{pool}/{name}"
        return f"{storage.path}/images/{name}" if name[:1].isdigit() else f"{storage.path}/{name}"

    def volume_exists(self, volume: str) -> bool:
        """Whether the node has the volume now."""
        ident, _, name = volume.partition(":")
        storage = self.find(ident)
        path = self.path_of(volume)
        if storage is None or path is None or not self.active(storage):
            return False
        if storage.kind == "lvmthin":
            return f"{storage.settings['vgname']}/{name}" in self.logical_volumes
        if storage.kind == "zfspool":
            return f"{storage.settings['pool']}/{name}" in self.datasets
        return self.node.files.exists(path)

    def add_volume(self, volume: str) -> None:
        """Create a volume on this node."""
        ident, _, name = volume.partition(":")
        storage = self.find(ident)
        path = self.path_of(volume)
        if storage is None or path is None:
            raise KeyError(volume)
        if storage.kind == "lvmthin":
            self.logical_volumes.append(f"{storage.settings['vgname']}/{name}")
        elif storage.kind == "zfspool":
            self.datasets.append(f"{storage.settings['pool']}/{name}")
        else:
            self.node.files.put(path, b"\0" * 64)

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
        number = self.node.files.dead_mounts + self.node.pmxcfs.mounted
        options = "rw,nosuid,nodev,relatime,user_id=0,group_id=0,default_permissions,allow_other"
        return [*self.mounts, *[Mount("/etc/pve", "/dev/fuse", "fuse", options, 131072, 40)] * number]

    def space(self, path: str) -> int | None:
        """Bytes that the path's mount has left, None where that is not counted."""
        mount = self.mount_of(path)
        return (mount.total - mount.used) * 1024 if mount.total else None

    def read_only(self, path: str) -> bool:
        """Whether the path lies on a mount that is read-only."""
        return "ro" in self.mount_of(path).options.split(",")
