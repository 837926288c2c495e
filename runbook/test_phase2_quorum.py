"""Phase 2: force quorum on the authority, for the moment.

Why: without quorum /etc/pve is read-only and no guest can be started; the article wants one node in control.
Not as in the article: corosync on the peers is stopped and masked first. `pvecm expected 1` is a message to all
visible members, refused while two votes are visible and undone by the first peer that rejoins.
"""

from __future__ import annotations

from pve_runbook.facts.state import NodeState
from pve_runbook.plugin.approval import approve
from pve_runbook.work import refusals
from pve_runbook.work.refusal import refusal


def test_no_start_of_all_guests_would_double(host):
    """No start of all guests waits for quorum while a guest of it lies on shared storage."""
    assert not host.pve.waiting_guests_on_shared_storage, refusals.doubled_start(host.pve)


def test_scheduler_still_waits_for_nobody(host):
    """No scheduler runs, and none waits for quorum."""
    if host.pve.state is NodeState.STANDALONE:
        return
    assert not host.pve.scheduler_runs, refusal(
        host.pve.node,
        seen="the scheduler runs or waits for quorum again",
        why="overdue jobs would start within a minute of the quorum that this phase grants",
        do="Run the same command line again: phase 0 stops it",
    )


def test_operator_approves_forced_quorum(run):
    """The operator approves that the authority counts its own vote alone."""
    approve(run, 2, run.cluster_name, run.quorum_text())


def test_peers_are_silent(host, run, peers_corosync_stopped):
    """Corosync is stopped and masked on every peer."""
    if host.pve.node == run.authority.name or host.pve.state is NodeState.STANDALONE:
        return
    corosync = host.pve.corosync
    assert corosync.is_stopped and corosync.is_masked, refusal(
        host.pve.node,
        seen=f"corosync is {corosync.active} and {corosync.file_state}",
        why="one peer that rejoins undoes the forced quorum, and both lose it",
        do="Look at `systemctl status corosync` there",
    )


def test_etc_pve_is_there(host, node, run, pmxcfs_back):
    """/etc/pve is mounted on the node, whatever an earlier attempt left."""
    run.settle(node)
    assert len(host.pve.pve_mounts) == 1, refusal(
        host.pve.node,
        seen=f"there are {len(host.pve.pve_mounts)} mounts on /etc/pve",
        why="without it no guest can be managed, and key logins fail",
        do="Look at `systemctl status pve-cluster` there",
    )


def test_authority_is_quorate(run, quorum_forced):
    """The authority is quorate with its own vote alone, and its /etc/pve is writable."""
    facts = run.authority.facts
    if not facts.is_corosync_running or facts.pvecm.kind == "standalone":  # it has no cluster to be forced in
        return
    assert facts.is_quorate and facts.sees_itself_alone, refusal(
        run.authority.name,
        seen=f"pvecm says {facts.quorum or facts.pvecm.kind}; /etc/pve writable: {facts.is_writable}",
        why="text and mode must agree before anything relies on them",
        do="See that corosync is stopped on every peer, then run the same command line again",
    )


def test_every_guest_runs_on(run):
    """Every guest runs on: same process, same config; no node was rebooted."""
    lost = run.losses(2)
    assert not lost, lost
