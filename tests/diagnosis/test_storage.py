"""What is wrong with a node's storages, judged from recorded forms of answers alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from textwrap import dedent
from typing import Any

import pytest
from pve_runbook.cluster.rounds import storage_round
from pve_runbook.diagnosis import storage
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.output import Output, ParseError, TimedOut
from pve_runbook.parsers.storage import (
    parse_ceph_status,
    parse_iscsi_sessions,
    parse_storage_cfg_text,
    parse_vgs,
    parse_zfs_get,
)
from pve_runbook.probes import checks_only, per_subject
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import Missing, UnknownFact
from pve_runbook.probes.probe import Probe

CONFIG = """
dir: local
	path /var/lib/vz

dir: disk
	path /mnt/disk
	is_mountpoint yes

nfs: nas
	path /mnt/pve/nas
	server 10.0.0.9
	export /x

lvm: san
	vgname san

lvmthin: thin
	vgname pve
	thinpool data

zfspool: tank
	pool tank/guests
	content images,rootdir

iscsi: target
	portal 10.0.0.9
	target iqn.2001-05.com.example:x

rbd: ceph
	pool rbd

rbd: elsewhere
	pool rbd
	monhost 10.0.0.8

pbs: backups
	server 10.0.0.7
	datastore x

nfs: others
	path /mnt/pve/others
	nodes pve9
