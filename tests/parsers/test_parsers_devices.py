"""Devices of a node, and what the processes of guests have open of them."""

from __future__ import annotations

import json

import pytest
from pve_runbook.parsers.devices.of_node import parse_dev_links, parse_loop_devices
from pve_runbook.parsers.devices.of_processes import (
    Mounted,
    drives_over_the_network,
    parse_mountinfos,
    parse_open_files,
)
from pve_runbook.parsers.output import Output, ParseError


def test_links_lead_to_devices() -> None:
    text = (
        "l\tpve/vm-101-disk-0\t../dm-6\nl\tmapper/pve-vm--101--disk--0\t../dm-6\nl\tzvol/tank/vm 1\t../../zd16\n"
        "l\tdisk/by-id/ata-WDC\\x20X\t../../sda\nl\tfd\t/proc/self/fd\n"
    )
    assert parse_dev_links(Output(text, "", 0)) == {
        "/dev/pve/vm-101-disk-0": "/dev/dm-6",
        "/dev/mapper/pve-vm--101--disk--0": "/dev/dm-6",
        "/dev/zvol/tank/vm 1": "/dev/zd16",
        "/dev/disk/by-id/ata-WDC\\x20X": "/dev/sda",
        "/dev/fd": "/proc/self/fd",
    }


def test_open_files_are_told_by_process() -> None:
    text = "/proc/12/fd /dev/dm-6\n/proc/12/fd /mnt/a b/vm.raw\n/proc/34/fd /x/vm.qcow2 (deleted)\n"
    gone = "find: '/proc/56/fd': No such file or directory\n"
    found = {12: frozenset({"/dev/dm-6", "/mnt/a b/vm.raw"}), 34: frozenset({"/x/vm.qcow2 (deleted)"})}
    assert parse_open_files(Output(text, "", 0)) == found
    assert parse_open_files(Output(text, gone, 1)) == found
    assert parse_open_files(Output("", gone, 1)) == {}
    with pytest.raises(ParseError):
        parse_open_files(Output(text, "find: '/proc/56/fd': Permission denied\n", 1))


def test_mounts_are_told_by_process() -> None:
    text = (
        "/proc/12/mountinfo:36 35 98:0 / / rw,noatime master:1 - ext4 /dev/mapper/pve-root rw\n"
        "/proc/12/mountinfo:40 36 7:0 /images/1\\0402 /var/lib/lxc/110/rootfs rw - ext4 /dev/loop0 rw\n"
    )
    gone = "grep: /proc/56/mountinfo: No such file or directory\n"
    found = {12: (Mounted("/dev/mapper/pve-root", "/"), Mounted("/dev/loop0", "/images/1 2"))}
    assert parse_mountinfos(Output(text, "", 0)) == found
    assert parse_mountinfos(Output(text, gone, 2)) == found


def test_files_behind_loop_devices() -> None:
    text = "/dev/loop0 /var/lib/vz/images/110/vm-110-disk-0.raw\n/dev/loop12 /mnt/a b.raw (deleted)\n"
    found = {"/dev/loop0": "/var/lib/vz/images/110/vm-110-disk-0.raw", "/dev/loop12": "/mnt/a b.raw (deleted)"}
    assert parse_loop_devices(Output(text, "", 0)) == found
    lost = "/dev/loop0        /var/lib/vz/images/110/vm-110-disk-0.raw\n/dev/loop12 (lost) /mnt/a b.raw (deleted)\n"
    assert parse_loop_devices(Output(lost, "", 0)) == found


def test_disks_that_qemu_reaches_itself() -> None:
    rbd = {"driver": "raw", "file": {"driver": "rbd", "pool": "vms", "namespace": "blue", "image": "vm-1-disk-2"}}
    local = {"driver": "raw", "file": {"driver": "host_device", "filename": "/dev/pve/vm-1-disk-3"}}
    nodes = ({"driver": "throttle", "file": f, "node-name": f"drive-scsi{n}"} for n, f in enumerate((rbd, local), 2))
    blockdevs = "".join(f" -blockdev {json.dumps(node, separators=(',', ':'))}" for node in nodes)
    arguments = (
        " -name x -drive file=rbd:vms/vm-1-disk-0:conf=/etc/pve/ceph.conf:id=admin,if=none,id=drive-scsi0,format=raw"
        " -drive file=/dev/pve/vm-1-disk-1,if=none,id=drive-virtio0"
        " -drive file=iscsi://user%secret@10.0.0.1/iqn.x/3,if=none,id=drive-scsi1"
        " -drive file=gluster://10.0.0.2/gv0/images/1/vm-1-disk-5.raw,if=none,id=drive-sata0"
        f"{blockdevs} -blockdev {{broken"
    )
    assert drives_over_the_network(arguments) == (
        ("scsi0", "rbd:vms/vm-1-disk-0"),
        ("scsi1", "iscsi:"),
        ("sata0", "gluster://10.0.0.2/gv0/images/1/vm-1-disk-5.raw"),
        ("scsi2", "rbd:vms/blue/vm-1-disk-2"),
    )
