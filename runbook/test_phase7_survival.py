"""Phase 7: why the guests survived, and the proof that they did.

Why: a running guest is a process; its config was read when it started. It is read again when the guest migrates or is
backed up, and lives in each node's own database. Corosync coordinates, it stores nothing. The record's table shows it
guest by guest. What still ties the nodes together is listed for the operator; the scheduler comes back only after its
jobs were looked at.

With --leave: every guest of every node; the schedulers come back on the nodes that left.

Sends, where it is still to be done:
    rm -f /var/lib/pve-runbook/lock
    install -m 0600 /dev/stdin /root/.ssh/authorized_keys2
    rm -f /root/.ssh/authorized_keys2
    systemctl kill --signal=SIGCONT pve-guests.service
    systemctl unmask --runtime pvescheduler.service
    systemctl start pvescheduler.service
    systemctl start pvesr.timer
    mv -T /var/lib/pve-runbook/RUN/cron.d-vzdump /etc/cron.d/vzdump
    rm -rf /run/pve-runbook/RUN
"""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis import refusals, refusals_cluster
from pve_runbook.procedure import login_key
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.not_applicable import NotApplicable
from pve_runbook.refusal.text import refusal


def test_every_guest_survived(survival):
    """Before and after, side by side: every guest has the same process, start, config, owner and volumes."""
    lost = survival.losses(7)
    assert not lost, lost


def test_network_is_as_it_was(node, survival):
    """Addresses, links and bridge ports of the node are as this run found them."""
    lost = survival.network_lost(node)
    assert not lost, lost


def test_second_way_in_is_closed(node, second_way_closed):
    """The key that this run had made for itself is gone from the node."""
    assert not login_key.is_installed(node), refusals.key_left(node.facts)


def test_what_is_left_is_written_down(execution):
    """What is left for the operator is written down: shared storages, leftovers, SSH trust, the rebuild."""
    execution.list_what_is_left()


@pytest.mark.leaving
def test_operator_lets_guests_start(members, questions, approve):
    """Where the start of all guests was held, the operator approves it, guest by guest on the node where it happens."""
    waiting = [n for n in members.leaving if n.facts.startall_is_held]
    if not waiting:
        raise NotApplicable("no start of all guests is held")
    approve(questions.guests_start(waiting))


@pytest.mark.leaving
def test_start_of_all_guests_went_on(host, startall_back):
    """The start of all guests is held no more; what came up is counted."""
    if host.pve.node not in startall_back:
        raise NotApplicable("no start of all guests was held here")
    assert not host.pve.startall_is_held, refusals_cluster.startall_still_held(host.pve)


@pytest.mark.leaving
def test_operator_approves_the_thaw(overdue_jobs, questions, approve):
    """The operator has seen the jobs that would start, and approves that the schedulers run again."""
    if not overdue_jobs:
        raise NotApplicable("no scheduler is off that ran before, or nothing waits for it")
    approve(questions.thaw(overdue_jobs))


@pytest.mark.leaving
def test_schedulers_run_again(host, scheduler_back, survival):
    """The schedulers that ran before the first change run again."""
    if host.pve.node not in survival.scheduled:
        raise NotApplicable("its scheduler did not run before the first change")
    assert host.pve.own_scheduler_runs, refusal(
        RefusalId.SCHEDULER_DID_NOT_START,
        host.pve.node,
        seen="the scheduler did not start",
        why="this node's backups would stay off",
        do="Type `systemctl start pvescheduler` there and look at `systemctl status pvescheduler`",
    )


def test_guests_are_untouched_by_the_thaw(survival):
    """Every guest still runs on after the schedulers came back; a backup that begins now only locks it."""
    lost = survival.losses(7, backups_may_run=True)
    assert not lost, lost


def test_nodes_are_released(host, released):
    """The node's lock is gone: this work is done."""
    assert host.pve.lock is None, refusals.lock_left(host.pve)
