"""Phase 7: why the guests survived, and the proof that they did.

Why: a running guest is a process; its config is read when it starts, migrates or is backed up, and lives in each
node's own database. Corosync coordinates, it stores nothing. The table in the record shows it guest by guest.
What still ties the nodes together is listed for the operator; the scheduler comes back only after its jobs were
looked at.
"""

from __future__ import annotations

from pve_runbook.plugin.approval import approve
from pve_runbook.work import access, refusals
from pve_runbook.work.refusal import refusal


def test_every_guest_survived(run):
    """Before and after, side by side: every guest has the same process, start, config, owner and volumes."""
    lost = run.losses(7)
    assert not lost, lost


def test_second_way_in_is_closed(node, second_way_closed):
    """The key that this run had made for itself is gone from the node."""
    assert not access.is_installed(node), refusals.key_left(node.facts)


def test_what_is_left_is_written_down(run):
    """What is left for the operator is written down: shared storages, leftovers, SSH trust, the rebuild."""
    run.list_what_is_left()


def test_operator_approves_the_thaw(run, overdue_jobs):
    """The operator has seen the jobs that would start, and approves that the schedulers run again."""
    if overdue_jobs:
        approve(run, 7, run.cluster_name, run.thaw_text(overdue_jobs))


def test_schedulers_run_again(host, run, scheduler_back):
    """The schedulers that ran before the first change run again."""
    if host.pve.node not in run.scheduled:
        return
    assert host.pve.scheduler_runs, refusal(
        host.pve.node,
        seen="the scheduler did not start",
        why="this node's backups would stay off",
        do="Type `systemctl start pvescheduler` there and look at `systemctl status pvescheduler`",
    )


def test_guests_are_untouched_by_the_thaw(run):
    """Every guest still runs on after the schedulers came back; a backup that begins now only locks it."""
    lost = run.losses(7, backups_may_run=True)
    assert not lost, lost


def test_nodes_are_released(host, released):
    """The node's lock is gone: this work is done."""
    assert host.pve.lock is None, refusals.lock_left(host.pve)
