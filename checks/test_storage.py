"""Storage: there, mounted, whole and writable, kind by kind; read passively, nothing is mounted or imported for it."""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis import storage
from pve_runbook.diagnosis.shared_storage import owners_in_words, shared_by_guests
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal
from pve_runbook.terminal.screen import WARNING


@pytest.fixture
def sound(host):
    """Fails with what is wrong with storages of one kind; not evaluated where the node has none of it."""

    def judge(id_, problems, do):
        found = problems(host.pve)
        if found is None:
            pytest.skip("this node has no storage of this kind")
        assert not found, refusal(
            id_,
            host.pve.node,
            seen="; ".join(f"{storage}: {what}" for storage, what in found.items()),
            why="guests on it cannot be started, or stand still",
            do=do,
        )

    return judge


def test_directories_are_in_their_place(sound):
    """Every directory that is a storage is there, on the mount that it should be on."""
    sound(RefusalId.DIRECTORY_IS_MISPLACED, storage.misplaced, "Mount it: `findmnt`, /etc/fstab")


def test_network_storages_are_mounted(sound):
    """Every storage of files over the network is mounted."""
    sound(
        RefusalId.STORAGE_IS_NOT_MOUNTED,
        storage.not_mounted,
        "See that its server answers; pvestatd mounts it then within ten seconds",
    )


def test_network_storages_answer(sound):
    """Every mounted storage over the network answers."""
    sound(
        RefusalId.STORAGE_IS_SILENT,
        storage.silent,
        "Check its server and the network to it: `journalctl -k -g 'not responding'`",
    )


def test_storages_are_writable(sound):
    """No storage of files is mounted read-only."""
    sound(RefusalId.STORAGE_IS_READ_ONLY, storage.read_only, "Look at `dmesg` there, then remount")


def test_volume_groups_are_whole(sound):
    """Every volume group is there, with all its disks, and writable."""
    sound(RefusalId.VOLUME_GROUP_IS_BROKEN, storage.broken_groups, "Look at `vgs`, `pvs` and `dmesg`")


def test_thin_pools_have_room(sound):
    """Every thin pool is active, undamaged and less than 95 % full."""
    sound(RefusalId.THIN_POOL_IS_FULL, storage.broken_pools, "Look at `lvs -a`; extend it before anything is started")


def test_zfs_is_online(sound):
    """Every ZFS pool is online, its dataset there and writable."""
    sound(RefusalId.ZFS_IS_BROKEN, storage.broken_zfs, "Look at `zpool status -x`")


def test_iscsi_targets_have_sessions(sound):
    """The node is logged in to every iSCSI target."""
    sound(
        RefusalId.NO_ISCSI_SESSION,
        storage.without_session,
        "See that the portal answers; pvestatd logs in then within ten seconds",
    )


def test_ceph_is_healthy(sound):
    """The Ceph of these nodes is not in error."""
    sound(RefusalId.CEPH_IS_IN_ERROR, storage.unhealthy_ceph, "Look at `ceph -s`; reboot nothing meanwhile")


def test_pools_can_be_listed(sound):
    """Every pool of Ceph that is a storage can be listed."""
    sound(
        RefusalId.CEPH_POOL_IS_SILENT,
        storage.silent_pools,
        "See that its monitors answer, and that its key is in /etc/pve/priv/ceph",
    )


def test_storages_can_be_judged(host):
    """Every storage is of a kind that can be judged by reading alone."""
    found = storage.not_judged(host.pve)
    if found:
        told = ", ".join(f"{storage} ({kind})" for storage, kind in found.items())
        pytest.skip(f"{WARNING}nothing was read of {told}; --activate-storage asks Proxmox itself")


def test_proxmox_calls_them_active(host, options):
    """Proxmox itself calls every storage active."""
    if not options.activate_storage:
        pytest.skip("nobody asked: --activate-storage runs `pvesm status`, which mounts and imports what is not there")
    if host.pve.pvesm_would_write:
        pytest.skip("a storage is a pool of Ceph: `pvesm status` may write into /etc/pve for it, and is not asked")
    found = storage.inactive(host.pve)
    assert not found, refusal(
        RefusalId.STORAGE_IS_NOT_ACTIVE,
        host.pve.node,
        seen="; ".join(f"{storage} is {status}" for storage, status in found.items()),
        why="a guest on it cannot be started",
        do="Look at what `pvesm status` says on its standard error",
    )


def test_no_storage_has_guests_of_two_nodes(cluster):
    """No shared storage has disks of guests of two nodes."""
    found = shared_by_guests([n.facts for n in cluster.nodes], ())
    if found:
        told = "; ".join(f"{storage}: {owners_in_words(nodes)}" for storage, nodes in found.items())
        pytest.skip(f"{WARNING}{told}; once the nodes are apart no lock crosses them")
