"""pvesm, lvs, vgs, zfs, zpool, rbd, ceph, iscsiadm, losetup, mount, umount."""

from __future__ import annotations

import json

import msgspec

from pve_lab.commands.base import Call, Result, Table, options
from pve_lab.commands.cluster import refused
from pve_lab.formats.storage_cfg import Storage
from pve_lab.formats.texts import StorageRow, pvesm_status
from pve_lab.model.file_answers import Hung
from pve_lab.model.node import Node

_SIZES = {"lvmthin": (354275328, 44815828), "zfspool": (940572672, 312475648), "rbd": (1056964608, 210763776)}


def _usage(node: Node, storage: Storage) -> tuple[int, int]:
    if storage.kind in _SIZES:
        return _SIZES[storage.kind]
    mount = node.storages.mount_of(storage.path)
    return mount.total, mount.used


def pvesm(call: Call) -> Result:
    """pvesm status | list STORAGE [--vmid ID] | path VOLUME."""
    down = refused(call.node)
    if down is not None:
        return down
    given, operands = options(call.argv, "", ("vmid", "storage"))
    verb = operands[0] if operands else "help"
    if verb == "status":
        return _status(call.node)
    if verb == "path":
        path = call.node.storages.path_of(operands[1])
        if path is None:
            return Result("", f"storage '{operands[1].partition(':')[0]}' does not exist\n", 255, 0.5)
        return Result(path + "\n", seconds=0.5)
    if verb == "list":
        return _list(call.node, operands[1], given.get("vmid"))
    return Result("", f"ERROR: unknown command 'pvesm {verb}'\n", 255, 0.5)


def _status(node: Node) -> Result:
    errors, seconds = "", 0.5
    rows = []
    for storage in node.storages.all():
        if not node.storages.enabled(storage):
            row = StorageRow(storage, "disabled")
        elif not node.storages.active(storage):
            row = StorageRow(storage, "inactive")
            errors += f"storage '{storage.ident}' is not online\n" if storage.kind == "nfs" else ""
            seconds += 2.0
        else:
            row = StorageRow(storage, "active", *_usage(node, storage))
        rows.append(row)
        _make_conf(node, storage)
    return Result(pvesm_status(rows, kib=node.version.kib_header), errors, seconds=seconds)


def _make_conf(node: Node, storage: Storage) -> None:
    """Whoever asks for a pool of another cluster's Ceph makes a file for it, once /etc/pve is writable (pve-storage
    9, CephConfig.pm ceph_connect_option)."""
    keyring, conf = (f"priv/ceph/{storage.ident}.{end}" for end in ("keyring", "conf"))
    has = node.pmxcfs.database.get
    of_another = storage.kind == "rbd" and "monhost" in storage.settings and has(keyring) is not None
    if of_another and has(conf) is None and node.pmxcfs.quorate:
        node.pmxcfs.write(conf, f"[global]\n\tkeyring = /etc/pve/{keyring}\n".encode())


def _list(node: Node, ident: str, vmid: str | None) -> Result:
    storage = node.storages.find(ident)
    if storage is None:
        return Result("", f"storage '{ident}' does not exist\n", 255, 0.5)
    rows: list[tuple[str, str, str, str, str]] = []
    for config in node.guests.configs():
        for volume in dict.fromkeys(config.volumes):
            if (
                volume.startswith(f"{ident}:")
                and node.storages.volume_exists(volume)
                and vmid in (None, str(config.vmid))
            ):
                form = volume.rpartition(".")[2] if "." in volume else "raw"
                kind = "images" if config.kind == "qemu" else "rootdir"
                rows.append((volume, form, kind, "16777216", str(config.vmid)))
    width = max([len("Volid"), *(len(r[0]) for r in rows)])
    text = f"{'Volid':<{width}} Format  Type     {'Size':>9} VMID\n"
    text += "".join(f"{v:<{width}} {f:<7} {k:<8} {s:>9} {i}\n" for v, f, k, s, i in rows)
    return Result(text, seconds=0.5)


def lvs(call: Call) -> Result:
    """lvs --reportformat json -o vg_name,lv_name,lv_attr,data_percent,metadata_percent; vgs alike."""
    given, _ = options(call.argv, "o", ("reportformat", "options", "noheadings"))
    columns = (given.get("o") or given.get("options") or "vg_name,lv_name,lv_attr").split(",")
    if call.name == "vgs":
        groups = call.node.storages.groups.items()
        values = [{"vg_name": n, "vg_attr": a, "vg_size": "475.90g", "vg_free": "16.00g"} for n, a in groups]
    else:
        special = call.node.storages.volume_attributes
        values = [_volume(name, special.get(name)) for name in call.node.storages.logical_volumes]
    rows = [{c: v.get(c, "") for c in columns} for v in values]
    key = "vg" if call.name == "vgs" else "lv"
    if given.get("reportformat") == "json":
        # json.dumps() indents in Python: of hundreds of volumes that was a tenth of a batch
        return Result(msgspec.json.format(json.dumps({"report": [{key: rows}]}), indent=4) + "\n", seconds=0.05)
    return Result("".join("  " + " ".join(r.values()) + "\n" for r in rows), seconds=0.05)


def _volume(name: str, special: tuple[str, str, str] | None = None) -> dict[str, str]:
    group, _, volume = name.partition("/")
    attributes, data, metadata = "Vwi-a-tz--", "31.20", ""
    if volume == "data":
        attributes, data, metadata = "twi-aotz--", "12.65", "1.10"
    elif volume in ("root", "swap"):
        attributes, data = "-wi-ao----", ""
    elif volume.startswith("base-"):
        attributes = "Vri---tz-k"
    if special is not None:
        attributes, data, metadata = special
    return {
        "vg_name": group,
        "lv_name": volume,
        "lv_attr": attributes,
        "data_percent": data,
        "metadata_percent": metadata,
        "pool_lv": "" if volume in ("data", "root", "swap") else "data",
        "lv_size": "32.00g",
    }


