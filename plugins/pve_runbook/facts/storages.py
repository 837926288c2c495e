"""What one node says of the storages that its guests' disks lie on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from pve_runbook.parsers.config_db import ConfigTree
from pve_runbook.parsers.guests import GuestConfig
from pve_runbook.parsers.output import TimedOut
from pve_runbook.parsers.pmxcfs import Mount
from pve_runbook.parsers.storage import (
    NETWORK_TYPES,
    FreeSpace,
    MountPoint,
    Storage,
    StorageStatus,
    parse_storage_cfg_text,
    rbd_options,
)
from pve_runbook.probes import checks_only, per_subject, volumes
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import Readings, UnknownFact, known_or_why
from pve_runbook.probes.probe import ProbeFamily

WITHOUT_DISKS = frozenset({"pbs", "esxi"})
"""Types of storage that no guest's disk lies on: backups, and what is imported."""


def images_question(store: Storage) -> tuple[ProbeFamily[frozenset[str]], str]:
    """What lists the images of a storage that is a directory, and where: content-dirs may put them anywhere."""
    if store.has_own_layout:
        return per_subject.STORAGE_IMAGES, store.directory("images") or ""
    return per_subject.STORAGE_FILES, store.path or ""


class StorageFacts(Readings, ABC):
    """Storages; every property raises UnknownFact when what it is made of is unknown."""

    @property
    @abstractmethod
    def hostname(self) -> str:
        """The node's own name."""

    @property
    @abstractmethod
    def tree(self) -> ConfigTree:
        """The configuration database."""

    @property
    @abstractmethod
    def pve_mounts(self) -> tuple[Mount, ...]:
        """The mounts on /etc/pve."""

    @property
    @abstractmethod
    def guests(self) -> Mapping[int, GuestConfig]:
        """The guests this node owns, by VMID."""

    @property
    def storages(self) -> dict[str, Storage]:
        """The storages that this node may use, by id."""
        configured = self.get(probes.STORAGE_CFG)
        if configured is None:  # /etc/pve is not mounted; the database has it
            configured = parse_storage_cfg_text(self.tree.text("storage.cfg") or "")
        return {
            s.id: s for s in configured.values() if not s.disabled and (s.nodes is None or self.hostname in s.nodes)
        }

    @property
    def used_storages(self) -> dict[str, Storage]:
        """The storages that hold volumes of this node's guests."""
        used = {v.storage for g in self.guests.values() for v in g.volumes if not v.may_be_gone}
        return {i: s for i, s in self.storages.items() if i in used}

    def listing(self, store: Storage) -> frozenset[str]:
        """The names that this storage's own listing shows: files below its directory of images, images of a pool, ids
        of the disks of a target that the node is logged in to. Raises UnknownFact."""
        if store.type == "rbd":
            return self.family(per_subject.RBD_IMAGES, rbd_options(store, self.ceph_files))
        if store.type == "iscsi":
            target = store.options.get("target", "")
            if target not in self.get(checks_only.ISCSI_SESSIONS):
                raise UnknownFact(self.node, f"what {store.id} has", f"there is no session with {target}")
            by_id = "/dev/disk/by-id/"
            return frozenset(x.removeprefix(by_id) for x in self.get(volumes.DEV_LINKS) if x.startswith(by_id))
        try:
            return self.family(*images_question(store))
        except UnknownFact as error:
            why = f"the storage {store.id} at {store.path} was not listed: {error.why}"
            raise UnknownFact(self.node, error.question, why) from None

    @property
    def ceph_files(self) -> tuple[str, ...]:
        """The names of the keys and configurations of Ceph that pve-storage keeps in /etc/pve/priv/ceph."""
        found = self.get(volumes.CEPH_FILES)
        return found if found is not None else ()

    @property
    def free_space(self) -> tuple[FreeSpace, ...]:
        """What is left where backups and the database are written."""
        return self.get(probes.FREE_SPACE)

    @property
    def read_only_places(self) -> tuple[str, ...]:
        """Mount points, of those that backups and the database are written to, that are read-only."""
        mounts = {m.target: m for m in self.get(probes.PROC_MOUNTS)}  # of several at one place the last counts
        found = (mounts.get(where.target) for where in self.free_space)
        return tuple(dict.fromkeys(m.target for m in found if m is not None and not m.is_writable))

    @property
    def pvesm_would_write(self) -> bool:
        """Whether `pvesm status` may write /etc/pve/priv/ceph/ID.conf: it asks every storage, whichever is wanted, and
        makes the file for a pool of another cluster's Ceph (pve-storage, API2/Storage/Status.pm, CephConfig.pm)."""
        return any(s.type == "rbd" for s in self.storages.values())

    @property
    def pvesm(self) -> Mapping[str, StorageStatus] | None:
        """What `pvesm status` says, by storage; None where nothing asks it (nobody serves /etc/pve, or it would write),
        and where it did not end in time: one storage that hangs is enough for that."""
        if not self.pve_mounts or self.pvesm_would_write:
            return None
        try:
            return self.get(probes.PVESM)
        except UnknownFact:
            if self.is_missing(probes.PVESM, TimedOut):
                return None
            raise

    @property
    def unusable_storages(self) -> dict[str, str]:
        """Storage id → what is wrong, for storages that hold this node's guests."""
        return {
            **self.storages_out_of_reach,
            **{i: f"mounted read-only at {t}" for i, t in self.read_only_storages().items()},
        }

    @property
    def storages_out_of_reach(self) -> dict[str, str]:
        """Storage id → what is wrong, for storages of this node's guests that are not active, or do not answer."""
        wrong: dict[str, str] = {}
        status = self.pvesm
        if status is not None:
            found = {i: status[i].status if i in status else "not listed" for i in self.used_storages}
            wrong = {i: s for i, s in found.items() if s != "active"}
        elif self.pve_mounts:
            wrong = self._not_answering()
        pools = self.get(probes.ZPOOLS)
        for store in self.used_storages.values():
            pool = store.options.get("pool", "").partition("/")[0]
            health = pools.get(pool, "its pool is not imported")
            if store.type == "zfspool" and health not in ("ONLINE", "DEGRADED"):
                wrong[store.id] = health
        return wrong

    def _not_answering(self) -> dict[str, str]:
        """The same, where `pvesm status` is not asked: by mounts and listings."""
        wrong = {}
        for store in self.used_storages.values():
            over_the_network = store.path is not None and store.type in NETWORK_TYPES
            if over_the_network and self.mount_at(store) is None:
                wrong[store.id] = f"not mounted at {store.path}"
            elif over_the_network or store.type in ("rbd", "iscsi"):
                listed = known_or_why(lambda s=store: self.listing(s))  # type: ignore[misc]
                if isinstance(listed, UnknownFact):
                    wrong[store.id] = f"silent ({listed.why})"
        return wrong

    def read_only_storages(self) -> dict[str, str]:
        """Storage id → mount point, for storages of this node's guests that are mounted read-only."""
        found: dict[str, str] = {}
        for store in self.used_storages.values():
            if store.path is None:
                continue
            target = self.mount_at(store) if store.type in NETWORK_TYPES else None
            target = target or self.family(per_subject.STORAGE_MOUNT, store.path)
            if target is not None and not target.is_writable:
                found[store.id] = target.target
        return found

    def running_on(self, storage: str) -> list[int]:
        """The guests that run on this node with a disk on that storage."""
        return [
            vmid
            for vmid in sorted(self.get(probes.GUEST_PROCESSES).keys() & self.guests.keys())
            if any(v.storage == storage and v.snapshot is None and not v.may_be_gone for v in self.guests[vmid].volumes)
        ]

    def mount_at(self, store: Storage) -> MountPoint | None:
        """The mount at the storage's own path, from the kernel's table: nothing that hangs is touched for it."""
        found = [m for m in self.get(probes.PROC_MOUNTS) if m.target == (store.path or "").rstrip("/")]
        return found[-1] if found else None
