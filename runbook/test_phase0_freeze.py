"""Phase 0: freeze: no guest is started, moved or taken over; a way back exists.

Comes after test_phase0_conditions.py, which says why, and has judged all that reading can judge.

With --leave: scheduler and HA go off on the nodes that leave alone, and HA lets their guests go. Every node is locked
and backed up.

Sends, where it is still to be done:
    rm -f /var/lib/pve-runbook/lock
    install -d -m 0700 /var/lib/pve-runbook /var/lib/pve-runbook/RUN
    ln -s -T LOCK /var/lib/pve-runbook/lock
    sqlite3 /var/lib/pve-cluster/config.db .backup '/var/lib/pve-runbook/RUN/config.db'
    tar -C / -czf /var/lib/pve-runbook/RUN/etc-pve.tar.gz etc/pve
    tar -C / -czf /var/lib/pve-runbook/RUN/system.tar.gz --ignore-failed-read etc/corosync var/lib/corosync
        etc/network etc/hosts etc/hostname etc/resolv.conf root/.ssh usr/local/lib/systemd/network
    install -m 0600 /dev/stdin /var/lib/pve-runbook/RUN/by-hand.md
    ha-manager remove SID
    systemctl stop pvescheduler.service
    systemctl mask --runtime pvescheduler.service
    systemctl stop pvesr.timer pvesr.service
    mv -T /etc/cron.d/vzdump /var/lib/pve-runbook/RUN/cron.d-vzdump
    systemctl stop pve-sdn-commit.service
    systemctl stop pve-firewall-commit.service
    systemctl kill --signal=SIGSTOP pve-guests.service
    ha-manager crm-command disarm-ha freeze
    systemctl stop pve-ha-lrm.service
    systemctl disable pve-ha-lrm.service
    systemctl stop pve-ha-crm.service
    systemctl disable pve-ha-crm.service
"""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis import leaving, refusals, refusals_cluster
from pve_runbook.facts.node_state import NodeState
from pve_runbook.procedure.backup import ALWAYS
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.not_applicable import LEFT_ALREADY, NOBODY_LEAVES, NONE_WAITS, NotApplicable
from pve_runbook.refusal.text import refusal


def test_baseline_is_taken(host, baseline, survival):
    """Every guest and every node is written down as it is now; every process of a guest has its config here."""
    assert host.pve.boot_id == survival.baseline.boots[host.pve.node], refusals.booted_meanwhile(host.pve)
    assert not host.pve.strays, refusals.stray_guests(host.pve)
    assert not host.pve.pids_apart, refusals_cluster.pids_apart(host.pve)


def test_operator_says_who_is_powered_off(cluster, options, questions, approve):
    """The operator says of every absent member that it is powered off, or has left."""
    if not options.absent:
        raise NotApplicable("--absent names no member")
    if all(n.facts.state is NodeState.STANDALONE for n in cluster.nodes):
        raise NotApplicable(NOBODY_LEAVES)
    for name in options.absent:
        approve(questions.powered_off(name))


@pytest.mark.all_leave
def test_operator_means_it_anyway(questions, approve):
    """Where a majority is quorate, or the verdict wants something else, the operator says again that it is meant."""
    question = questions.anyway()
    if question is None:
        raise NotApplicable("nothing speaks against the run")
    approve(question)


def test_operator_approves_the_freeze(questions, approve):
    """The operator approves the freeze, and has the consoles at hand."""
    approve(questions.freeze())


def test_nodes_are_locked(host, locked, cluster):
    """The node is locked for this run: a second operator is kept out."""
    lock = host.pve.lock
    assert lock is not None and lock.run == cluster.work, refusals.locked_by_another(host.pve)


def test_nothing_of_an_earlier_run_goes_on(host, node, members):
    """No command of an earlier run is still under way on the node; a bounded wait for it."""
    members.wait_for_earlier(node)
    assert not host.pve.our_units, refusals.still_under_way(host.pve)


def test_backups_are_checked(host, backups, opened):
    """The node's configuration is on the control host, opened and equal to the live one."""
    names = {p.name for p in (opened.folder / "backups" / host.pve.node).iterdir()}
    missing = sorted(set(ALWAYS) - names)
    assert not missing, refusals.backups_missing(host.pve, missing)


@pytest.mark.staying
def test_ha_manages_no_guest_that_leaves(ha_released, members):
    """HA manages no guest of a node that leaves any more: it would recover it elsewhere."""
    found = leaving.still_under_ha(members.staying[0].facts, members.is_let_go)
    assert not found, found


@pytest.mark.leaving
def test_scheduler_is_off(host, scheduler_off, members):
    """Neither backups nor replication start any more."""
    if host.pve.node in members.standalone_at_start:
        raise NotApplicable(LEFT_ALREADY)
    assert not host.pve.scheduler_runs, refusals.scheduler_on(host.pve)


@pytest.mark.leaving
def test_nothing_waits_to_change_the_network(host, commits_off, members):
    """No pending change of the network or the firewall waits for quorum."""
    if host.pve.node in members.standalone_at_start:
        raise NotApplicable(LEFT_ALREADY)
    assert not host.pve.waiting_commits, refusals_cluster.starts_wait(host.pve, host.pve.waiting_commits)


@pytest.mark.leaving
def test_start_of_all_guests_is_held(host, startall_held, members):
    """No start of all guests would go on as soon as there is quorum: one that waits is held."""
    if host.pve.node in members.standalone_at_start:
        raise NotApplicable(LEFT_ALREADY)
    if not host.pve.startall_waits:
        raise NotApplicable(NONE_WAITS)
    assert host.pve.startall_is_held, refusals_cluster.startall_not_held(host.pve)


@pytest.mark.leaving
def test_lrm_is_off(host, lrm_off):
    """The local resource manager is stopped and stays off after a boot."""
    lrm = host.pve.units["pve-ha-lrm.service"]
    assert lrm.is_stopped and not lrm.is_enabled and lrm.job is None, refusal(
        RefusalId.LRM_IS_ON,
        host.pve.node,
        seen=f"pve-ha-lrm is {lrm.active} and {lrm.file_state}{', and its start waits' if lrm.job else ''}",
        why="it would act on what it sees during the dismantling, now or after a reboot",
        do="Look at `systemctl status pve-ha-lrm` there",
    )


@pytest.mark.leaving
def test_crm_is_off(host, crm_off):
    """The cluster resource manager is stopped and stays off after a boot."""
    crm = host.pve.units["pve-ha-crm.service"]
    assert crm.is_stopped and not crm.is_enabled and crm.job is None, refusal(
        RefusalId.CRM_IS_ON,
        host.pve.node,
        seen=f"pve-ha-crm is {crm.active} and {crm.file_state}{', and its start waits' if crm.job else ''}",
        why="a separated node with a live CRM takes over the other nodes' guests within minutes",
        do="Look at `systemctl status pve-ha-crm` there",
    )


@pytest.mark.leaving
def test_no_watchdog_client_is_left(host):
    """Nothing feeds the watchdog any more, so nothing can reset this node."""
    assert not host.pve.has_watchdog_client, refusal(
        RefusalId.WATCHDOG_CLIENT_IS_LEFT,
        host.pve.node,
        seen="/run/watchdog-mux.active is there: a watchdog client is left",
        why="if it stops feeding the watchdog, the node is reset and its guests die",
        do="Find it: `ss -xp src /run/watchdog-mux.sock`; do not kill it and do not stop watchdog-mux",
    )


def test_every_guest_runs_on(survival):
    """Every guest runs on: same process, same config; no node was rebooted."""
    lost = survival.losses(0)
    assert not lost, lost
