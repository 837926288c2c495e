"""The devices of one node, and what its running guests have open of them, as /dev and /proc show it."""

from __future__ import annotations

import functools
import json
import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from pve_lab.formats.guest_config import GuestConfig
from pve_lab.formats.storage_cfg import Storage
from pve_lab.model.storage import Storages, own_name

FSID = "5f2f0c11-22aa-4a57-9d4e-07cdf2418b56"
"""Of the Ceph that pools lie on."""
_FIRST = {"dm": 0, "zd": 0, "rbd": 0, "drbd": 1000, "loop": 0}
_STEP = {"zd": 16}
_ALWAYS = {"/dev/core": "/proc/kcore", "/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0"}
_DISK = re.compile(r"(?:ide|sata|scsi|virtio|efidisk|mp)\d+|rootfs")
_OWN_DRIVER = ("rbd", "zfs", "glusterfs")
"""Kinds of storage that QEMU reaches without a device of the node."""


@functools.cache
def _relative(link: str, to: str) -> str:
    return posixpath.relpath(to, posixpath.dirname(link))


class _Links(NamedTuple):
    """The links in /dev, and what they were made of."""

    made_of: tuple[object, ...]
    storages: Sequence[Storage]
    targets: Mapping[str, str]
    in_order: tuple[tuple[str, str], ...]
    opened: dict[str, str]
    """Volume → what whoever opens it has open: a device, a file; "" where neither is opened."""


