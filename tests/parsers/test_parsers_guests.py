"""Guests: configurations with everything that has a volume, the database's tree, lists and processes."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pve_runbook.parsers import config_db, guests
from pve_runbook.parsers.guests import GuestProcess, GuestStatus, Volume, parse_guest_config
from pve_runbook.parsers.output import Output, ParseError

VM = b"""\
#A comment: with%3A a colon\xc2\x85and an odd line break
boot: order=scsi0
cipassword: $5$secret
efidisk0: local-lvm:vm-100-disk-0,efitype=4m,size=4M
ide0: nas:iso/debian-12.iso,media=cdrom,size=600M
ide1: none,media=cdrom
ide2: local-lvm:vm-100-cloudinit,media=cdrom
ide3: nas:100/vm-100-cloudinit.qcow2,media=cdrom,size=4M
lock: backup
name: web
onboot: 1
parent: before
sata0: cdrom,media=cdrom
scsi0: nas:100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2,discard=on,size=32G
scsi1: /dev/disk/by-id/ata-X,size=1T
scsi2: file=tank:vm-100-disk-2,size=1G
tpmstate0: local-lvm:vm-100-disk-1,size=4M,version=v2.0
unused3: local-lvm:vm-100-disk-9
virtio15: local-lvm:vm-100-disk-3,size=8G

[before]
scsi0: nas:100/vm-100-disk-0.qcow2,size=32G
snaptime: 1731900000
vmstate: local-lvm:vm-100-state-before

[PENDING]
delete: unused3
scsi4: local-lvm:vm-100-disk-4,size=8G
virtio15: local-lvm:vm-100-disk-3,size=16G

[special:cloudinit]
ide2: local-lvm:vm-100-cloudinit,media=cdrom
"""

CT = b"""\
arch: amd64
hostname: db
lxc.cgroup2.devices.allow: c 10:200 rwm
lxc.idmap = u 0 100000 65536
mp0: tank:subvol-200-disk-1,mp=/data,size=8G
mp1: /srv/share,mp=/srv
mp2: volume=local:200/vm-200-disk-2.raw,mp=/x,size=1G
rootfs: tank:basevol-900-disk-0/subvol-200-disk-0,size=8G
scsi0: not a disk of a container
template: yes
unused0: tank:subvol-200-disk-7

[snap]
rootfs: tank:subvol-200-disk-0,size=8G

