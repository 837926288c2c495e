"""Whether a volume is there: by what its guest's process has open, and by the listings."""

from __future__ import annotations

from typing import Any

import pytest
from pve_runbook.facts.node import NodeFacts
from pve_runbook.facts.volumes import Judge, State, VolumeTruth, lies_on
from pve_runbook.parsers.devices.of_processes import Mounted
from pve_runbook.parsers.guests import GuestProcess, Volume
from pve_runbook.parsers.output import TimedOut
from pve_runbook.parsers.storage import parse_storage_cfg_text, rbd_options
from pve_runbook.probes.answers import Missing, UnknownFact

CFG = """\
dir: local
\tpath /var/lib/vz

nfs: nas
\tserver 10.0.0.9
\texport /x

dir: own
\tpath /mnt/own
\tcontent-dirs images=vms

btrfs: bt
\tpath /bt

glusterfs: gv
\tserver 10.0.0.3
\tvolume gv0

lvm: bare

lvmthin: local-lvm
\tthinpool data
\tvgname pve

zfspool: tank
\tpool rpool/data

rbd: ceph
\tpool vms

rbd: blue
\tpool vms
\tnamespace blue
\tkrbd 1

iscsi: san
\tportal 10.0.0.4
\ttarget iqn.x

zfs: behind
\tportal 10.0.0.4
\ttarget iqn.y

drbd: linstor
\tredundancy 2
"""
STORES = parse_storage_cfg_text(CFG)
KEYS = ("ceph.keyring",)
NAMES = frozenset({"101/vm-101-disk-0.raw", "101/vm-101-disk-1", "200/subvol-200-disk-0.subvol"})
LINKS = {
    "/dev/pve/vm-101-disk-0": "/dev/dm-6",
    "/dev/mapper/pve-vm--101--disk--0": "/dev/dm-6",
    "/dev/zvol/rpool/data/vm-101-disk-0": "/dev/zd16",
    "/dev/rbd-pve/5f2f0c11-22aa-4a57-9d4e-07cdf2418b56/vms/blue/vm-101-disk-0": "/dev/rbd0",
    "/dev/disk/by-id/scsi-3600": "/dev/sdc",
    "/dev/drbd/by-res/pm-a1b2/0": "/dev/drbd1000",
}
SILENT = Missing("timed out", TimedOut)


def facts_with(**more: object) -> NodeFacts:
    """A node that lists everything; ``more`` readings, a key's colon written as two underscores."""
    readings: dict[str, object] = {
        "hostname": "pve1",
        "storage_cfg": STORES,
        "lvs": {("pve", "vm-101-disk-0"): None},
        "zfs": frozenset({"rpool/data/vm-101-disk-0", "rpool/data/subvol-200-disk-0"}),
        "files:/var/lib/vz": NAMES,
        "files:/bt": NAMES,
        "images:/mnt/own/vms": NAMES,
        "images:/var/lib/vz/template/iso": frozenset({"a b.iso"}),
        "ceph_files": KEYS,
        f"rbd:{rbd_options(STORES['ceph'], KEYS)}": frozenset({"vm-101-disk-0"}),
        "iscsi_sessions": frozenset({"iqn.x"}),
        "dev_links": LINKS,
    }
    return NodeFacts("pve1", readings | more)


def silent() -> NodeFacts:
    """A node on which no storage answers."""
    facts = facts_with()
    kept = ("hostname", "storage_cfg", "dev_links")
    return NodeFacts("pve1", {k: v if k in kept else SILENT for k, v in facts.readings.items()})


def vol(volid: str, key: str = "scsi0", snapshot: str | None = None) -> Volume:
    name = volid.partition(":")
    return Volume(key, name[0], name[2], volid, snapshot)


def judged(facts: NodeFacts, volume: Volume, process: GuestProcess | None = None) -> VolumeTruth:
    return Judge(facts).of(101, volume, {101: process} if process is not None else {})


