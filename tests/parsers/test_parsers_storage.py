"""Storages of every type, and what is listed on them."""

from __future__ import annotations

import pytest
from pve_runbook.parsers import storage
from pve_runbook.parsers.output import Output, ParseError
from pve_runbook.parsers.storage import FreeSpace, LogicalVolume, MountPoint, StorageStatus

CFG = """\
dir: local
	path /var/lib/vz
	content iso,vztmpl,backup
	nodes pve9

lvmthin: local-lvm
	thinpool data
	vgname pve
	content rootdir,images

nfs: nas
	export /tank/vm
	server 10.0.0.9
	content images,rootdir
	nodes pve1,pve2
	prune-backups keep-last=3

# kept for later
zfspool: tank
	pool rpool/data
	sparse
	disable
	mountpoint /rpool/data

dir: shared-dir
	path /srv/shared
	shared 1
	disable 0

btrfs: bt
	path /bt
"""


def test_storages_of_several_types() -> None:
    found = storage.parse_storage_cfg_text(CFG)
    assert list(found) == ["local", "local-lvm", "nas", "tank", "shared-dir", "bt"]
    assert found["nas"].path == "/mnt/pve/nas"
    assert found["nas"].nodes == ("pve1", "pve2")
    assert found["nas"].content == ("images", "rootdir")
    assert found["nas"].options["prune-backups"] == "keep-last=3"
    assert [name for name, each in found.items() if each.is_shared] == ["nas", "shared-dir"]
    assert [name for name, each in found.items() if each.disabled] == ["tank"]
    assert [name for name, each in found.items() if not each.is_for("pve3")] == ["nas", "tank"]
    assert found["local"].nodes is None


@pytest.mark.parametrize("text", ["", "lvm: local\n\tvgname pve\n", "dir: local\n\tpath /elsewhere\n"])
def test_local_is_always_a_directory(text: str) -> None:
    local = storage.parse_storage_cfg_text(text)["local"]
    assert (local.type, local.path, local.disabled, local.nodes) == ("dir", "/var/lib/vz", False, None)
    without_path = storage.parse_storage_cfg_text("dir: local\n\tcontent iso\n")["local"]
    assert (without_path.path, without_path.content) == ("/var/lib/vz", ("iso",))


def test_a_network_storage_may_be_mounted_elsewhere() -> None:
    found = storage.parse_storage_cfg_text("nfs: nas\n\tpath /srv/nas\n\nlvm: bare\n\tvgname pve\n")
    assert (found["nas"].path, found["bare"].path) == ("/srv/nas", None)


FILES = storage.parse_find(
    Output(
        "d \nd 101\nf 101/vm-101-disk-0.raw\nl 101/link.qcow2\nd 101/vm-101-disk-1\np 101/pipe\nd 102\n"
        "f 102/vm-102-disk-0.qcow2\nd 200\nd 200/subvol-200-disk-0.subvol\n",
        "find: '/var/lib/vz/private': No such file or directory\n",
        1,
    )
)


def test_find_keeps_files_links_and_directories() -> None:
    assert {
        "101",
        "101/vm-101-disk-0.raw",
        "101/link.qcow2",
        "101/vm-101-disk-1",
        "102",
        "102/vm-102-disk-0.qcow2",
        "200",
        "200/subvol-200-disk-0.subvol",
    } == FILES
    missing = "find: '/x/images': No such file or directory\nfind: '/x/private': No such file or directory\n"
    assert storage.parse_find(Output("", missing, 1)) == frozenset()


@pytest.mark.parametrize("line", ["U 101/x\n", "101/x\n", "ff 101/x\n"])
def test_find_with_an_unknown_letter_is_unknown(line: str) -> None:
    with pytest.raises(ParseError):
        storage.parse_find(Output(line, "", 0))


def test_find_on_a_dead_mount_is_unknown() -> None:
    stderr = "find: '/x/private': No such file or directory\nfind: '/x/images': Stale file handle\n"
    with pytest.raises(ParseError, match="Stale file handle"):
        storage.parse_find(Output("", stderr, 1))


