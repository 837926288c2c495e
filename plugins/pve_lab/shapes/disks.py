"""Shapes in which guests have their disks on storages of other kinds, or not where their configuration says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pve_lab.model.cluster import Cluster
from pve_lab.model.node import Node
from pve_lab.model.pmxcfs import BUSY
from pve_lab.model.storage import Mount
from pve_lab.shapes import broken, nodes_of

Shape = Callable[[Cluster], None]

RUNNING, STOPPED = 101, 103
"""VMs of the first node."""
LONG = 300.0
"""Seconds for which a monitor of Ceph does not answer."""
TARGET = "iqn.2003-01.org.linux-iscsi.lab:san"
LUNS = ("scsi-36001405aaaa", "scsi-36001405bbbb")

# Proxmox ends a section at an empty line (PVE::SectionConfig).
RBD = "rbd: ceph-ext\n\tmonhost 10.55.0.21 10.55.0.22\n\tpool vms\n\tcontent images,rootdir\n\tusername pve\n\n"
KRBD = "rbd: ceph-krbd\n\tmonhost 10.55.0.21\n\tpool krbd\n\tcontent images,rootdir\n\tkrbd 1\n\n"
ISCSI = f"iscsi: san\n\tportal 10.55.0.40\n\ttarget {TARGET}\n\tcontent images\n\n"
GLUSTER = "glusterfs: gluster\n\tserver 10.55.0.31\n\tvolume gv0\n\tcontent images\n\n"
OVER_ISCSI = (
    f"zfs: zfs-san\n\tportal 10.55.0.41\n\ttarget {TARGET}\n\tpool tank\n\tiscsiprovider LIO\n\tcontent images\n\n"
)
DRBD = "drbd: linstor\n\tredundancy 2\n\tcontent images\n\n"
SHARED_LVM = "lvm: san-lvm\n\tvgname sanvg\n\tshared 1\n\tcontent images\n\n"
BACKUPS = "pbs: vault\n\tserver 10.55.0.50\n\tdatastore main\n\tcontent backup\n\n"
IMPORTS = "esxi: vcenter\n\tserver 10.55.0.51\n\tusername root\n\tcontent import\n\n"


@dataclass(frozen=True)
class Disk:
    """One more disk of a guest of the first node; `there`: whether its storage has it."""

    vmid: int
    line: str
    there: bool = True

    @property
    def volume(self) -> str:
        """The volume that the line names."""
        return self.line.partition(": ")[2].split(",")[0]


def on(storages: str, *disks: Disk, then: Shape = broken) -> Shape:
    """With these sections in storage.cfg and these disks of guests of the first node; each guest that runs was started
    with them."""

    def shape(cluster: Cluster) -> None:
        first = nodes_of(cluster)[0]
        text = first.pmxcfs.database.text("storage.cfg")
        first.pmxcfs.write("storage.cfg", f"{text}{storages}".encode())
        if RBD in storages:
            first.pmxcfs.mkdir("priv/ceph")
            for name, client in (("ceph-ext", "pve"), ("ceph-krbd", "admin")):
                key = f"[client.{client}]\n\tkey = LAB-SECRET-{name}\n"
                first.pmxcfs.write(f"priv/ceph/{name}.keyring", key.encode())
        for node in nodes_of(cluster) if GLUSTER in storages else ():
            node.files.make_directories("/mnt/pve/gluster/images")
            node.storages.mounts.append(Mount("/mnt/pve/gluster", "10.55.0.31:gv0", "fuse.glusterfs", "rw,relatime"))
        for disk in disks:
            _attach(first, disk)
        for vmid in {d.vmid for d in disks} & first.guests.running.keys():
            _restart(first, vmid)
        cluster.clock.advance(BUSY + 5.0)
        then(cluster)

    return shape


def _attach(node: Node, disk: Disk) -> None:
    config = node.guests.config(disk.vmid)
    if config is None:
        return
    head, bracket, snapshots = config.text.partition("\n[")
    node.pmxcfs.write(config.path, f"{head.rstrip()}\n{disk.line}\n{bracket}{snapshots}".encode())
    if disk.there:
        node.storages.add_volume(disk.volume)


def _restart(node: Node, vmid: int) -> None:
    config = node.guests.config(vmid)
    if config is not None:
        node.guests.end(vmid)
        node.guests.spawn(config, age=4000.0)


def logged_in(cluster: Cluster) -> None:
    """Every node has a session with the target, and then the cluster breaks."""
    for node in nodes_of(cluster):
        node.storages.sessions.append(TARGET)
    broken(cluster)


def silent_monitors(cluster: Cluster) -> None:
    """Broken, and no monitor of Ceph answers for a while."""
    broken(cluster)
    for node in nodes_of(cluster):
        node.storages.pools_silent_until = cluster.clock.now + LONG


def without_keyring(cluster: Cluster) -> None:
    """Broken, and the key of the pool was removed from /etc/pve."""
    nodes_of(cluster)[0].pmxcfs.remove("priv/ceph/ceph-ext.keyring")
    broken(cluster)


def nas_hangs(cluster: Cluster) -> None:
    """Broken, and on no node any access to the nas returns. A VM that is stopped has a disk there too."""
    for node in nodes_of(cluster):
        node.files.hung.add("/mnt/pve/nas")
        node.journal.add("", "kernel", 0, "nfs: server 10.55.0.9 not responding, still trying", 3)
    broken(cluster)


def disk_gone(cluster: Cluster) -> None:
    """Broken, and the file behind a disk of VM 301, which runs, was removed."""
    broken(cluster)
    nodes_of(cluster)[-1].files.discard("/var/lib/vz/images/301/vm-301-disk-0.qcow2")


ON_THE_NAS = (Disk(STOPPED, f"scsi5: nas:{STOPPED}/vm-{STOPPED}-disk-5.qcow2,size=8G"),)
ON_RBD = (
    Disk(RUNNING, f"scsi5: ceph-ext:vm-{RUNNING}-disk-5,size=8G"),
    Disk(STOPPED, f"scsi5: ceph-ext:vm-{STOPPED}-disk-5,size=8G"),
)
"""Of a VM that runs, and of one that is stopped."""
ON_KRBD = (Disk(RUNNING, f"scsi6: ceph-krbd:vm-{RUNNING}-disk-6,size=8G"),)
ON_ISCSI = (
    Disk(RUNNING, f"scsi5: san:0.0.1.{LUNS[0]},size=8G"),
    Disk(STOPPED, f"scsi5: san:0.0.2.{LUNS[1]},size=8G"),
)
ON_GLUSTER = (
    Disk(RUNNING, f"scsi5: gluster:{RUNNING}/vm-{RUNNING}-disk-5.qcow2,size=8G"),
    Disk(STOPPED, f"scsi5: gluster:{STOPPED}/vm-{STOPPED}-disk-5.qcow2,size=8G"),
)
ON_OTHERS = (
    Disk(RUNNING, f"scsi5: zfs-san:vm-{RUNNING}-disk-5,size=8G"),
    Disk(RUNNING, "scsi6: linstor:pm-a1b2c3d4,size=8G"),
    Disk(RUNNING, f"scsi7: san-lvm:vm-{RUNNING}-disk-7,size=8G"),
    Disk(STOPPED, f"scsi6: san-lvm:vm-{STOPPED}-disk-6,size=8G"),
)
"""Disks of storages that no listing shows are those of a VM that runs."""
ON_OTHERS_STOPPED = (
    *ON_OTHERS,
    Disk(STOPPED, f"scsi5: zfs-san:vm-{STOPPED}-disk-5,size=8G"),
    Disk(STOPPED, "scsi7: linstor:pm-e5f6a7b8,size=8G"),
)