[pve:pending]
mp3: tank:subvol-200-disk-3,mp=/new,size=1G
"""


def test_every_kind_of_volume_of_a_vm() -> None:
    config = parse_guest_config(100, "pve1", "qemu", VM)
    lvm = "local-lvm"
    assert config.volumes == (
        Volume("efidisk0", lvm, "vm-100-disk-0", "local-lvm:vm-100-disk-0", None),
        Volume("ide2", lvm, "vm-100-cloudinit", "local-lvm:vm-100-cloudinit", None),
        Volume("ide3", "nas", "100/vm-100-cloudinit.qcow2", "nas:100/vm-100-cloudinit.qcow2", None),
        Volume(
            "scsi0",
            "nas",
            "100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2",
            "nas:100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2",
            None,
        ),
        Volume("scsi2", "tank", "vm-100-disk-2", "tank:vm-100-disk-2", None),
        Volume("tpmstate0", lvm, "vm-100-disk-1", "local-lvm:vm-100-disk-1", None),
        Volume("unused3", lvm, "vm-100-disk-9", "local-lvm:vm-100-disk-9", None),
        Volume("virtio15", lvm, "vm-100-disk-3", "local-lvm:vm-100-disk-3", None),
        Volume("scsi0", "nas", "100/vm-100-disk-0.qcow2", "nas:100/vm-100-disk-0.qcow2", "before"),
        Volume("vmstate", lvm, "vm-100-state-before", "local-lvm:vm-100-state-before", "before"),
        Volume("scsi4", lvm, "vm-100-disk-4", "local-lvm:vm-100-disk-4", None),
    )
    assert (config.name, config.onboot, config.lock, config.template) == ("web", True, "backup", False)
    assert config.snapshots == ("before",)
    assert config.sha256 == hashlib.sha256(VM).hexdigest()


def test_every_kind_of_volume_of_a_container() -> None:
    config = parse_guest_config(200, "pve2", "lxc", CT)
    assert [(volume.key, volume.volid, volume.snapshot) for volume in config.volumes] == [
        ("mp0", "tank:subvol-200-disk-1", None),
        ("mp2", "local:200/vm-200-disk-2.raw", None),
        ("rootfs", "tank:basevol-900-disk-0/subvol-200-disk-0", None),
        ("unused0", "tank:subvol-200-disk-7", None),
        ("rootfs", "tank:subvol-200-disk-0", "snap"),
        ("mp3", "tank:subvol-200-disk-3", None),
    ]
    assert (config.name, config.onboot, config.lock, config.template) == ("db", False, None, True)
    assert (config.kind, config.snapshots) == ("lxc", ("snap",))


def test_a_lock_or_name_of_a_snapshot_is_not_the_guests() -> None:
    config = parse_guest_config(100, "pve1", "qemu", b"memory: 16\n[old]\nlock: backup\nname: was\nonboot: 1\n")
    assert (config.name, config.onboot, config.lock) == ("", False, None)


@pytest.mark.parametrize("line", [b"what is this", b"  scsi9: local-lvm:vm-100-disk-9", b"onboot: perhaps", b"foo=bar"])
def test_a_line_that_proxmox_passes_over_spoils_itself_and_is_not_shown(line: bytes) -> None:
    plain = parse_guest_config(100, "pve1", "qemu", b"cipassword: $5$secret\nscsi0: tank:vm-100-disk-0\n")
    with_it = parse_guest_config(
        100, "pve1", "qemu", b"cipassword: $5$secret\n" + line + b"\nscsi0: tank:vm-100-disk-0\n"
    )
    assert (with_it.volumes, with_it.onboot) == (plain.volumes, False)
    [skipped] = with_it.skipped
    assert (skipped.file, skipped.line) == ("/etc/pve/nodes/pve1/qemu-server/100.conf", 2)
    assert line.decode() not in str(skipped)


def test_a_disk_that_names_no_volume_is_one_that_nothing_shows() -> None:
    """It may be a form that this tool does not know: it is not as if there were no disk."""
    config = parse_guest_config(100, "pve1", "qemu", b"scsi0: nothing\nscsi1: tank:vm-100-disk-1\n")
    assert [(v.key, v.storage, v.volid) for v in config.volumes] == [
        ("scsi0", "", "what scsi0 names"),
        ("scsi1", "tank", "tank:vm-100-disk-1"),
    ]
    assert [str(s) for s in config.skipped] == [
        "/etc/pve/nodes/pve1/qemu-server/100.conf, line 1: scsi0 names no volume"
    ]


def rows(files: dict[str, bytes], head: str = "version|545|1795415359|2\n") -> str:
    return head + "".join(f"file|{path}|{data.hex().upper()}\n" for path, data in files.items())


FILES = {
    "corosync.conf": b"totem {\n}\n",
    "ha/crm_commands": b"",
    "nodes/pve1/qemu-server/100.conf": VM,
    "nodes/pve2/lxc/200.conf": CT,
    "nodes/pve2/openvz/999.conf": b"old",
    "odd|name.conf": b"x",
}


def test_the_tree_of_the_database() -> None:
    tree = config_db.parse_config_tree(Output(rows(FILES), "", 0))
    assert (tree.version, tree.mtime, tree.writer, tree.files) == (545, 1795415359, 2, FILES)
    assert tree.text("corosync.conf") == "totem {\n}\n"
    assert tree.text("jobs.cfg") is None
    assert config_db.guest_conf_paths(tree) == {
        100: ("pve1", "qemu", "nodes/pve1/qemu-server/100.conf"),
        200: ("pve2", "lxc", "nodes/pve2/lxc/200.conf"),
    }
    found = tree.guests
    assert found[100] == parse_guest_config(100, "pve1", "qemu", VM)
    assert found[200] == parse_guest_config(200, "pve2", "lxc", CT)


@given(st.dictionaries(st.from_regex(r"[a-z/]{1,9}", fullmatch=True), st.binary(max_size=40), max_size=5))
def test_the_tree_holds_what_the_database_held(files: dict[str, bytes]) -> None:
    assert config_db.parse_config_tree(Output(rows(files), "", 0)).files == files


def test_one_guest_id_on_two_nodes_is_refused() -> None:
    twice = FILES | {"nodes/pve3/lxc/100.conf": CT}
    tree = config_db.parse_config_tree(Output(rows(twice), "", 0))
    with pytest.raises(ParseError, match="Guest 100 stands twice"):
        _ = tree.guests


@pytest.mark.parametrize(
    "text",
    [
        rows(FILES, head=""),
        rows(FILES) + "version|1|2|3\n",
        rows(FILES) + "file|ha/resources.cfg|0g\n",
        rows(FILES) + "file|corosync.conf|00\n",
        rows(FILES) + "file|jobs.cfg\n",
        rows(FILES) + "dir|ha|00\n",
        rows(FILES) + "file||00\n",
        "version|545|x|2\n",
    ],
)
def test_rows_that_cannot_be_a_tree_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        config_db.parse_config_tree(Output(text, "", 0))


def test_a_locked_database_is_unknown_even_if_rows_came() -> None:
    with pytest.raises(ParseError, match="database is locked"):
        config_db.parse_config_tree(Output(rows(FILES), "Error: database is locked\n", 5))


def test_the_journal_gets_no_content() -> None:
    text = config_db.redact_config_tree(Output(rows(FILES), "", 0))
    path = "nodes/pve1/qemu-server/100.conf"
    assert f"{path} {len(VM)} bytes sha256 {hashlib.sha256(VM).hexdigest()}\n" in text
    assert text.startswith("version 545 mtime 1795415359 writer 2\n")
    assert len(text.splitlines()) == 1 + len(FILES)
    for secret in (VM.hex(), VM.hex().upper(), "secret"):
        assert secret not in text
    broken = Output(rows(FILES) + "file|x|zz\n", "", 0)
    assert (
        config_db.redact_config_tree(broken) == f"{len(broken.stdout)} characters that are no configuration database\n"
    )


def test_qm_list_with_odd_names_and_states() -> None:
    text = (
        "      VMID NAME                 STATUS     MEM(MB)    BOOTDISK(GB) PID       \n"
        "       100 VM 100               io-error   4096              40.20 1113      \n"
        "       101 a-name-longer-than-twenty-chars internal-error 0.5               2.20 77        \n"
        "1000000000 x                    stopped    2048               0.00 0         \n"
    )
    assert guests.parse_qm_list(Output(text, "storage 'nas' is not online\n", 0)) == {
        100: GuestStatus(100, "VM 100", "io-error", 1113, None),
        101: GuestStatus(101, "a-name-longer-than-twenty-chars", "internal-error", 77, None),
        1000000000: GuestStatus(1000000000, "x", "stopped", None, None),
    }
    assert guests.parse_qm_list(Output("", "", 0)) == {}


def test_pct_list_with_locks() -> None:
    text = (
        "VMID       Status     Lock         Name                \n"
        "102        stopped                 openclaw            \n"
        "105        running    snapshot-delete picoclaw            \n"
    )
    assert guests.parse_pct_list(Output(text, "", 0)) == {
        102: GuestStatus(102, "openclaw", "stopped", None, None),
        105: GuestStatus(105, "picoclaw", "running", None, "snapshot-delete"),
    }
    assert guests.parse_pct_list(Output("", "", 0)) == {}


def test_a_list_of_another_form_is_unknown() -> None:
    header = "      VMID NAME                 STATUS     MEM(MB)    BOOTDISK(GB) PID       \n"
    with pytest.raises(ParseError, match="100 cut off"):
        guests.parse_qm_list(Output(header + "       100 cut off\n", "", 0))
    with pytest.raises(ParseError):
        guests.parse_qm_list(Output("VMID NAME\n", "", 0))
    with pytest.raises(ParseError):
        guests.parse_pct_list(Output("VMID       Status     Lock         Name\n1 2\n", "", 0))


def test_guest_processes_of_both_kinds() -> None:
    text = (
        "1113 /usr/bin/kvm -id 100 -name web,debug-threads=on -pidfile /var/run/qemu-server/100.pid\n"
        "2226 /usr/bin/kvm -id 101 -name in -incoming unix:/run/qemu-server/101.migrate -S\n"
        "3339 /usr/bin/lxc-start -F -n 200\n"
    )
    assert guests.parse_guest_processes(Output(text, "", 0)) == {
        100: GuestProcess(100, 1113, "qemu", False),
        101: GuestProcess(101, 2226, "qemu", True),
        200: GuestProcess(200, 3339, "lxc", False),
    }
    assert guests.parse_guest_processes(Output("", "", 1)) == {}


@pytest.mark.parametrize(
    ("args", "vmid", "kind"),
    [
        ("/usr/bin/kvm -id 101 -name x", 101, "qemu"),
        ("/usr/bin/qemu-system-aarch64 -id 104 -name arm", 104, "qemu"),
        ("/usr/bin/lxc-start -F -n 101", 101, "lxc"),
        ("/usr/bin/lxc-start -F -n 101 -o /dev/stderr -l DEBUG", 101, "lxc"),
        ("lxc-start -n 101 -F -lDEBUG -o /tmp/lxc.log", 101, "lxc"),
        ("lxc-start -F --name=101", 101, "lxc"),
        ("[lxc monitor] /var/lib/lxc 101", 101, "lxc"),
    ],
)
def test_every_form_in_which_a_guest_runs_is_its_process(args: str, vmid: int, kind: str) -> None:
    assert re.search(guests.GUEST_PROGRAMS, args)
    [found] = guests.parse_guest_processes(Output(f"9 {args}\n", "", 0)).values()
    assert (found.vmid, found.kind) == (vmid, kind)


@pytest.mark.parametrize("args", ["/usr/bin/kvm-vdi -id 101", "vim lxc-start -n 101", "/usr/bin/lxc-start -F -n web"])
def test_another_process_is_no_guest(args: str) -> None:
    assert not re.search(guests.GUEST_PROGRAMS, args)


def test_pid_files_are_read_but_those_of_helpers() -> None:
    text = "/run/qemu-server/100.pid:1113\n/run/qemu-server/100.swtpm.pid:1110\n/run/qemu-server/104.pid:2226\n"
    assert guests.parse_pid_files(Output(text, "", 0)) == {100: 1113, 104: 2226}
    gone = "grep: /run/qemu-server/105.pid: No such file or directory\n"
    assert guests.parse_pid_files(Output(text, gone, 2)) == {100: 1113, 104: 2226}
    none = Output("", "grep: /run/qemu-server: No such file or directory\n", 2)
    assert guests.parse_pid_files(none) == guests.parse_pid_files(Output("", "", 1)) == {}


@pytest.mark.parametrize(
    "output",
    [
        Output("/run/qemu-server/100.pid:\n", "", 0),
        Output("/run/qemu-server/100.pid:x\n", "", 0),
        Output("/run/qemu-server/x.pid:1\n", "", 0),
        Output("", "grep: /run/qemu-server: Permission denied\n", 2),
    ],
)
def test_a_pid_file_that_says_no_pid_is_unknown(output: Output) -> None:
    with pytest.raises(ParseError):
        guests.parse_pid_files(output)


def test_two_processes_of_one_guest_are_unknown() -> None:
    text = "10 /usr/bin/kvm -id 100 -S\n11 /usr/bin/kvm -id 100 -S\n"
    with pytest.raises(ParseError, match="Two processes are guest 100"):
        guests.parse_guest_processes(Output(text, "", 0))
    with pytest.raises(ParseError):
        guests.parse_guest_processes(Output("10 /usr/bin/qemu -id 100\n", "", 0))


REST = "S 1 185 185 0 -1 138412480 8451 32237 0 0 19 8 48 17 20 0 5 0 594403 522129408 9238"


@given(st.integers(1, 4194304), st.text(st.characters(exclude_characters="\n", codec="ascii"), max_size=15))
def test_a_start_time_is_found_behind_any_program_name(pid: int, name: str) -> None:
    assert guests.parse_proc_stats(Output(f"{pid} ({name}) {REST}\n", "", 0)) == {pid: 594403}


def test_a_process_that_ended_is_left_out_and_others_are_kept() -> None:
    gone = "cat: /proc/7/stat: No such file or directory\ncat: /proc/8/stat: No such process\n"
    assert guests.parse_proc_stats(Output(f"9 (a) b) (c) {REST}\n", gone, 1)) == {9: 594403}
    assert guests.parse_proc_stats(Output("", gone, 1)) == {}


@pytest.mark.parametrize(
    ("stdout", "stderr", "status"),
    [
        (f"9 (kvm) {REST}\n", "cat: /proc/7/stat: Permission denied\n", 1),
        (f"9 (kvm) {REST}\n", "", 1),
        (f"9 (kvm) {REST[:40]}\n", "", 0),
        (f"x (kvm) {REST}\n", "", 0),
    ],
)
def test_start_times_that_are_incomplete_are_unknown(stdout: str, stderr: str, status: int) -> None:
    with pytest.raises(ParseError):
        guests.parse_proc_stats(Output(stdout, stderr, status))