@pytest.mark.parametrize(
    "header",
    [
        "Name             Type     Status           Total            Used       Available        %",
        "Name             Type     Status     Total (KiB)      Used (KiB) Available (KiB)        %",
    ],
)
def test_pvesm_status_of_all_versions(header: str) -> None:
    rows = (
        "\nHHDD          zfspool   disabled               0               0               0      N/A"
        "\nNFS_ord2          nfs   inactive               0               0               0    0.00%"
        "\nlocal             dir     active        98497780        16893060        76555172   17.15%\n"
    )
    assert storage.parse_pvesm_status(Output(header + rows, "storage 'NFS_ord2' is not online\n", 0)) == {
        "HHDD": StorageStatus("HHDD", "zfspool", "disabled"),
        "NFS_ord2": StorageStatus("NFS_ord2", "nfs", "inactive"),
        "local": StorageStatus("local", "dir", "active"),
    }


def test_a_plugin_that_breaks_pvesm_is_unknown() -> None:
    with pytest.raises(ParseError, match="Result verification failed"):
        storage.parse_pvesm_status(Output("", "400 Result verification failed\n", 22))
    with pytest.raises(ParseError):
        storage.parse_pvesm_status(Output("Name Type Status\nlocal dir perhaps 0 0 0 N/A\n", "", 0))


def test_mounts_with_blanks_and_read_only() -> None:
    text = "/dev/sda1 /mnt/a\\040b ext4 ro,relatime 0 0\n10.0.0.9:/vm /mnt/pve/nas nfs4 rw,hard 0 0\n"
    readonly, nas = storage.parse_proc_mounts(Output(text, "", 0))
    assert readonly == MountPoint("/dev/sda1", "/mnt/a b", "ext4", ("ro", "relatime"))
    assert (readonly.is_writable, nas.is_writable) == (False, True)
    for marked in ("emergency_ro", "shutdown"):  # recorded on Linux 6.18, after an error and after FS_IOC_SHUTDOWN
        text = f"/dev/loop0 /mnt/disks ext4 rw,relatime,errors=remount-ro,{marked} 0 0\n"
        assert [m.is_writable for m in storage.parse_proc_mounts(Output(text, "", 0))] == [False]
    found = storage.parse_findmnt_target(Output("/mnt/a\\x20b rw,relatime /dev/sda1 ext4\n", "", 0))
    assert found == MountPoint("/dev/sda1", "/mnt/a b", "ext4", ("rw", "relatime"))
    assert storage.parse_findmnt_target(Output("", "", 1)) is None
    with pytest.raises(ParseError):
        storage.parse_findmnt_target(Output("/ rw /dev/a ext4\n/ rw /dev/b ext4\n", "", 0))


def test_df_with_an_odd_row() -> None:
    head = "Filesystem           1024-blocks    Used Available Capacity Mounted on\n"
    text = head + "/dev/mapper/pve root   100 90 -5 95% /var/lib/with blank\nudev 0 0 0 - /dev\n"
    assert storage.parse_df(Output(text, "", 0)) == (
        FreeSpace("/var/lib/with blank", -5, "/dev/mapper/pve root"),
        FreeSpace("/dev", 0, "udev"),
    )
    with pytest.raises(ParseError):
        storage.parse_df(Output(head, "", 0))
    with pytest.raises(ParseError):
        storage.parse_df(Output(head + "overlay much /\n", "", 0))


def test_lvm_and_its_absence() -> None:
    text = """{"report": [{"lv": [
      {"vg_name":"pve", "lv_name":"data", "lv_attr":"twi-aotz--", "data_percent":"96.51", "metadata_percent":"3.02"},
      {"vg_name":"pve", "lv_name":"root", "lv_attr":"-wi-ao----", "data_percent":"", "metadata_percent":""}]}],
      "log": []}"""
    assert storage.parse_lvs(Output(text, "  WARNING: Device is missing.\n", 0)) == {
        ("pve", "data"): LogicalVolume("pve", "data", "twi-aotz--", 96.51, 3.02),
        ("pve", "root"): LogicalVolume("pve", "root", "-wi-ao----", None, None),
    }
    absent = Output("", "timeout: failed to run command 'lvs': No such file or directory\n", 127)
    assert storage.parse_lvs(absent) == {}
    with pytest.raises(ParseError):
        storage.parse_lvs(Output(text.replace("96.51", "much"), "", 0))


