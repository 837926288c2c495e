"""What Proxmox's tools and files say, word for word (recorded on PVE 8.3); shared by all labs."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pve_lab.formats.corosync_conf import CorosyncConf
from pve_lab.formats.guest_config import GuestConfig
from pve_lab.formats.storage_cfg import Storage

NO_QUORUM = "cluster not ready - no quorum?\n"
FENCING_STANDBY = "fencing standby (CRM watchdog standby)\n"
"""A line of `ha-manager status` from pve-ha-manager 5.1.3 on, also where HA manages nothing (recorded on PVE 9.1)."""
REFUSED = (
    "ipcc_send_rec[1] failed: Connection refused\nipcc_send_rec[2] failed: Connection refused\n"
    "ipcc_send_rec[3] failed: Connection refused\nUnable to load access control list: Connection refused\n"
)
NO_CMAP = "Cannot initialize CMAP service\n"
NO_CLUSTER = "Error: Corosync config '/etc/pve/corosync.conf' does not exist - is this node part of a cluster?\n"


def stamp(seconds: float) -> str:
    """A time as Perl's localtime prints it."""
    moment = time.gmtime(seconds)
    return f"{time.strftime('%a %b', moment)} {moment.tm_mday:>2} {time.strftime('%H:%M:%S %Y', moment)}"


def cluster_information(conf: CorosyncConf) -> str:
    """The head of `pvecm status`."""
    return (
        "Cluster information\n-------------------\n"
        f"Name:             {conf.cluster_name}\nConfig Version:   {conf.config_version}\n"
        "Transport:        knet\nSecure auth:      on\n\n"
    )


# -- generated files of /etc/pve ------------------------------------------------------------------


def no_members(name: str) -> str:
    """.members of a node that never reached corosync, or is standalone."""
    return f'{{\n"nodename": "{name}",\n"version": 0\n}}\n'


def members(
    name: str, version: int, conf: CorosyncConf, online: Collection[str], known: Mapping[str, str], *, quorate: bool
) -> str:
    """.members (pve-cluster status.c); `known` are the addresses that members told of themselves."""
    rows = []
    for member in conf.members:
        address = f', "ip": "{known[member.name]}"' if member.name in known else ""
        rows.append(f'  "{member.name}": {{ "id": {member.nodeid}, "online": {int(member.name in online)}{address}}}')
    return (
        f'{{\n"nodename": "{name}",\n"version": {version},\n'
        f'"cluster": {{ "name": "{conf.cluster_name}", "version": {conf.config_version}, '
        f'"nodes": {len(conf.members)}, "quorate": {int(quorate)} }},\n'
        '"nodelist": {\n' + ",\n".join(rows) + "\n  }\n}\n"
    )


def vmlist(guests: Iterable[tuple[int, str, str, int]]) -> str:
    """.vmlist; its order is a hash table's, not sorted."""
    rows = [
        f'"{vmid}": {{ "node": "{owner}", "type": "{kind}", "version": {version} }}'
        for vmid, owner, kind, version in sorted(guests, key=lambda g: (g[0] * 7919) % 1009)
    ]
    if not rows:
        return '{\n"version": 1\n\n}\n'
    return '{\n"version": 1,\n"ids": {\n' + ",\n".join(rows) + "}\n\n}\n"


# -- lists ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GuestRow:
    """A guest in a list; `pid` 0 when it does not run."""

    config: GuestConfig
    state: str
    pid: int


def qm_list(rows: Sequence[GuestRow]) -> str:
    """`qm list`; nothing at all without VMs."""
    text = f"{'VMID':>10} {'NAME':<20} {'STATUS':<10} {'MEM(MB)':<10} {'BOOTDISK(GB)':>12} {'PID':<10}\n"
    for row in rows:
        config, size = row.config, row.config.boot_disk_bytes / 1024**3
        text += f"{config.vmid:>10} {config.name:<20} {row.state:<10} {config.memory:<10} {size:>12.2f} {row.pid:<10}\n"
    return text if rows else ""


def pct_list(rows: Sequence[GuestRow]) -> str:
    """`pct list`; nothing at all without containers."""
    text = f"{'VMID':<10} {'Status':<10} {'Lock':<12} {'Name':<20}\n"
    for row in rows:
        text += f"{row.config.vmid:<10} {row.state:<10} {row.config.lock:<12} {row.config.name:<20}\n"
    return text if rows else ""


@dataclass(frozen=True)
class StorageRow:
    """A storage in `pvesm status`; sizes in KiB."""

    storage: Storage
    state: str
    total: int = 0
    used: int = 0


def pvesm_status(rows: Iterable[StorageRow], *, kib: bool) -> str:
    """`pvesm status`; `kib`: with units in the title, as since pve-storage 9.0.14."""
    ordered = sorted(rows, key=lambda row: row.storage.ident)
    width = max(len(row.storage.ident) for row in ordered) + 1
    unit = " (KiB)" if kib else ""
    text = _storage_row(width, "Name", "Type", "Status", f"Total{unit}", f"Used{unit}", f"Available{unit}", "%")
    for row in ordered:
        percent = f"{row.used * 100 / row.total:.2f}%" if row.total else "0.00%"
        percent = "N/A" if row.state == "disabled" else percent
        sizes = (str(row.total), str(row.used), str(max(row.total - row.used, 0)))
        text += _storage_row(width, row.storage.ident, row.storage.kind, row.state, *sizes, percent)
    return text


def _storage_row(width: int, *cells: str) -> str:
    name, kind, state, total, used, available, percent = cells
    return f"{name:<{width}} {kind:>10} {state:>10} {total:>15} {used:>15} {available:>15} {percent:>8}\n"