@pytest.mark.parametrize(
    ("volid", "exists"),
    [
        ("local:101/vm-101-disk-0.raw", True),
        ("local:101/vm-101-disk-7.raw", False),
        ("local:101/base-101-disk-0.qcow2/101/vm-101-disk-0.raw", True),
        ("local:200/subvol-200-disk-0.subvol", True),
        ("own:101/vm-101-disk-0.raw", True),
        ("own:101/vm-101-disk-9.raw", False),
        ("bt:101/vm-101-disk-1.raw", True),
        ("bt:101/vm-101-disk-2.raw", False),
        ("local-lvm:vm-101-disk-0", True),
        ("local-lvm:vm-101-disk-1", False),
        ("tank:vm-101-disk-0", True),
        ("tank:basevol-900-disk-0/subvol-200-disk-0", True),
        ("tank:vm-101-disk-1", False),
        ("ceph:base-9-disk-0/vm-101-disk-0", True),
        ("ceph:vm-101-disk-1", False),
        ("san:0.0.1.scsi-3600", True),
        ("san:0.0.1.scsi-3601", False),
        ("local:iso/a b.iso", True),
        ("local:iso/b.iso", False),
    ],
)
def test_a_volume_lies_on_its_storage_or_not(volid: str, exists: bool) -> None:
    volume = vol(volid)
    assert lies_on(volume, STORES[volume.storage], facts_with()) is exists


@pytest.mark.parametrize(
    "volid",
    [
        *("local:101/vm-101-disk-0.raw", "own:101/vm-101-disk-0.raw", "local-lvm:vm-101-disk-0", "tank:x", "bt:1/x"),
        *("nas:101/vm-101-disk-0.raw", "ceph:vm-101-disk-0", "san:0.0.1.scsi-3600", "san:strange", "gv:101/x.raw"),
    ],
)
def test_without_its_listing_a_volume_is_unknown(volid: str) -> None:
    assert judged(silent(), vol(volid)).state is State.UNKNOWN


@pytest.mark.parametrize(
    "volid", ["behind:vm-101-disk-0", "linstor:pm-a1b2", "bare:vm-101-disk-0", "local:rootdir/101"]
)
def test_what_no_listing_shows_is_unknown(volid: str) -> None:
    assert judged(facts_with(), vol(volid)).state is State.UNKNOWN


def test_without_a_session_nothing_is_said_of_a_target() -> None:
    facts = facts_with(iscsi_sessions=frozenset())
    with pytest.raises(UnknownFact, match=r"no session with iqn\.x"):
        facts.listing(STORES["san"])


@pytest.mark.parametrize(
    ("volid", "target"),
    [
        ("nas:101/vm-101-disk-0.raw", "/mnt/pve/nas/images/101/vm-101-disk-0.raw"),
        ("own:101/vm-101-disk-0.raw", "/mnt/own/vms/101/vm-101-disk-0.raw"),
        ("bt:101/vm-101-disk-1.raw", "/bt/images/101/vm-101-disk-1/disk.raw"),
        ("local-lvm:vm-101-disk-0", "/dev/dm-6"),
        ("tank:vm-101-disk-0", "/dev/zd16"),
        ("blue:vm-101-disk-0", "/dev/rbd0"),
        ("san:0.0.1.scsi-3600", "/dev/sdc"),
        ("linstor:pm-a1b2", "/dev/drbd1000"),
        ("linstor:pm-a1b2_101", "/dev/drbd1000"),
        ("unheard-of:pm-a1b2", "/dev/drbd1000"),
        ("local:iso/a b.iso", "/var/lib/vz/template/iso/a b.iso"),
    ],
)
def test_a_disk_that_a_running_vm_has_open_is_there_whatever_answers(volid: str, target: str) -> None:
    facts, process = silent(), GuestProcess(101, 4711, "qemu", False)
    unproven = judged(facts, vol(volid), process)
    assert unproven.state is not State.THERE
    facts.readings["open_files:4711"] = {4711: frozenset({target, "/dev/kvm"})}
    assert judged(facts, vol(volid), process).state is State.THERE
    facts.readings["open_files:4711"] = {4711: frozenset({f"{target} (deleted)"}), 99: frozenset({target})}
    assert judged(facts, vol(volid), process).state is not State.THERE