def test_zfs_and_its_absence() -> None:
    assert storage.parse_zfs_list(Output("rpool\nrpool/ROOT\n", "", 0)) == {"rpool", "rpool/ROOT"}
    assert storage.parse_zpool_list(Output("rpool\tONLINE\ntank\tDEGRADED\n", "", 0)) == {
        "rpool": "ONLINE",
        "tank": "DEGRADED",
    }
    for parse in (storage.parse_zfs_list, storage.parse_zpool_list):
        assert not parse(Output("", "timeout: failed to run command 'zfs': No such file or directory\n", 127))
        assert not parse(Output("", "The ZFS modules cannot be auto-loaded.\nTry running 'modprobe zfs'.\n", 1))
        assert not parse(Output("no pools available\n", "", 0))
    for line in ("rpool ONLINE", "RPOOL", "\tONLINE", "rpool\tas usual"):
        with pytest.raises(ParseError):
            storage.parse_zpool_list(Output(line + "\n", "", 0))


POOLS = """\
rbd: own
\tcontent images

rbd: ext
\tmonhost 10.0.0.1 10.0.0.2;10.0.0.3
\tpool vms
\tnamespace blue
\tusername pve
"""


@pytest.mark.parametrize(
    ("name", "files", "options"),
    [
        (
            "own",
            ("own.keyring",),
            "--pool=rbd --conf=/etc/pve/ceph.conf --auth_supported=cephx --name=client.admin "
            "--keyring=/etc/pve/priv/ceph/own.keyring",
        ),
        (
            "ext",
            ("ext.keyring", "ext.conf"),
            "--pool=vms --namespace=blue --conf=/etc/pve/priv/ceph/ext.conf --mon_host=10.0.0.1,10.0.0.2,10.0.0.3 "
            "--auth_supported=cephx --name=client.pve --keyring=/etc/pve/priv/ceph/ext.keyring",
        ),
        (
            "ext",
            (),
            "--pool=vms --namespace=blue --mon_host=10.0.0.1,10.0.0.2,10.0.0.3 --auth_supported=none --name=client.pve",
        ),
    ],
)
def test_a_pool_is_reached_as_the_plugin_reaches_it(name: str, files: tuple[str, ...], options: str) -> None:
    assert storage.rbd_options(storage.parse_storage_cfg_text(POOLS)[name], files) == options


def test_images_of_a_pool() -> None:
    assert storage.parse_rbd_ls(Output('["vm-100-disk-0","base-9-disk-0"]\n', "", 0)) == {
        "vm-100-disk-0",
        "base-9-disk-0",
    }
    assert storage.parse_rbd_ls(Output("[]\n", "", 0)) == frozenset()
    for text in ("{}", "[1]", "", '["a"] more'):
        with pytest.raises(ParseError):
            storage.parse_rbd_ls(Output(text, "", 0))


def test_directories_of_another_name() -> None:
    cfg = "dir: ssd\n\tpath /mnt/ssd/\n\tcontent-dirs images=vms,iso=cds/all\n\ndir: hdd\n\tpath /mnt/hdd\n"
    found = storage.parse_storage_cfg_text(cfg)
    assert (found["ssd"].directory("images"), found["ssd"].directory("iso")) == ("/mnt/ssd/vms", "/mnt/ssd/cds/all")
    assert (found["hdd"].directory("images"), found["hdd"].directory("iso")) == (
        "/mnt/hdd/images",
        "/mnt/hdd/template/iso",
    )
    assert [found[i].has_own_layout for i in ("ssd", "hdd")] == [True, False]
