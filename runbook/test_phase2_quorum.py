"""Phase 2: force quorum on the authority, for the moment.

Why: without quorum /etc/pve is read-only and no guest can be started. The article wants one node in control.
Not as in the article: corosync on the peers is stopped and masked first. `pvecm expected` is a message to all
visible members, refused while more votes are visible than it names, and undone by the first peer that rejoins. It names
the authority's own votes, nearly always 1.

With --leave: corosync ends on the nodes that leave alone. On those that stay quorum is forced only where they have no
majority of their own.

Sends, where it is still to be done:
    systemctl stop corosync-qdevice.service
    systemctl mask --runtime corosync-qdevice.service
    systemctl stop corosync.service
    systemctl mask --runtime corosync.service
    systemctl unmask --runtime pve-cluster.service
    systemctl start pve-cluster.service
    pvecm expected VOTES
"""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis import leaving, refusals, refusals_cluster
from pve_runbook.facts.node_state import NodeState
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.not_applicable import LEFT_ALREADY, NONE_WAITS, NotApplicable
from pve_runbook.refusal.text import refusal


def test_no_start_of_all_guests_would_double(host):
    """No start of all guests waits for quorum while a guest of it lies on shared storage."""
    assert not host.pve.waiting_guests_on_shared_storage, refusals.doubled_start(host.pve)


@pytest.mark.leaving
def test_scheduler_still_waits_for_nobody(host):
    """No scheduler runs, and none waits for quorum."""
    if host.pve.state is NodeState.STANDALONE:
        raise NotApplicable(LEFT_ALREADY)
    assert not host.pve.scheduler_runs, refusals_cluster.scheduler_waits(host.pve)


def test_no_other_start_waits_for_quorum(host):
    """No other start waits that would act the moment there is quorum."""
    assert not host.pve.held_starts, refusals_cluster.starts_wait(host.pve, host.pve.held_starts)


@pytest.mark.leaving
def test_start_of_all_guests_is_still_held(host):
    """No start of all guests waits for quorum without being held."""
    if host.pve.state is NodeState.STANDALONE:
        raise NotApplicable(LEFT_ALREADY)
    if not host.pve.startall_waits:
        raise NotApplicable(NONE_WAITS)
    assert host.pve.startall_is_held, refusals_cluster.startall_not_held(host.pve)


@pytest.mark.all_leave
def test_operator_approves_forced_quorum(members, questions, approve):
    """The operator approves that the authority counts its own vote alone."""
    approve(questions.quorum(members.authority))


@pytest.mark.staying
def test_operator_approves_the_silence(questions, approve):
    """The operator approves that corosync ends on the nodes that leave, and that quorum is forced where it must be."""
    question = questions.silence()
    if question is None:
        raise NotApplicable("nobody of those that leave is there, and those that stay have a majority")
    approve(question)


@pytest.mark.leaving
def test_peers_are_silent(host, peers_corosync_stopped, members):
    """Corosync is stopped and masked on every peer."""
    if host.pve.node == members.authority.name:
        raise NotApplicable("this is the authority: it is no peer")
    if host.pve.state is NodeState.STANDALONE:
        raise NotApplicable(LEFT_ALREADY)
    corosync = host.pve.corosync
    assert corosync.is_stopped and corosync.is_masked, refusal(
        RefusalId.PEERS_ARE_NOT_SILENT,
        host.pve.node,
        seen=f"corosync is {corosync.active} and {corosync.file_state}",
        why="one peer that rejoins undoes the forced quorum, and both lose it",
        do="Look at `systemctl status corosync` there",
    )


def test_etc_pve_is_there(host, node, pmxcfs_back, members):
    """/etc/pve is mounted on the node, whatever an earlier attempt left."""
    members.settle(node)
    assert len(host.pve.pve_mounts) == 1, refusal(
        RefusalId.ETC_PVE_IS_NOT_BACK,
        host.pve.node,
        seen=f"there are {len(host.pve.pve_mounts)} mounts on /etc/pve",
        why="without it no guest can be managed, and key logins fail",
        do="Look at `systemctl status pve-cluster` there",
    )


@pytest.mark.all_leave
def test_authority_is_quorate(quorum_forced, members):
    """The authority is quorate with its own vote alone, and its /etc/pve is writable."""
    facts = members.authority.facts
    if not facts.is_corosync_running or facts.pvecm.kind == "standalone":
        raise NotApplicable("the authority has no cluster that quorum could be forced in")
    assert facts.is_quorate and facts.sees_itself_alone, refusal(
        RefusalId.QUORUM_IS_NOT_FORCED,
        members.authority.name,
        seen=f"pvecm says {facts.quorum or facts.pvecm.kind}; /etc/pve writable: {facts.is_writable}",
        why="text and mode must agree before anything relies on them",
        do="See that corosync is stopped on every peer, then run the same command line again",
    )


@pytest.mark.staying
def test_those_that_stay_are_quorate(host, quorum_forced):
    """The node is quorate without those that leave, and its /etc/pve is writable."""
    assert host.pve.is_quorate, leaving.not_quorate(host.pve)


def test_every_guest_runs_on(survival):
    """Every guest runs on: same process, same config; no node was rebooted."""
    lost = survival.losses(2)
    assert not lost, lost