class Devices:
    """What one node has in /dev, and which of it is in use; `held`: VMID → (key, volume) that its process opened."""

    def __init__(self, storages: Storages) -> None:
        self._storages = storages
        self._numbers: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.held: dict[int, list[tuple[str, str]]] = {}
        self._known: _Links | None = None

    def open_all(self, config: GuestConfig, held: Collection[str] | None = None) -> None:
        """A guest starts: its process opens every disk that is there, or those of `held`."""
        drives = [(key, value.split(",")[0]) for key, value in config.values.items() if _DISK.fullmatch(key)]
        if held is None:
            held = [v for _, v in drives if self._storages.volume_exists(v)]
        self.held[config.vmid] = [(key, v) for key, v in drives if v in held]

    def _number(self, kind: str, name: str) -> int:
        taken = self._numbers[kind]
        return taken.setdefault(name, _FIRST[kind] + len(taken) * _STEP.get(kind, 1))

    def links(self) -> Mapping[str, str]:
        """Path of a link in /dev → where it leads, as readlink says it."""
        return self._made().targets

    def sorted_links(self) -> tuple[tuple[str, str], ...]:
        """The same, by their paths."""
        return self._made().in_order

    def _made(self) -> _Links:
        """One object while it stays as it is: it is asked for with every guest."""
        storages, everything = self._storages, self._storages.all()
        images = tuple((name, tuple(images)) for name, images in storages.images.items())
        held = tuple(pair for pairs in self.held.values() for pair in pairs) if images else ()
        made_of = tuple(storages.logical_volumes), tuple(storages.datasets), images, held
        if self._known is None or self._known.made_of != made_of or self._known.storages is not everything:
            targets = self._made_links()
            self._known = _Links(made_of, everything, targets, tuple(sorted(targets.items())), {})
        return self._known

    def _made_links(self) -> dict[str, str]:
        found = dict(_ALWAYS)
        devices: list[tuple[str, str]] = []
        for name in self._storages.logical_volumes:
            group, _, volume = name.partition("/")
            device = f"/dev/dm-{self._number('dm', name)}"
            mapped = "-".join(part.replace("-", "--") for part in (group, volume))
            devices += [(f"/dev/{name}", device), (f"/dev/mapper/{mapped}", device)]
        zvols = [d for d in self._storages.datasets if d.rpartition("/")[2].startswith(("vm-", "base-"))]
        devices += [(f"/dev/zvol/{name}", f"/dev/zd{self._number('zd', name)}") for name in zvols]
        for storage in self._storages.all():
            for name in self._storages.images.get(storage.ident, ()):
                devices += self._of_plugin(storage, name)
        return {**found, **{link: _relative(link, to) for link, to in devices}}

    def _of_plugin(self, storage: Storage, name: str) -> Iterator[tuple[str, str]]:
        if storage.kind == "iscsi":
            number = sorted(self._storages.images[storage.ident]).index(name)
            yield f"/dev/disk/by-id/{name}", f"/dev/sd{chr(ord('c') + number)}"
        elif storage.kind == "drbd":
            yield f"/dev/drbd/by-res/{name}/0", f"/dev/drbd{self._number('drbd', name)}"
        elif storage.kind == "rbd" and self._is_mapped(storage, name):
            device = f"/dev/rbd{self._number('rbd', f'{storage.ident}/{name}')}"
            pool = storage.settings.get("pool", "rbd")
            yield f"/dev/rbd/{pool}/{name}", device
            yield f"/dev/rbd-pve/{FSID}/{pool}/{name}", device

    def _is_mapped(self, storage: Storage, name: str) -> bool:
        in_use = any(v.startswith(f"{storage.ident}:") and v.endswith(name) for h in self.held.values() for _, v in h)
        return storage.settings.get("krbd") == "1" and in_use

    def open_files(self, vmid: int) -> list[str]:
        """Where the descriptors of a VM's process lead to, those that are paths."""
        found = ["/dev/null", "/dev/kvm", "/dev/net/tun"]
        known = self._made().opened
        for _, volume in self.held.get(vmid, ()):
            if volume not in known:
                known[volume] = self._opened(volume)
            path = known[volume]
            if path.startswith("/dev/"):
                found.append(path)
            elif path:
                found.append(path if self._storages.is_there(path) else f"{path} (deleted)")
        return found

    def _opened(self, volume: str) -> str:
        path = self._storages.path_of(volume)
        storage = self._storages.find(volume.partition(":")[0])
        if path is None or storage is None or self.address(storage, volume):
            return ""
        if not path.startswith("/dev/"):
            return path
        target = self.links().get(path)
        return posixpath.normpath(posixpath.join(posixpath.dirname(path), target)) if target else ""

    def mounts(self, vmid: int) -> list[str]:
        """The lines of a container's mountinfo."""
        found = []
        for number, (key, volume) in enumerate(self.held.get(vmid, ())):
            path = self._storages.path_of(volume) or ""
            target = f"/var/lib/lxc/{vmid}/rootfs" + ("" if key == "rootfs" else f"/{key}")
            source, kind = path, "ext4"
            if path.startswith("/dev/"):
                links = self.links()
                device = posixpath.basename(links.get(path, path))
                mapped = (
                    k for k, v in links.items() if k.startswith("/dev/mapper/") and posixpath.basename(v) == device
                )
                source = next(mapped, f"/dev/{device}")
            elif not path.startswith("/dev/") and "subvol" in path:
                source, kind = path.lstrip("/"), "zfs"
            elif not path.startswith("/dev/"):
                source = f"/dev/loop{self._number('loop', path)}"
            found.append(f"{900 + number} 800 252:{number} / {target} rw,relatime - {kind} {source} rw")
        return found

    def loops(self) -> dict[str, str]:
        """Loop device → the file behind it."""
        return {f"/dev/loop{n}": name for name, n in self._numbers["loop"].items()}

    def address(self, storage: Storage, volume: str) -> str:
        """Where QEMU reaches a disk that is no device of the node; "" for one that is."""
        name, settings = volume.partition(":")[2], storage.settings
        if storage.kind not in _OWN_DRIVER or settings.get("krbd") == "1":
            return ""
        if storage.kind == "zfs":
            number = self._storages.images[storage.ident].index(name)
            return f"iscsi://{settings.get('portal')}/{settings.get('target')}/{number}"
        if storage.kind == "glusterfs":
            return f"gluster://{settings.get('server')}/{settings.get('volume')}/images/{name}"
        name = own_name(storage, name)
        keyring = f"id=admin:keyring=/etc/pve/priv/ceph/{storage.ident}.keyring"
        return f"rbd:{settings.get('pool', 'rbd')}/{name}:conf=/etc/pve/priv/ceph/{storage.ident}.conf:{keyring}"

    def arguments(self, vmid: int, *, as_blockdev: bool) -> Sequence[str]:
        """What QEMU is told of the disks that it reaches by itself: as -blockdev from qemu-server 9 on."""
        found: list[str] = []
        for key, volume in self.held.get(vmid, ()):
            storage = self._storages.find(volume.partition(":")[0])
            address = self.address(storage, volume) if storage is not None else ""
            if storage is not None and as_blockdev and storage.kind == "rbd" and address:
                child = {
                    "driver": "rbd",
                    "image": own_name(storage, volume.partition(":")[2]),
                    "pool": storage.settings.get("pool", "rbd"),
                }
                node = {"driver": "throttle", "file": {"driver": "raw", "file": child}, "node-name": f"drive-{key}"}
                found += ["-blockdev", json.dumps(node, separators=(",", ":"))]
            elif address:
                found += ["-drive", f"file={address},if=none,id=drive-{key},format=raw,cache=none,aio=io_uring"]
        return found
