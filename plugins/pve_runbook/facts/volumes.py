"""Whether a volume of a guest is there: by what the guest's process has open of it, then by the listings.

Layouts: pve-storage Plugin.pm, BTRFSPlugin.pm (a raw image is a directory without suffix), LVMPlugin.pm,
ZFSPoolPlugin.pm, RBDPlugin.pm, ISCSIPlugin.pm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cached_property

from msgspec import Struct

from pve_runbook.facts.storages import StorageFacts
from pve_runbook.parsers.devices.of_processes import Mounted
from pve_runbook.parsers.guests import GuestProcess, Volume
from pve_runbook.parsers.storage import FILE_TYPES, Storage
from pve_runbook.probes import per_subject, volumes
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact, known

_LUN = re.compile(r"\d+\.\d+\.\d+\.(?P<id>\S+)")
_BEHIND_ISCSI = ("zfs", "iscsidirect")
"""Types that QEMU reaches over iSCSI by itself: an address that does not name the volume."""


class State(Enum):
    """Whether a volume is there."""

    THERE = "there"
    GONE = "gone"
    UNKNOWN = "unknown"


class VolumeTruth(Struct, frozen=True):
    """One volume of a guest. ``why`` it is gone, or not known; ``in_use``: its guest runs, and has to have it open."""

    vmid: int
    volume: Volume
    state: State
    why: str = ""
    in_use: bool = False

    def __str__(self) -> str:
        return f"{self.volume.volid} of {self.vmid}"


def lies_on(volume: Volume, store: Storage, facts: StorageFacts) -> bool:
    """True if the volume lies on its storage, judged by this node's listings alone. A linked clone "base/clone" exists
    if the clone does. Raises UnknownFact where the listing is unknown, and for types that no listing shows."""
    parts = volume.name.split("/")
    if store.type in FILE_TYPES and volume.is_iso:
        return parts[-1] in facts.family(per_subject.STORAGE_IMAGES, store.directory("iso") or "")
    if store.type in FILE_TYPES and len(parts) in (2, 4) and parts[-2].isdecimal():
        name = "/".join(parts[-2:])
        return (name.removesuffix(".raw") if store.type == "btrfs" else name) in facts.listing(store)
    if store.type in ("lvm", "lvmthin") and "vgname" in store.options:
        return (store.options["vgname"], parts[-1]) in facts.get(probes.LVS)
    if store.type == "zfspool" and "pool" in store.options:
        return f"{store.options['pool']}/{parts[-1]}" in facts.get(probes.ZFS)
    if store.type == "rbd":
        return parts[-1] in facts.listing(store)
    lun = _LUN.fullmatch(volume.name)
    if store.type == "iscsi" and lun is not None:
        return lun["id"] in facts.listing(store)
    raise UnknownFact(
        facts.node, f"whether {volume.volid} exists", f"no listing shows what a storage of type {store.type} has"
    )


class Judge:
    """Judges the volumes of one node's guests."""

    def __init__(self, facts: StorageFacts) -> None:
        """Raises UnknownFact where the storages are unknown."""
        self._facts = facts
        self._stores = facts.storages

    def of(self, vmid: int, volume: Volume, running: Mapping[int, GuestProcess] | None) -> VolumeTruth:
        """One volume of a guest; ``running``: the guests that run, None where that is unknown, and any may."""
        store = self._stores.get(volume.storage)
        process = running.get(vmid) if running is not None else None
        in_use = volume.is_worked_on and (running is None or process is not None)
        if not volume.storage:  # Proxmox passes the line over, so no process was given it
            return VolumeTruth(vmid, volume, State.GONE, "its line names no volume, and Proxmox passes it over")
        if process is not None and self.is_held(volume, process):
            return VolumeTruth(vmid, volume, State.THERE, in_use=in_use)
        if store is None:
            return VolumeTruth(vmid, volume, State.GONE, f"this node has no storage {volume.storage}", in_use)
        try:
            there = lies_on(volume, store, self._facts)
        except UnknownFact as error:
            return VolumeTruth(vmid, volume, State.UNKNOWN, error.why, in_use)
        return VolumeTruth(vmid, volume, State.THERE if there else State.GONE, "" if there else "not listed", in_use)

    # --- what processes have open

    def is_held(self, volume: Volume, process: GuestProcess) -> bool:
        """Whether a guest's process has the volume open."""
        store = self._stores.get(volume.storage)
        names = self._held_by(process.pid)
        if store is None or store.type not in _NAMES:
            known_name = {volume.name.split("/")[-1], volume.name.rpartition("_")[0]} - {""}
            by_device = any(known_name & set(name.split("/")) for name in names if name.startswith("/dev/"))
        else:
            wanted = set(_NAMES[store.type](volume, store))
            by_device = bool(wanted & names) or any(_short(name) in wanted for name in names)
        return by_device or any(_is_at(address, key, volume, store) for key, address in process.drives)

    def _held_by(self, pid: int) -> frozenset[str]:
        """Every name of what a process has open or mounted: paths, devices, datasets."""
        if pid not in self._held:
            self._held[pid] = frozenset(self._names_of(pid))
        return self._held[pid]

    def _names_of(self, pid: int) -> Iterator[str]:
        for name in self._open.get(pid, ()):
            yield name
            yield from self._links_to.get(name, ())
        for mount in self._mounts.get(pid, ()):
            device = self._links.get(mount.source, mount.source)
            yield from (mount.source, mount.root, device)
            yield from self._links_to.get(device, ())
            if device in self._loops:
                yield self._loops[device]

    @cached_property
    def _held(self) -> dict[int, frozenset[str]]:
        return {}

    @cached_property
    def _links(self) -> Mapping[str, str]:
        return known(lambda: self._facts.get(volumes.DEV_LINKS)) or {}

    @cached_property
    def _links_to(self) -> dict[str, list[str]]:
        """Device → the links that lead to it."""
        found: dict[str, list[str]] = {}
        for link, device in self._links.items():
            found.setdefault(device, []).append(link)
        return found

    @cached_property
    def _loops(self) -> Mapping[str, str]:
        return known(lambda: self._facts.get(volumes.LOOP_DEVICES)) or {}

    @cached_property
    def _open(self) -> dict[int, frozenset[str]]:
        return {p: v for found in self._facts.about(per_subject.OPEN_FILES) for p, v in found.items()}

    @cached_property
    def _mounts(self) -> dict[int, tuple[Mounted, ...]]:
        return {p: v for found in self._facts.about(per_subject.MOUNTINFOS) for p, v in found.items()}


