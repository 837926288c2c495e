"""What is read from several nodes' facts together: databases, shared storage, Ceph, members that are absent."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from pve_runbook.diagnosis.divergence import differences
from pve_runbook.diagnosis.membership import seen_alive
from pve_runbook.diagnosis.shared_storage import owners_in_words, shared_by_guests, signs_of_ceph
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.config_db import ConfigTree
from pve_runbook.parsers.corosync_conf import parse_corosync_conf_text
from pve_runbook.parsers.output import NotConnected, Output, ParseError, TimedOut, stdout_of
from pve_runbook.parsers.pmxcfs import MemberNode, Members, Mount
from pve_runbook.parsers.pvecm import Member, PvecmStatus, Quorum
from pve_runbook.probes.answers import Missing, UnknownFact

CONF = "totem {\n  cluster_name: lab\n  config_version: 3\n}\nquorum {\n}\nnodelist {\n" + "".join(
    f"  node {{\n    name: pve{i}\n    nodeid: {i}\n    quorum_votes: 1\n    ring0_addr: 10.0.0.{i}\n  }}\n"
    for i in (1, 2, 3)
)
CONF += "}\n"
NAS = "nfs: nas\n\tserver nas\n\texport /x\n\tcontent images\n"
DISK = b"scsi0: nas:%d/vm-%d-disk-0.raw,size=1G\n"


def node(name: str, files: Mapping[str, bytes], **readings: object) -> NodeFacts:
    """A node with this database, and these answers of its probes."""
    own = {"hostname": name, "tree": ConfigTree(1, 1, 1, dict(files)), "storage_cfg": None}
    return NodeFacts(name, {**own, **readings})


def vm(owner: str, vmid: int) -> tuple[str, bytes]:
    """A guest's path and config, its disk on the nas."""
    return f"nodes/{owner}/qemu-server/{vmid}.conf", DISK % (vmid, vmid)


def test_equal_databases_have_no_differences() -> None:
    same = ConfigTree(7, 1, 1, {"storage.cfg": b"x", "nodes/pve1/qemu-server/101.conf": b"y"})
    other = ConfigTree(9, 2, 2, dict(same.files))
    assert differences({"pve1": same, "pve2": other}) == ()


def test_every_file_that_differs_is_told_with_its_nodes() -> None:
    trees = {
        "pve1": ConfigTree(1, 1, 1, {"storage.cfg": b"a", "user.cfg": b"u", "jobs.cfg": b"1"}),
        "pve2": ConfigTree(1, 1, 1, {"storage.cfg": b"b", "user.cfg": b"u", "jobs.cfg": b"2"}),
        "pve3": ConfigTree(1, 1, 1, {"storage.cfg": b"a", "user.cfg": b"u", "firewall/cluster.fw": b"f"}),
    }
    assert [str(d) for d in differences(trees)] == [
        "firewall/cluster.fw only on pve3",
        "jobs.cfg differs (pve1 / pve2, not on pve3)",
        "storage.cfg differs (pve1, pve3 / pve2)",
    ]


def test_what_has_daemons_write_by_themselves_is_no_divergence() -> None:
    one = ConfigTree(1, 1, 1, {"ha/manager_status": b"1", "nodes/pve1/lrm_status": b"1"})
    other = ConfigTree(1, 1, 1, {"nodes/pve1/lrm_status": b"2"})
    assert differences({"pve1": one, "pve2": other}) == ()


def test_a_storage_is_shared_by_guests_of_two_nodes_only() -> None:
    files = {"storage.cfg": NAS.encode(), **dict([vm("pve1", 101), vm("pve2", 201), vm("pve2", 202)])}
    one, two = node("pve1", files), node("pve2", files)
    found = shared_by_guests([one, two], ())
    assert found == {"nas": {"pve1": [101], "pve2": [201, 202]}}
    assert owners_in_words(found["nas"]) == "pve1 (101), pve2 (201, 202)"
    assert shared_by_guests([one], ()) == {}
    assert shared_by_guests([one], ("pve2",)) == found