def zfs(call: Call) -> Result:
    """zfs list -H -o name [DATASET] | zfs get -H -o value|property,value PROPERTY DATASET."""
    given, operands = options(call.argv, "otd")
    datasets = call.node.storages.datasets
    if operands[:1] == ["get"]:
        read_only = call.node.storages.read_only(f"/{operands[2]}")
        values = {"readonly": "on" if read_only else "off", "mounted": "yes", "health": "ONLINE"}
        if operands[2] not in datasets:
            return Result("", f"cannot open '{operands[2]}': dataset does not exist\n", 1, 0.03)
        named = "property" in given.get("o", "")
        rows = (f"{p}\t{values.get(p, '-')}\n" if named else f"{values.get(p, '-')}\n" for p in operands[1].split(","))
        return Result("".join(rows), seconds=0.03)
    wanted = operands[1:]
    missing = "".join(f"cannot open '{w}': dataset does not exist\n" for w in wanted if w not in datasets)
    return Result(
        "".join(f"{d}\n" for d in sorted(datasets) if not wanted or d in wanted),
        missing,
        1 if missing else 0,
        0.03,
    )


def zpool(call: Call) -> Result:
    """zpool list -H -o name,health."""
    given, _ = options(call.argv, "o")
    columns = (given.get("o") or "name,size,health").split(",")
    text = ""
    for name, health in call.node.storages.pools.items():
        values = {"name": name, "health": health, "readonly": "off", "size": "896G"}
        text += "\t".join(values.get(c, "-") for c in columns) + "\n"
    return Result(text, seconds=0.03)


def iscsiadm(call: Call) -> Result:
    """iscsiadm -m session (open-iscsi, iscsiadm(8))."""
    sessions = call.node.storages.sessions
    if not sessions:
        return Result("", "iscsiadm: No active sessions.\n", 21, 0.02)
    rows = (f"tcp: [{n}] 10.55.0.40:3260,1 {target} (non-flash)\n" for n, target in enumerate(sessions, start=1))
    return Result("".join(rows), seconds=0.02)


def losetup(call: Call) -> Result:
    """losetup -l -n -O NAME,BACK-FILE."""
    return Result("".join(f"{d} {f}\n" for d, f in call.node.guests.devices.loops().items()), seconds=0.01)


def rbd(call: Call) -> Result:
    """rbd --pool=POOL [options] ls --format json; never returns while no monitor answers."""
    given, operands = options(call.argv, "", ("format",))
    node, config = call.node, call.node.pmxcfs
    if operands != ["ls"]:
        return Result("", f"rbd: {operands} is not simulated\n", 127)
    if node.clock.now < node.storages.pools_silent_until:
        raise Hung("rbd")
    keyring = given.get("keyring", "")
    if node.storages.pools_refuse or not keyring or not config.mounted or not node.files.exists(keyring):
        where = keyring or "/etc/ceph/ceph.client.admin.keyring"
        why = f"auth: unable to find a keyring on {where}: (2) No such file or directory\n"
        return Result("", f"{why}rbd: couldn't connect to the cluster!\n", 1, 0.2)
    stores = [s for s in node.storages.all() if s.kind == "rbd" and s.settings.get("pool", "rbd") == given["pool"]]
    names = [name for s in stores for name in node.storages.images.get(s.ident, ())]
    return Result(json.dumps(sorted(names)) + "\n", seconds=0.2)


def ceph(call: Call) -> Result:
    """ceph -s -f json, where its daemons run."""
    if not any(p.comm.startswith("ceph-mon") for p in call.node.processes.table.values()):
        return Result("", "Error initializing cluster client: ObjectNotFound('RADOS object not found')\n", 1, 0.1)
    return Result(json.dumps({"health": {"status": call.node.storages.ceph_health, "checks": {}}}) + "\n", seconds=0.2)


def mount(call: Call) -> Result:
    """mount without operands: the table of mounts."""
    if call.argv:
        return Result("", "mount: only the list of mounts is simulated.\n", 32, 0.01)
    rows = "".join(f"{m.source} on {m.target} type {m.fstype} ({m.options})\n" for m in call.node.storages.all_mounts())
    return Result(rows)


def umount(call: Call) -> Result:
    """umount [-l] TARGET; /etc/pve is busy as long as pmxcfs serves it."""
    _, operands = options(call.argv)
    node = call.node
    target = operands[0]
    if target == "/etc/pve" and node.pmxcfs.mounted:
        node.pmxcfs.end()
        return Result(seconds=0.02)
    if target == "/etc/pve" and node.files.dead_mounts:
        node.files.dead_mounts -= 1
        return Result(seconds=0.02)
    found = next((m for m in node.storages.mounts if m.target == target), None)
    if found is None:
        return Result("", f"umount: {target}: not mounted.\n", 32, 0.01)
    node.storages.mounts.remove(found)
    return Result(seconds=0.02)


TABLE: Table = {
    "pvesm": pvesm,
    "lvs": lvs,
    "vgs": lvs,
    "zfs": zfs,
    "zpool": zpool,
    "iscsiadm": iscsiadm,
    "losetup": losetup,
    "rbd": rbd,
    "ceph": ceph,
    "mount": mount,
    "umount": umount,
}
