"""A node's state: what each piece of evidence can change, and that doubt is never an answer."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from pve_runbook.facts.node_state import NodeState, StateEvidence, classify, corosync_leftovers, ha_leftovers
from pve_runbook.parsers.config_db import ConfigTree
from pve_runbook.parsers.output import ParseError
from pve_runbook.parsers.pmxcfs import Members, Mount, Process
from pve_runbook.parsers.pvecm import PvecmStatus, Quorum

FUSE = Mount("fuse", "/dev/fuse", ("rw",))
VOTE = Quorum(True, 3, 3, 3, 2, False, ("Quorate",), (), "1.22", None)
ALONE = Members("pve1", 0, None, None, None, None)

QUORATE = StateEvidence(
    mounts=(FUSE,),
    mode=0o755,
    members=Members("pve1", 8, "lab", 3, True, {}),
    pvecm=PvecmStatus("member", "lab", 3, VOTE),
    pmxcfs=(Process(66, "/usr/bin/pmxcfs"),),
    corosync_running=True,
    authkey_present=True,
    conf_in_db=True,
    leftovers=("/etc/corosync/authkey",),
)
NO_QUORUM = replace(QUORATE, mode=0o555, pvecm=PvecmStatus("member", "lab", 3, replace(VOTE, quorate=False)))
NO_COROSYNC = replace(QUORATE, mode=0o555, pvecm=PvecmStatus("no-corosync", "lab", 3, None), corosync_running=False)
LOCAL = replace(
    QUORATE, members=ALONE, pvecm=NO_COROSYNC.pvecm, pmxcfs=(Process(446, "pmxcfs -l"),), corosync_running=False
)
UNMOUNTED = replace(
    QUORATE, mounts=(), mode=None, members=None, pmxcfs=(), pvecm=PvecmStatus("no-pmxcfs", None, None, None)
)
STANDALONE = replace(
    QUORATE,
    members=ALONE,
    pvecm=PvecmStatus("standalone", None, None, None),
    corosync_running=False,
    authkey_present=False,
    conf_in_db=False,
    leftovers=(),
)


@pytest.mark.parametrize(
    ("evidence", "state"),
    [
        (QUORATE, NodeState.CLUSTERED_QUORATE),
        (NO_QUORUM, NodeState.CLUSTERED_NO_QUORUM),
        (NO_COROSYNC, NodeState.COROSYNC_DOWN),
        (replace(NO_COROSYNC, authkey_present=False), NodeState.HALF_DISMANTLED),
        (LOCAL, NodeState.LOCAL_MODE),
        (replace(LOCAL, conf_in_db=False, pvecm=STANDALONE.pvecm), NodeState.LOCAL_MODE),
        (UNMOUNTED, NodeState.UNMOUNTED),
        (replace(UNMOUNTED, conf_in_db=None), NodeState.UNMOUNTED),
        (STANDALONE, NodeState.STANDALONE),
        (replace(STANDALONE, corosync_running=True), NodeState.STANDALONE_COROSYNC_RUNNING),
        (replace(STANDALONE, leftovers=("ha/resources.cfg",)), NodeState.STANDALONE_LEFTOVERS),
    ],
)
def test_each_state_is_recognised(evidence: StateEvidence, state: NodeState) -> None:
    assert classify(evidence) is state


@pytest.mark.parametrize(
    "evidence",
    [
        replace(QUORATE, mounts=None),
        replace(QUORATE, pmxcfs=None),
        replace(QUORATE, pvecm=None),
        replace(QUORATE, conf_in_db=None),
        replace(QUORATE, conf_in_db=False),
        replace(QUORATE, mode=0o555),
        replace(QUORATE, mode=None),
        replace(QUORATE, corosync_running=None),
        replace(QUORATE, corosync_running=False),
        replace(QUORATE, mounts=(FUSE, FUSE)),
        replace(QUORATE, mounts=(Mount("ext4", "/dev/sda1", ("rw",)),)),
        replace(QUORATE, mounts=()),
        replace(QUORATE, pmxcfs=()),
        replace(QUORATE, pmxcfs=(Process(66, "/usr/bin/pmxcfs"), Process(99, "pmxcfs -l"))),
        replace(NO_QUORUM, mode=0o755),
        replace(NO_COROSYNC, mode=0o755),
        replace(NO_COROSYNC, authkey_present=None),
        replace(NO_COROSYNC, corosync_running=True),
        replace(NO_COROSYNC, conf_in_db=False),
        replace(LOCAL, mode=0o555),
        replace(UNMOUNTED, pvecm=STANDALONE.pvecm),
        replace(UNMOUNTED, pmxcfs=(Process(66, "/usr/bin/pmxcfs"),)),
        replace(UNMOUNTED, mounts=(FUSE,)),
        replace(STANDALONE, conf_in_db=True),
        replace(STANDALONE, conf_in_db=None),
        replace(STANDALONE, mode=0o555),
        replace(STANDALONE, members=None),
        replace(STANDALONE, members=QUORATE.members),
        replace(STANDALONE, corosync_running=None),
        replace(STANDALONE, leftovers=None),
    ],
)
def test_doubt_is_unknown(evidence: StateEvidence) -> None:
    assert classify(evidence) is NodeState.UNKNOWN


def test_every_state_has_plain_words() -> None:
    meanings = [state.meaning for state in NodeState]
    assert len(set(meanings)) == len(NodeState) == 10
    assert all(len(meaning) > 20 for meaning in meanings)


def test_leftovers_of_corosync() -> None:
    listed = {
        "/etc/corosync": ("authkey", "corosync.conf", "qdevice", "uidgid.d"),
        "/var/lib/corosync": ("ev_tracking", "ringid_1"),
    }
    assert corosync_leftovers(listed) == (
        "/etc/corosync/authkey",
        "/etc/corosync/corosync.conf",
        "/var/lib/corosync/ringid_1",
    )
    assert corosync_leftovers({"/etc/corosync": ("uidgid.d",), "/var/lib/corosync": None}) == ()
    with pytest.raises(ParseError, match="/var/lib/corosync was not listed"):
        corosync_leftovers({"/etc/corosync": ()})


def test_leftovers_of_ha() -> None:
    tree = ConfigTree(
        489,
        0,
        0,
        {
            "ha/resources.cfg": b"vm: 101\n",
            "ha/manager_status": b"{}",
            "ha/groups.cfg": b"x",
            "nodes/pve2/lrm_status": b"{}",
        },
    )
    assert ha_leftovers(tree) == ("ha/resources.cfg", "ha/manager_status")
    assert ha_leftovers(replace(tree, files={"ha/resources.cfg": b"\n"})) == ()
