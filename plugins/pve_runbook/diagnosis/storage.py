"""What is wrong with a node's storages, kind by kind, from listings that nothing is mounted or imported for.

Each function gives storage id → what is wrong, for the storages of its kind that this node may use; None where it has
none of that kind. Each raises UnknownFact when a listing is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pve_runbook.facts.node import NodeFacts
from pve_runbook.facts.storages import WITHOUT_DISKS, images_question
from pve_runbook.parsers.output import TimedOut
from pve_runbook.parsers.section_config import yes_or_no
from pve_runbook.parsers.storage import Storage
from pve_runbook.probes import checks_only, per_subject
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact, known_or_why

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
    found = facts.family(per_subject.STORAGE_MOUNT, path)
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
    return _problems(stores, lambda s: "" if facts.mount_at(s) else f"nothing is mounted at {_path(s)}")


def silent(facts: NodeFacts) -> Problems:
    """Storages over the network that are mounted, and on which a look takes longer than it may."""
    stores = _of(facts, OVER_THE_NETWORK)
    return _problems([s for s in stores if facts.mount_at(s)] if stores else stores, lambda s: _silent(facts, s))


def _silent(facts: NodeFacts, store: Storage) -> str:
    family, place = images_question(store)
    if facts.is_missing(family, TimedOut, place):
        return f"no look at {place} ended within {family.timeout} s"
    facts.family(family, place)
    return ""


def read_only(facts: NodeFacts) -> Problems:
    """Storages of files that are mounted read-only."""
    stores = _of(facts, LOCAL_FILES + OVER_THE_NETWORK)

    def judge(store: Storage) -> str:
        over = store.type in OVER_THE_NETWORK
        mount = facts.mount_at(store) if over else facts.family(per_subject.STORAGE_MOUNT, _path(store))
        return "" if mount is None or mount.is_writable else f"mounted read-only at {mount.target}"

    return _problems(stores, judge)


def broken_groups(facts: NodeFacts) -> Problems:
    """Volume groups that are not there, lack disks, or cannot be written to (vgs(8))."""
    stores = _of(facts, ("lvm", "lvmthin"))
    groups = facts.get(checks_only.VGS) if stores else {}

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
        found = facts.family(per_subject.ZFS_DATASET, dataset)
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
    targets = facts.get(checks_only.ISCSI_SESSIONS) if stores else frozenset()
    return _problems(
        stores, lambda s: "" if s.options.get("target") in targets else f"no session with {s.options.get('target')}"
    )


def unhealthy_ceph(facts: NodeFacts) -> Problems:
    """Storages on these nodes' own Ceph, where Ceph says HEALTH_ERR."""
    stores = _on_own_ceph(facts)
    health = facts.get(checks_only.CEPH) if stores else None
    ill = health is not None and health.status == "HEALTH_ERR"
    return _problems(stores, lambda s: f"Ceph says HEALTH_ERR ({', '.join(health.checks)})" if ill and health else "")


def silent_pools(facts: NodeFacts) -> Problems:
    """Pools of Ceph that cannot be listed: no monitor answers, or none lets the key in."""

    def judge(store: Storage) -> str:
        listed = known_or_why(lambda: facts.listing(store))
        return f"it cannot be listed: {listed.why}" if isinstance(listed, UnknownFact) else ""

    return _problems(_of(facts, ("rbd",)), judge)


def not_judged(facts: NodeFacts) -> dict[str, str]:
    """Storage id → type, for those that no passive listing shows: disks that each guest reaches by itself. Backup
    servers, and what is imported from, hold no guest's disk."""
    judged = (*LOCAL_FILES, *OVER_THE_NETWORK, "lvm", "lvmthin", "zfspool", "iscsi", "rbd")
    own = {s.id for s in _on_own_ceph(facts) or ()}
    left = (s for s in facts.storages.values() if s.type not in (*judged, *WITHOUT_DISKS) and s.id not in own)
    return {s.id: s.type for s in left}


def inactive(facts: NodeFacts) -> dict[str, str]:
    """Storage id → status other than active, by `pvesm status`; nothing where that would write into /etc/pve."""
    if facts.pvesm_would_write:
        return {}
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
