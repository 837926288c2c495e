"""What is wrong with a node's storages, kind by kind, from listings that nothing is mounted or imported for.

Each function gives storage id → what is wrong, for the storages of its kind that this node may use; None where it has
none of that kind. Each raises UnknownFact when a listing is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pve_runbook.facts.output import TimedOut
from pve_runbook.facts.sections import yes_or_no
from pve_runbook.facts.storage import MountPoint, Storage
from pve_runbook.work import checkprobes, families, probes
from pve_runbook.work.nodefacts import NodeFacts

LOCAL_FILES = ("dir", "btrfs")
OVER_THE_NETWORK = ("nfs", "cifs", "cephfs", "glusterfs")
FULL = 95.0
"""Percent of a thin pool from which on its guests are about to stop."""

Problems = dict[str, str] | None


def misplaced(facts: NodeFacts) -> Problems:
    """Directories that are not there, or not on the mount that the storage is told to wait for (pve-storage
    DirPlugin.pm, is_mountpoint)."""
    stores = _of(facts, LOCAL_FILES)
    return _problems(stores, lambda s: _misplaced(facts, s))


def _misplaced(facts: NodeFacts, store: Storage) -> str:
    path = _path(store)
    found = facts.family(families.STORAGE_MOUNT, path)
    if found is None:
        return f"{path} is not there"
    wanted = store.options.get("is_mountpoint", "no")
    if not wanted.startswith("/"):
        wanted = path if yes_or_no(wanted) else ""
    if wanted and found.target != wanted.rstrip("/"):
        return f"nothing is mounted at {wanted}: what is written to it fills {found.target}"
    return ""


def not_mounted(facts: NodeFacts) -> Problems:
    """Storages over the network that are not mounted."""
    stores = _of(facts, OVER_THE_NETWORK)
    return _problems(stores, lambda s: "" if _mount_at(facts, s) else f"nothing is mounted at {_path(s)}")


def silent(facts: NodeFacts) -> Problems:
    """Storages over the network that are mounted, and on which a look takes longer than it may."""
    stores = _of(facts, OVER_THE_NETWORK)
    return _problems([s for s in stores if _mount_at(facts, s)] if stores else stores, lambda s: _silent(facts, s))


def _silent(facts: NodeFacts, store: Storage) -> str:
    family = families.STORAGE_FILES
    if facts.is_missing(family, TimedOut, _path(store)):
        return f"no look at {_path(store)} ended within {family.timeout} s"
    facts.family(family, _path(store))
    return ""


def read_only(facts: NodeFacts) -> Problems:
    """Storages of files that are mounted read-only."""
    stores = _of(facts, LOCAL_FILES + OVER_THE_NETWORK)

    def judge(store: Storage) -> str:
        over = store.type in OVER_THE_NETWORK
        mount = _mount_at(facts, store) if over else facts.family(families.STORAGE_MOUNT, _path(store))
        return "" if mount is None or mount.is_writable else f"mounted read-only at {mount.target}"

    return _problems(stores, judge)


def broken_groups(facts: NodeFacts) -> Problems:
    """Volume groups that are not there, lack disks, or cannot be written to (vgs(8))."""
    stores = _of(facts, ("lvm", "lvmthin"))
    groups = facts.get(checkprobes.VGS) if stores else {}

    def judge(store: Storage) -> str:
        name = store.options.get("vgname", "")
        attributes = groups.get(name)
        if attributes is None:
            return f"there is no volume group {name}"
        if attributes[3:4] == "p":
            return f"disks of the volume group {name} are missing"
        return "" if attributes[:1] == "w" else f"the volume group {name} is read-only"

    return _problems(stores, judge)


def broken_pools(facts: NodeFacts) -> Problems:
    """Thin pools that are not there, not active, damaged or full (lvs(8), lv_attr)."""
    stores = _of(facts, ("lvmthin",))
    volumes = facts.get(probes.LVS) if stores else {}

    def judge(store: Storage) -> str:
        name = f"{store.options.get('vgname')}/{store.options.get('thinpool')}"
        pool = volumes.get((store.options.get("vgname", ""), store.options.get("thinpool", "")))
        if pool is None or pool.attr[:1] != "t":
            return f"there is no thin pool {name}"
        if pool.attr[4:5] != "a":
            return f"the thin pool {name} is not active"
        if pool.attr[8:9] not in ("", "-"):
            return f"the thin pool {name} is damaged or out of space (lv_attr {pool.attr})"
        for what, percent in (("data", pool.data_percent), ("metadata", pool.metadata_percent)):
            if percent is not None and percent >= FULL:
                return f"the {what} of the thin pool {name} is {percent:g} % full"
        return ""

    return _problems(stores, judge)


def broken_zfs(facts: NodeFacts) -> Problems:
    """ZFS pools that are not there or not online, datasets that are not there, not mounted or read-only."""
    stores = _of(facts, ("zfspool",))
    pools = facts.get(probes.ZPOOLS) if stores else {}

    def judge(store: Storage) -> str:
        dataset = store.options.get("pool", "")
        pool = dataset.partition("/")[0]
        if pools.get(pool) != "ONLINE":
            return f"the pool {pool} is {pools.get(pool, 'not imported')}"
        found = facts.family(families.ZFS_DATASET, dataset)
        if found is None:
            return f"there is no dataset {dataset}"
        if found.get("readonly") == "on":
            return f"the dataset {dataset} is read-only"
        unmounted = found.get("mounted") == "no" and "rootdir" in store.content
        return f"the dataset {dataset} is not mounted" if unmounted else ""

    return _problems(stores, judge)


def without_session(facts: NodeFacts) -> Problems:
    """iSCSI targets that the node is not logged in to."""
    stores = _of(facts, ("iscsi",))
    targets = facts.get(checkprobes.ISCSI_SESSIONS) if stores else frozenset()
    return _problems(
        stores, lambda s: "" if s.options.get("target") in targets else f"no session with {s.options.get('target')}"
    )


def unhealthy_ceph(facts: NodeFacts) -> Problems:
    """Storages on these nodes' own Ceph, where Ceph says HEALTH_ERR."""
    stores = _on_own_ceph(facts)
    health = facts.get(checkprobes.CEPH) if stores else None
    ill = health is not None and health.status == "HEALTH_ERR"
    return _problems(stores, lambda s: f"Ceph says HEALTH_ERR ({', '.join(health.checks)})" if ill and health else "")


