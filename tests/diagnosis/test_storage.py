"""What is wrong with a node's storages, judged from recorded forms of answers alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from textwrap import dedent
from typing import Any

import pytest
from pve_runbook.facts.output import Output, ParseError, TimedOut
from pve_runbook.facts.storage import parse_storage_cfg_text
from pve_runbook.facts.storage_state import parse_ceph_status, parse_iscsi_sessions, parse_vgs, parse_zfs_get
from pve_runbook.work import checkprobes, families, probes, storages
from pve_runbook.work.followup import storage_round
from pve_runbook.work.nodefacts import NodeFacts
from pve_runbook.work.probe import Probe
from pve_runbook.work.readings import Missing, UnknownFact

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
PROBES: dict[str, Any] = {p.name: p for p in (probes.PROC_MOUNTS, probes.LVS, probes.ZPOOLS, *checkprobes.PROBES)}
FAMILIES: dict[str, Any] = {f.name: f for f in (families.STORAGE_MOUNT, families.STORAGE_FILES, families.ZFS_DATASET)}


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
    storages.misplaced,
    storages.not_mounted,
    storages.silent,
    storages.read_only,
    storages.broken_groups,
    storages.broken_pools,
    storages.broken_zfs,
    storages.without_session,
    storages.unhealthy_ceph,
)


@pytest.mark.parametrize("judge", ALL)
def test_all_is_well(judge: Callable[[NodeFacts], storages.Problems]) -> None:
    assert judge(facts_with()) == {}


def lvs(**changed: str) -> str:
    return json.dumps({"report": [{"lv": [{**LVS, **changed}]}]})


def vgs(attributes: str) -> str:
    return json.dumps({"report": [{"vg": [{"vg_name": "san", "vg_attr": attributes}]}]})


@pytest.mark.parametrize(
    ("judge", "changed", "expected"),
    [
        (storages.misplaced, {"target:/mnt/disk": Output("", "", 1)}, {"disk": "/mnt/disk is not there"}),
        (
            storages.misplaced,
            {"target:/mnt/disk": "/ rw /dev/pve/root ext4\n"},
            {"disk": "nothing is mounted at /mnt/disk: what is written to it fills /"},
        ),
        (
            storages.not_mounted,
            {"mounts": MOUNTS.splitlines()[0] + "\n"},
            {"nas": "nothing is mounted at /mnt/pve/nas"},
        ),
        (
            storages.silent,
            {"files:/mnt/pve/nas": Missing("it timed out", TimedOut)},
            {"nas": "no look at /mnt/pve/nas ended within 15 s"},
        ),
        (
            storages.read_only,
            {"mounts": MOUNTS.replace("nfs4 rw", "nfs4 ro"), "target:/var/lib/vz": "/ ro /dev/pve/root ext4\n"},
            {"local": "mounted read-only at /", "nas": "mounted read-only at /mnt/pve/nas"},
        ),
        (
            storages.broken_groups,
            {"vgs": vgs("wz-pn-")},
            {"san": "disks of the volume group san are missing", "thin": "there is no volume group pve"},
        ),
        (
            storages.broken_groups,
            {"vgs": vgs("rz--n-")},
            {"san": "the volume group san is read-only", "thin": "there is no volume group pve"},
        ),
        (storages.broken_pools, {"lvs": lvs(lv_name="other")}, {"thin": "there is no thin pool pve/data"}),
        (storages.broken_pools, {"lvs": lvs(lv_attr="twi---tz--")}, {"thin": "the thin pool pve/data is not active"}),
        (
            storages.broken_pools,
            {"lvs": lvs(lv_attr="twi-aotzD-")},
            {"thin": "the thin pool pve/data is damaged or out of space (lv_attr twi-aotzD-)"},
        ),
        (
            storages.broken_pools,
            {"lvs": lvs(metadata_percent="97.10")},
            {"thin": "the metadata of the thin pool pve/data is 97.1 % full"},
        ),
        (storages.broken_zfs, {"zpools": "tank\tDEGRADED\n"}, {"tank": "the pool tank is DEGRADED"}),
        (storages.broken_zfs, {"zpools": ""}, {"tank": "the pool tank is not imported"}),
        (
            storages.broken_zfs,
            {"zfs_dataset:tank/guests": Output("", "cannot open 'tank/guests': dataset does not exist\n", 1)},
            {"tank": "there is no dataset tank/guests"},
        ),
        (
            storages.broken_zfs,
            {"zfs_dataset:tank/guests": "readonly\ton\nmounted\tyes\n"},
            {"tank": "the dataset tank/guests is read-only"},
        ),
        (
            storages.broken_zfs,
            {"zfs_dataset:tank/guests": "readonly\toff\nmounted\tno\n"},
            {"tank": "the dataset tank/guests is not mounted"},
        ),
        (
            storages.without_session,
            {"iscsi_sessions": Output("", "iscsiadm: No active sessions.\n", 21)},
            {"target": "no session with iqn.2001-05.com.example:x"},
        ),
        (
            storages.unhealthy_ceph,
            {"ceph": json.dumps({"health": {"status": "HEALTH_ERR", "checks": {"OSD_FULL": {}, "MON_DOWN": {}}}})},
            {"ceph": "Ceph says HEALTH_ERR (MON_DOWN, OSD_FULL)"},
        ),
    ],
)
def test_what_is_wrong_is_named(
    judge: Callable[[NodeFacts], storages.Problems], changed: dict[str, Any], expected: dict[str, str]
) -> None:
    assert judge(facts_with(**changed)) == expected


@pytest.mark.parametrize(
    ("judge", "key"),
    [
        (storages.misplaced, "target:/mnt/disk"),
        (storages.not_mounted, "mounts"),
        (storages.silent, "files:/mnt/pve/nas"),
        (storages.read_only, "target:/var/lib/vz"),
        (storages.broken_groups, "vgs"),
        (storages.broken_pools, "lvs"),
        (storages.broken_zfs, "zpools"),
        (storages.broken_zfs, "zfs_dataset:tank/guests"),
        (storages.without_session, "iscsi_sessions"),
        (storages.unhealthy_ceph, "ceph"),
    ],
)
def test_what_was_not_read_is_unknown(judge: Callable[[NodeFacts], storages.Problems], key: str) -> None:
    with pytest.raises(UnknownFact):
        judge(facts_with(**{key: Missing("no answer")}))


@pytest.mark.parametrize("judge", ALL[1:])
def test_a_kind_that_is_not_there_is_not_judged(judge: Callable[[NodeFacts], storages.Problems]) -> None:
    facts = NodeFacts("pve1", {"hostname": "pve1", "storage_cfg": parse_storage_cfg_text("")})
    if judge is not storages.read_only:
        assert judge(facts) is None


def test_what_reading_cannot_judge_is_named_with_its_kind() -> None:
    assert storages.not_judged(facts_with()) == {"elsewhere": "rbd", "backups": "pbs"}


def test_only_what_is_there_is_asked_about() -> None:
    assert [q.key for q in storage_round(facts_with())] == ["zfs_dataset:tank/guests", "iscsi_sessions", "ceph"]
    alone = NodeFacts("pve1", {"hostname": "pve1", "storage_cfg": parse_storage_cfg_text("")})
    assert storage_round(alone) == []


@pytest.mark.parametrize("parse", [parse_vgs, parse_zfs_get, parse_iscsi_sessions, parse_ceph_status])
@pytest.mark.parametrize("output", [Output("what?\n", "", 0), Output("", "no", 5), Output("", "", 124)])
def test_an_answer_of_another_form_is_unknown(parse: Callable[[Output], object], output: Output) -> None:
    with pytest.raises(ParseError):
        parse(output)