@pytest.mark.parametrize(
    ("volid", "address"),
    [
        ("ceph:vm-101-disk-0", "rbd:vms/vm-101-disk-0"),
        ("behind:vm-101-disk-0", "iscsi:"),
        ("gv:101/vm-101-disk-0.raw", "gluster://10.0.0.3/gv0/images/101/vm-101-disk-0.raw"),
    ],
)
def test_so_is_one_that_qemu_reaches_over_the_network(volid: str, address: str) -> None:
    facts = silent()

    def state(key: str, where: str) -> State:
        return judged(facts, vol(volid), GuestProcess(101, 4711, "qemu", False, ((key, where),))).state

    assert state("scsi0", address) is State.THERE
    assert state("scsi0", "rbd:vms/vm-101-disk-00") is State.UNKNOWN
    assert (state("scsi1", address) is State.THERE) is (address != "iscsi:")


@pytest.mark.parametrize(
    ("volid", "mount", "loops"),
    [
        ("local-lvm:vm-101-disk-0", Mounted("/dev/mapper/pve-vm--101--disk--0", "/"), {}),
        ("tank:subvol-101-disk-0", Mounted("rpool/data/subvol-101-disk-0", "/"), {}),
        ("blue:vm-101-disk-0", Mounted("/dev/rbd0", "/"), {}),
        (
            "nas:101/vm-101-disk-0.raw",
            Mounted("/dev/loop3", "/"),
            {"/dev/loop3": "/mnt/pve/nas/images/101/vm-101-disk-0.raw"},
        ),
        ("nas:101/subvol-101-disk-0.subvol", Mounted("10.0.0.9:/x", "/images/101/subvol-101-disk-0.subvol"), {}),
    ],
)
def test_a_volume_that_a_running_container_has_mounted_is_there(volid: str, mount: Mounted, loops: Any) -> None:
    facts, process = silent(), GuestProcess(101, 4711, "lxc", False)
    facts.readings["loop_devices"] = loops
    assert judged(facts, vol(volid, "rootfs"), process).state is not State.THERE
    facts.readings["mountinfos:4711"] = {4711: (Mounted("/dev/mapper/pve-root", "/"), mount)}
    assert judged(facts, vol(volid, "rootfs"), process).state is State.THERE


@pytest.mark.parametrize(
    ("volume", "in_use"),
    [
        (vol("local-lvm:vm-101-disk-9"), True),
        (vol("local-lvm:vm-101-disk-9", "efidisk0"), True),
        (vol("local-lvm:vm-101-disk-9", "tpmstate0"), False),
        (vol("local-lvm:vm-101-disk-9", "unused0"), False),
        (vol("local-lvm:vm-101-cloudinit", "ide2"), False),
        (vol("local:iso/b.iso", "ide3"), False),
        (vol("local-lvm:vm-101-disk-9", snapshot="before"), False),
    ],
)
def test_what_a_guest_that_runs_has_to_have_open(volume: Volume, in_use: bool) -> None:
    process = GuestProcess(101, 4711, "qemu", False)
    assert judged(facts_with(), volume, process).in_use is in_use
    assert judged(facts_with(), volume).in_use is False
    assert Judge(facts_with()).of(101, volume, None).in_use is in_use


def test_a_storage_that_the_node_has_not_is_said() -> None:
    found = judged(facts_with(), vol("oldssd:vm-101-disk-0", "unused3"))
    assert (found.state, found.why, found.volume.may_be_gone) == (State.GONE, "this node has no storage oldssd", True)


def test_a_line_that_names_no_volume_is_in_no_guests_use() -> None:
    """Proxmox passes it over (qemu-server, parse_vm_config): no process was given it."""
    volume = Volume("scsi9", "", "what is this", "what scsi9 names", None)
    found = judged(facts_with(), volume, GuestProcess(101, 4711, "qemu", False))
    assert (found.state, found.in_use) == (State.GONE, False)
    assert found.why == "its line names no volume, and Proxmox passes it over"