def _file(volume: Volume, store: Storage) -> Iterator[str]:
    if volume.is_iso:
        yield f"{store.directory('iso')}/{volume.name.split('/')[-1]}"
        return
    name = "/".join(volume.name.split("/")[-2:])
    images = store.directory("images")
    yield f"{images}/{name}"
    if store.type == "btrfs":
        yield f"{images}/{name.removesuffix('.raw')}/disk.raw"
    if name.endswith(".subvol"):  # bound into the container: what is mounted is a part of another file system
        yield f"/images/{name}"


def _logical_volume(volume: Volume, store: Storage) -> Iterator[str]:
    yield f"/dev/{store.options.get('vgname', '')}/{volume.name.split('/')[-1]}"


def _dataset(volume: Volume, store: Storage) -> Iterator[str]:
    name = f"{store.options.get('pool', '')}/{volume.name.split('/')[-1]}"
    yield from (name, f"/dev/zvol/{name}")


def _image(volume: Volume, store: Storage) -> Iterator[str]:
    yield f"/dev/rbd/{rbd_path(volume, store)}"


def _disk_by_id(volume: Volume, store: Storage) -> Iterator[str]:
    found = _LUN.fullmatch(volume.name)
    yield f"/dev/disk/by-id/{found['id'] if found else volume.name}"


_NAMES = {
    **dict.fromkeys(FILE_TYPES, _file),
    "lvm": _logical_volume,
    "lvmthin": _logical_volume,
    "zfspool": _dataset,
    "rbd": _image,
    "iscsi": _disk_by_id,
}
"""Type → by which names a volume is open where it is used. Of other types a name that holds the volume's is enough:
devices are named for what they hold (/dev/drbd/by-res/NAME/0)."""


def rbd_path(volume: Volume, store: Storage) -> str:
    """POOL/IMAGE, with the namespace in between where there is one."""
    parts = (store.options.get("pool") or "rbd", store.options.get("namespace"), volume.name.split("/")[-1])
    return "/".join(part for part in parts if part)


def _short(name: str) -> str:
    """A device of krbd without the id of its cluster (ceph-common, 50-rbd.rules; pve-storage, 50-rbd-pve.rules)."""
    return re.sub(r"^/dev/rbd-pve/[^/]+/", "/dev/rbd/", name)


def _is_at(address: str, key: str, volume: Volume, store: Storage | None) -> bool:
    """Whether the address of a disk that QEMU was started with is that of the volume."""
    if store is None:
        return False
    if store.type == "rbd":
        return address == f"rbd:{rbd_path(volume, store)}"
    if store.type == "glusterfs":
        return address.startswith("gluster") and address.endswith(f"/images/{volume.name}")
    return store.type in _BEHIND_ISCSI and address == "iscsi:" and key == volume.key