def not_judged(facts: NodeFacts) -> dict[str, str]:
    """Storage id → type, for those that no passive listing shows: backup servers, and disks that each guest reaches by
    itself."""
    judged = (*LOCAL_FILES, *OVER_THE_NETWORK, "lvm", "lvmthin", "zfspool", "iscsi")
    own = {s.id for s in _on_own_ceph(facts) or ()}
    return {s.id: s.type for s in facts.storages.values() if s.type not in judged and s.id not in own}


def inactive(facts: NodeFacts) -> dict[str, str]:
    """Storage id → status other than active, by `pvesm status`."""
    status = facts.get(probes.PVESM)
    found = {i: status[i].status if i in status else "not listed" for i in facts.storages}
    return {i: s for i, s in found.items() if s != "active"}


def _on_own_ceph(facts: NodeFacts) -> list[Storage] | None:
    stores = _of(facts, ("rbd", "cephfs"))
    return [s for s in stores if not s.options.get("monhost")] or None if stores else None


def _of(facts: NodeFacts, types: tuple[str, ...]) -> list[Storage] | None:
    return [s for s in facts.storages.values() if s.type in types] or None


def _problems(stores: Iterable[Storage] | None, judge: Callable[[Storage], str]) -> Problems:
    if stores is None:
        return None
    found = ((s.id, judge(s)) for s in stores)
    return {i: why for i, why in found if why}


def _path(store: Storage) -> str:
    return store.path or ""


def _mount_at(facts: NodeFacts, store: Storage) -> MountPoint | None:
    """The mount at the storage's own path, from the kernel's table: nothing that hangs is touched for it."""
    found = [m for m in facts.get(probes.PROC_MOUNTS) if m.target == _path(store).rstrip("/")]
    return found[-1] if found else None
