"""Starting states in which disks lie on storages of other kinds, or are not where a configuration says, by name."""

from __future__ import annotations

from pve_lab.scenario import Scenario
from pve_lab.shapes import disks
from pve_lab.shapes.disks import on
from pve_lab.wiring import ONE_FOR_ALL


def _state(line: str, shape: disks.Shape) -> Scenario:
    return Scenario(line, shape, wiring=ONE_FOR_ALL)


DISKS: dict[str, Scenario] = {
    "rbd": _state(
        "broken, disks in pools of another cluster's Ceph, by librbd and by krbd",
        on(disks.RBD + disks.KRBD, *disks.ON_RBD, *disks.ON_KRBD),
    ),
    "rbd-silent": _state(
        "rbd, and no monitor answers for five minutes",
        on(disks.RBD + disks.KRBD, *disks.ON_RBD, *disks.ON_KRBD, then=disks.silent_monitors),
    ),
    "rbd-no-keyring": _state(
        "rbd, and the pool's key is not in /etc/pve", on(disks.RBD, *disks.ON_RBD, then=disks.without_keyring)
    ),
    "iscsi-disks": _state("broken, LUNs are disks", on(disks.ISCSI, *disks.ON_ISCSI, then=disks.logged_in)),
    "iscsi-no-session": _state("iscsi-disks, and the node is not logged in", on(disks.ISCSI, *disks.ON_ISCSI)),
    "glusterfs": _state("broken, disks on GlusterFS", on(disks.GLUSTER, *disks.ON_GLUSTER)),
    "other-plugins": _state(
        "broken, a running VM has disks on ZFS over iSCSI, on LINSTOR and on shared LVM",
        on(disks.OVER_ISCSI + disks.DRBD + disks.SHARED_LVM, *disks.ON_OTHERS),
    ),
    "other-plugins-stopped": _state(
        "other-plugins, and a stopped VM has such disks too",
        on(disks.OVER_ISCSI + disks.DRBD + disks.SHARED_LVM, *disks.ON_OTHERS_STOPPED),
    ),
    "backup-storages": _state(
        "broken, a backup server and an ESXi host are storages", on(disks.BACKUPS + disks.IMPORTS)
    ),
    "nas-hangs": _state(
        "broken, no access to the nas returns on any node", on("", *disks.ON_THE_NAS, then=disks.nas_hangs)
    ),
    "disk-gone": _state("broken, the file behind a running VM's disk was removed", disks.disk_gone),
}