def test_a_local_storage_of_one_name_is_not_shared() -> None:
    local = NAS.replace("nfs:", "dir:").replace("\tserver nas\n\texport /x\n", "\tpath /mnt/nas\n")
    files = {"storage.cfg": local.encode(), **dict([vm("pve1", 101), vm("pve2", 201)])}
    assert shared_by_guests([node("pve1", files), node("pve2", files)], ()) == {}


@pytest.mark.parametrize(
    ("files", "signs"),
    [
        ({"storage.cfg": NAS.encode()}, ()),
        ({"ceph.conf": b""}, ("/etc/pve/ceph.conf",)),
        ({"storage.cfg": b"rbd: vm\n\tpool vm\n"}, ("storage vm (rbd, without monhost)",)),
        ({"storage.cfg": b"rbd: vm\n\tpool vm\n\tmonhost 10.1.1.1\n"}, ()),
        ({"storage.cfg": b"cephfs: fs\n\tpath /mnt/pve/fs\n"}, ("storage fs (cephfs, without monhost)",)),
    ],
)
def test_ceph_on_the_nodes_is_told_from_ceph_elsewhere(files: dict[str, bytes], signs: tuple[str, ...]) -> None:
    assert signs_of_ceph(node("pve1", files)) == signs


def _quorum(*ids: int) -> PvecmStatus:
    members = tuple(Member(i, 1, f"10.0.0.{i}", i == 1, None) for i in ids)
    return PvecmStatus("member", "lab", 3, Quorum(False, 3, 3, len(ids), 2, True, (), members, "1.2", None))


def _members(*online: int) -> Members:
    nodes = {f"pve{i}": MemberNode(i, i in online, None) for i in (1, 2, 3)}
    return Members("pve1", 1, "lab", 3, False, nodes)


@pytest.mark.parametrize(
    ("pvecm", "members", "alive"),
    [
        (_quorum(1, 2), _members(1, 2), ()),
        (_quorum(1, 3), _members(1), ("pve3",)),
        (_quorum(1), _members(1, 3), ("pve3",)),
        (PvecmStatus("no-corosync", "lab", 3, None), _members(1, 3), ()),
    ],
)
def test_an_absent_member_is_seen_by_votes_or_by_pmxcfs(
    pvecm: PvecmStatus, members: Members, alive: tuple[str, ...]
) -> None:
    assert parse_corosync_conf_text(CONF).nodes[2].name == "pve3"
    facts = node("pve1", {"corosync.conf": CONF.encode()}, pvecm=pvecm, members=members)
    assert seen_alive(facts, ("pve3",)) == alive


@pytest.mark.parametrize(
    ("kind", "hangs", "stale"),
    [(TimedOut, True, False), (NotConnected, False, True), (ParseError, False, False)],
)
def test_silence_of_etc_pve_is_told_apart(kind: type[ParseError], hangs: bool, stale: bool) -> None:
    mounted = {"pve_mount": (Mount("fuse", "/dev/fuse", ("rw",)),)}
    facts = node("pve1", {}, pve_mode=Missing("why", kind), **mounted)
    assert (facts.pve_hangs, facts.pve_is_stale) == (hangs, stale)
    answering = node("pve1", {}, pve_mode=0o555, **mounted)
    assert not answering.pve_hangs and not answering.pve_is_stale
    with pytest.raises(UnknownFact):
        _ = node("pve1", {}, pve_mode=Missing("why", kind), pve_mount=Missing("the line was lost")).pve_hangs


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        (Output("", "", 124), TimedOut),
        (Output("", "stat: cannot statx '/etc/pve/local': Transport endpoint is not connected\n", 1), NotConnected),
        (Output("", "stat: cannot statx '/etc/pve/local': Permission denied\n", 1), ParseError),
    ],
)
def test_the_kind_of_a_silence_is_kept(output: Output, kind: type[ParseError]) -> None:
    with pytest.raises(ParseError) as caught:
        stdout_of(output, "stat")
    assert type(caught.value) is kind