"""
VGS = {"report": [{"vg": [{"vg_name": "pve", "vg_attr": "wz--n-"}, {"vg_name": "san", "vg_attr": "wz--n-"}]}]}
LVS = {
    "vg_name": "pve",
    "lv_name": "data",
    "lv_attr": "twi-aotz--",
    "data_percent": "12.65",
    "metadata_percent": "1.10",
}
MOUNTS = "/dev/pve/root / ext4 rw,relatime 0 0\n10.0.0.9:/x /mnt/pve/nas nfs4 rw,relatime,vers=4.2 0 0\n"
ANSWERS: dict[str, str] = {
    "mounts": MOUNTS,
    "vgs": json.dumps(VGS),
    "lvs": json.dumps({"report": [{"lv": [LVS]}]}),
    "zpools": "tank\tONLINE\n",
    "zfs_dataset:tank/guests": "readonly\toff\nmounted\tyes\n",
    "iscsi_sessions": "tcp: [1] 10.0.0.9:3260,1 iqn.2001-05.com.example:x (non-flash)\n",
    "ceph": json.dumps({"health": {"status": "HEALTH_OK", "checks": {}}}),
    "target:/var/lib/vz": "/ rw,relatime /dev/pve/root ext4\n",
    "target:/mnt/disk": "/mnt/disk rw,relatime /dev/sdb1 ext4\n",
    "files:/mnt/pve/nas": "d \nd 100\nf 100/vm-100-disk-0.raw\n",
}
PROBES: dict[str, Any] = {p.name: p for p in (probes.PROC_MOUNTS, probes.LVS, probes.ZPOOLS, *checks_only.PROBES)}
FAMILIES: dict[str, Any] = {
    f.name: f for f in (per_subject.STORAGE_MOUNT, per_subject.STORAGE_FILES, per_subject.ZFS_DATASET)
}


def facts_with(**changed: str | Missing | Output) -> NodeFacts:
    """The facts of a node whose storages are all well, but for what is given."""
    readings: dict[str, object] = {"hostname": "pve1", "storage_cfg": parse_storage_cfg_text(dedent(CONFIG))}
    for key, said in {**ANSWERS, **changed}.items():
        name = key.partition(":")[0]
        probe: Probe[Any] = PROBES.get(name) or FAMILIES[name]
        output = Output(said, "", 0) if isinstance(said, str) else said
        readings[key] = probe.parse(output) if isinstance(output, Output) else output
    return NodeFacts("pve1", readings)


ALL = (
    storage.misplaced,
    storage.not_mounted,
    storage.silent,
    storage.read_only,
    storage.broken_groups,
    storage.broken_pools,
    storage.broken_zfs,
    storage.without_session,
    storage.unhealthy_ceph,
)


@pytest.mark.parametrize("judge", ALL)
def test_all_is_well(judge: Callable[[NodeFacts], storage.Problems]) -> None:
    assert judge(facts_with()) == {}


def test_a_look_goes_where_a_storage_keeps_its_images() -> None:
    section = "nfs: nas\n\tpath /mnt/pve/nas\n\tserver 10.0.0.9\n\texport /x\n\tcontent-dirs images=vms\n"
    asked = {"hostname": "pve1", "storage_cfg": parse_storage_cfg_text(section), "images:/mnt/pve/nas/vms": frozenset()}
    mounts = probes.PROC_MOUNTS.parse(Output(MOUNTS, "", 0))
    assert storage.silent(NodeFacts("pve1", {**asked, "mounts": mounts})) == {}
    hangs = {**asked, "mounts": mounts, "images:/mnt/pve/nas/vms": Missing("it timed out", TimedOut)}
    assert storage.silent(NodeFacts("pve1", hangs)) == {"nas": "no look at /mnt/pve/nas/vms ended within 15 s"}


def lvs(**changed: str) -> str:
    return json.dumps({"report": [{"lv": [{**LVS, **changed}]}]})


def vgs(attributes: str) -> str:
    return json.dumps({"report": [{"vg": [{"vg_name": "san", "vg_attr": attributes}]}]})


@pytest.mark.parametrize(
    ("judge", "changed", "expected"),
    [
        (storage.misplaced, {"target:/mnt/disk": Output("", "", 1)}, {"disk": "/mnt/disk is not there"}),
        (
            storage.misplaced,
            {"target:/mnt/disk": "/ rw /dev/pve/root ext4\n"},
            {"disk": "nothing is mounted at /mnt/disk: what is written to it fills /"},
        ),
        (
            storage.not_mounted,
            {"mounts": MOUNTS.splitlines()[0] + "\n"},
            {"nas": "nothing is mounted at /mnt/pve/nas"},
        ),
        (
            storage.silent,
            {"files:/mnt/pve/nas": Missing("it timed out", TimedOut)},
            {"nas": "no look at /mnt/pve/nas ended within 15 s"},
        ),
        (
            storage.read_only,
            {"mounts": MOUNTS.replace("nfs4 rw", "nfs4 ro"), "target:/var/lib/vz": "/ ro /dev/pve/root ext4\n"},
            {"local": "mounted read-only at /", "nas": "mounted read-only at /mnt/pve/nas"},
        ),
        (
            storage.broken_groups,
            {"vgs": vgs("wz-pn-")},
            {"san": "disks of the volume group san are missing", "thin": "there is no volume group pve"},
        ),
        (
            storage.broken_groups,
            {"vgs": vgs("rz--n-")},
            {"san": "the volume group san is read-only", "thin": "there is no volume group pve"},
        ),
        (storage.broken_pools, {"lvs": lvs(lv_name="other")}, {"thin": "there is no thin pool pve/data"}),
        (storage.broken_pools, {"lvs": lvs(lv_attr="twi---tz--")}, {"thin": "the thin pool pve/data is not active"}),
        (
            storage.broken_pools,
            {"lvs": lvs(lv_attr="twi-aotzD-")},
            {"thin": "the thin pool pve/data is damaged or out of space (lv_attr twi-aotzD-)"},
        ),
        (
            storage.broken_pools,
            {"lvs": lvs(metadata_percent="97.10")},
            {"thin": "the metadata of the thin pool pve/data is 97.1 % full"},
        ),
        (storage.broken_zfs, {"zpools": "tank\tDEGRADED\n"}, {"tank": "the pool tank is DEGRADED"}),
        (storage.broken_zfs, {"zpools": ""}, {"tank": "the pool tank is not imported"}),
        (
            storage.broken_zfs,
            {"zfs_dataset:tank/guests": Output("", "cannot open 'tank/guests': dataset does not exist\n", 1)},
            {"tank": "there is no dataset tank/guests"},
        ),
        (
            storage.broken_zfs,
            {"zfs_dataset:tank/guests": "readonly\ton\nmounted\tyes\n"},
            {"tank": "the dataset tank/guests is read-only"},
        ),
        (
            storage.broken_zfs,
            {"zfs_dataset:tank/guests": "readonly\toff\nmounted\tno\n"},
            {"tank": "the dataset tank/guests is not mounted"},
        ),
        (
            storage.without_session,
            {"iscsi_sessions": Output("", "iscsiadm: No active sessions.\n", 21)},
            {"target": "no session with iqn.2001-05.com.example:x"},
        ),
        (
            storage.unhealthy_ceph,
            {"ceph": json.dumps({"health": {"status": "HEALTH_ERR", "checks": {"OSD_FULL": {}, "MON_DOWN": {}}}})},
            {"ceph": "Ceph says HEALTH_ERR (MON_DOWN, OSD_FULL)"},
        ),
    ],
)
def test_what_is_wrong_is_named(
    judge: Callable[[NodeFacts], storage.Problems], changed: dict[str, Any], expected: dict[str, str]
) -> None:
    assert judge(facts_with(**changed)) == expected


@pytest.mark.parametrize(
    ("judge", "key"),
    [
        (storage.misplaced, "target:/mnt/disk"),
        (storage.not_mounted, "mounts"),
        (storage.silent, "files:/mnt/pve/nas"),
        (storage.read_only, "target:/var/lib/vz"),
        (storage.broken_groups, "vgs"),
        (storage.broken_pools, "lvs"),
        (storage.broken_zfs, "zpools"),
        (storage.broken_zfs, "zfs_dataset:tank/guests"),
        (storage.without_session, "iscsi_sessions"),
        (storage.unhealthy_ceph, "ceph"),
    ],
)
def test_what_was_not_read_is_unknown(judge: Callable[[NodeFacts], storage.Problems], key: str) -> None:
    with pytest.raises(UnknownFact):
        judge(facts_with(**{key: Missing("no answer")}))


@pytest.mark.parametrize("judge", ALL[1:])
def test_a_kind_that_is_not_there_is_not_judged(judge: Callable[[NodeFacts], storage.Problems]) -> None:
    facts = NodeFacts("pve1", {"hostname": "pve1", "storage_cfg": parse_storage_cfg_text("")})
    if judge is not storage.read_only:
        assert judge(facts) is None


def test_what_reading_cannot_judge_is_named_with_its_kind() -> None:
    text = f"{CONFIG}\nzfs: behind\n\tpool x\n\nesxi: imports\n\tserver 10.0.0.6\n"
    facts = NodeFacts("pve1", {"hostname": "pve1", "storage_cfg": parse_storage_cfg_text(text)})
    assert storage.not_judged(facts) == {"behind": "zfs"}


def test_only_what_is_there_is_asked_about() -> None:
    assert [q.key for q in storage_round(facts_with())] == ["zfs_dataset:tank/guests", "iscsi_sessions", "ceph"]
    alone = NodeFacts("pve1", {"hostname": "pve1", "storage_cfg": parse_storage_cfg_text("")})
    assert storage_round(alone) == []


@pytest.mark.parametrize("parse", [parse_vgs, parse_zfs_get, parse_iscsi_sessions, parse_ceph_status])
@pytest.mark.parametrize("output", [Output("what?\n", "", 0), Output("", "no", 5), Output("", "", 124)])
def test_an_answer_of_another_form_is_unknown(parse: Callable[[Output], object], output: Output) -> None:
    with pytest.raises(ParseError):
        parse(output)
