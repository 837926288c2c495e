"""The guests and storages of the default cluster."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

STORAGE_CFG = """dir: local
\tpath /var/lib/vz
\tcontent iso,vztmpl,backup,images,rootdir

lvmthin: local-lvm
\tthinpool data
\tvgname pve
\tcontent rootdir,images

zfspool: tank
\tpool tank/guests
\tcontent images,rootdir
\tmountpoint /tank/guests

nfs: nas
\texport /export/pve
\tpath /mnt/pve/nas
\tserver 10.55.0.9
\tcontent iso,backup,images
\tprune-backups keep-last=3

"""


@dataclass(frozen=True)
class Plan:
    """One guest of the default cluster; `disks` are config lines that name volumes."""

    offset: int
    kind: str
    name: str
    running: bool
    onboot: bool
    memory: int
    disks: tuple[str, ...]
    snapshot: bool = False
    template: bool = False


# Volumes say ID where the guest's number stands.
PLANS: tuple[tuple[Plan, ...], ...] = (
    (
        Plan(1, "qemu", "web", True, True, 2048, ("scsi0: local-lvm:vm-ID-disk-0,size=32G",)),
        Plan(
            2,
            "qemu",
            "db",
            True,
            True,
            8192,
            (
                "scsi0: tank:vm-ID-disk-0,size=40G",
                "scsi1: tank:vm-ID-disk-1,size=200G",
                "unused0: local-lvm:vm-ID-disk-0",
            ),
            snapshot=True,
        ),
        Plan(
            3,
            "qemu",
            "win",
            False,
            False,
            4096,
            (
                "efidisk0: local-lvm:vm-ID-disk-0,efitype=4m,size=4M",
                "scsi0: local-lvm:vm-ID-disk-1,size=64G",
                "tpmstate0: local-lvm:vm-ID-disk-2,size=4M,version=v2.0",
            ),
        ),
        Plan(10, "lxc", "dns", True, True, 512, ("rootfs: local-lvm:vm-ID-disk-0,size=4G",)),
        Plan(11, "lxc", "proxy", False, False, 1024, ("rootfs: tank:subvol-ID-disk-0,size=8G",)),
    ),
    (
        Plan(1, "qemu", "mail", True, True, 4096, ("scsi0: tank:vm-ID-disk-0,size=64G",)),
        Plan(
            2,
            "qemu",
            "ci",
            True,
            True,
            2048,
            ("ide2: local-lvm:vm-ID-cloudinit,media=cdrom,size=4M", "scsi0: local-lvm:vm-ID-disk-0,size=20G"),
        ),
        Plan(3, "qemu", "build", True, False, 2048, ("scsi0: nas:ID/vm-ID-disk-0.qcow2,size=24G",)),
        Plan(
            4,
            "qemu",
            "golden",
            False,
            False,
            2048,
            ("scsi0: local-lvm:base-ID-disk-0,size=10G",),
            template=True,
        ),
        Plan(
            10,
            "lxc",
            "files",
            True,
            True,
            1024,
            ("rootfs: tank:subvol-ID-disk-0,size=8G", "mp0: tank:subvol-ID-disk-1,mp=/srv,size=500G"),
        ),
    ),
    (
        Plan(
            1,
            "qemu",
            "monitor",
            True,
            True,
            1024,
            ("scsi0: local:ID/vm-ID-disk-0.qcow2,size=16G",),
            snapshot=True,
        ),
        Plan(2, "qemu", "legacy", False, False, 512, ("ide0: local:ID/vm-ID-disk-0.raw,size=8G",)),
        Plan(3, "qemu", "git", True, True, 2048, ("virtio0: local:ID/vm-ID-disk-0.qcow2,size=32G",)),
        Plan(10, "lxc", "ntp", True, True, 256, ("rootfs: local-lvm:vm-ID-disk-0,size=2G",)),
    ),
)


@dataclass(frozen=True)
class Inventory:
    """Storages and guests of a cluster; with more nodes than lists of guests the lists repeat.

    Only one node has guests on the nas.
    """

    storage_cfg: str
    plans: tuple[tuple[Plan, ...], ...]

    def of(self, number: int) -> list[tuple[int, Plan]]:
        """The guests of the node with that index: vmid and plan; names stay unique by the vmid."""
        hundred = 100 * (number + 1)
        plans = self.plans[number % len(self.plans)]
        if number >= len(self.plans):
            plans = tuple(replace(p, disks=tuple(d.replace("nas:", "local:") for d in p.disks)) for p in plans)
        return [(hundred + plan.offset, plan) for plan in plans]


RICH = Inventory(STORAGE_CFG, PLANS)
SHARED = Inventory(
    STORAGE_CFG,
    (*PLANS[:2], tuple(replace(p, disks=tuple(d.replace("local:", "nas:") for d in p.disks)) for p in PLANS[2])),
)
"""The same guests; those on files of pve3 lie on the nas, where a guest of pve2 has its volume."""


def config_text(vmid: int, plan: Plan, created: int) -> str:
    """The config of a guest as PVE writes it: keys sorted, snapshots as sections."""
    disks = [line.replace("ID", str(vmid)) for line in plan.disks]
    uid = uuid.uuid5(uuid.NAMESPACE_DNS, f"guest-{vmid}")
    mac = f"BC:24:11:00:{vmid // 100 % 256:02X}:{vmid % 100:02X}"
    if plan.kind == "lxc":
        lines = [
            "arch: amd64",
            "cores: 1",
            "features: nesting=1",
            f"hostname: {plan.name}{vmid}",
            f"memory: {plan.memory}",
            f"net0: name=eth0,bridge=vmbr0,hwaddr={mac},ip=dhcp,type=veth",
            "ostype: debian",
            "swap: 512",
            "unprivileged: 1",
            *disks,
        ]
    else:
        first = next(d for d in disks if d.split(":")[0] in ("scsi0", "virtio0", "ide0")).split(":")[0]
        lines = [
            f"boot: order={first}",
            "cores: 2",
            "cpu: x86-64-v2-AES",
            f"memory: {plan.memory}",
            f"meta: creation-qemu=9.0.2,ctime={created}",
            f"name: {plan.name}{vmid}",
            f"net0: virtio={mac},bridge=vmbr0",
            "numa: 0",
            "ostype: l26",
            "scsihw: virtio-scsi-single",
            f"smbios1: uuid={uid}",
            "sockets: 1",
            f"vmgenid: {uuid.uuid5(uid, 'generation')}",
            *disks,
        ]
    if plan.onboot:
        lines.append("onboot: 1")
    if plan.template:
        lines.append("template: 1")
    if plan.snapshot:
        section = sorted([*lines, f"snaptime: {created + 86400}"])
        lines.append("parent: before-update")
        return "\n".join(sorted(lines)) + "\n\n[before-update]\n#state before the update\n" + "\n".join(section) + "\n"
    return "\n".join(sorted(lines)) + "\n"
