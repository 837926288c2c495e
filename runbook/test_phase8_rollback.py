"""Phase 8: rollback: the nodes that left go back into their cluster.

It runs alone, with --rollback=DIR.

Why: until a node's configuration was changed after it left, the cluster can be had back as it was: every node gets
its own database and corosync's files of before the first change; only when all were checked may they meet.
Not as in the article: it knows no way back. Writing corosync.conf into a standalone node's database instead would
make that database the newest, and it would overwrite the others'.

Sends, where it is still to be done:
    rm -f /var/lib/pve-runbook/lock
    install -d -m 0700 /var/lib/pve-runbook /var/lib/pve-runbook/RUN
    ln -s -T LOCK /var/lib/pve-runbook/lock
    sqlite3 /var/lib/pve-cluster/config.db .backup '/var/lib/pve-runbook/RUN/config.db'
    tar -C / -czf /var/lib/pve-runbook/RUN/etc-pve.tar.gz etc/pve
    tar -C / -czf /var/lib/pve-runbook/RUN/system.tar.gz --ignore-failed-read etc/corosync var/lib/corosync
        etc/network etc/hosts etc/hostname etc/resolv.conf root/.ssh usr/local/lib/systemd/network
    install -m 0600 /dev/stdin /var/lib/pve-runbook/RUN/by-hand.md
    systemctl stop pvescheduler.service
    systemctl mask --runtime pvescheduler.service
    systemctl stop pvesr.timer pvesr.service
    mv -T /etc/cron.d/vzdump /var/lib/pve-runbook/RUN/cron.d-vzdump
    systemctl stop corosync.service
    install -m 0600 /dev/stdin /root/.ssh/authorized_keys2
    systemctl unmask --runtime corosync.service
    qm stop VMID
    qm destroy VMID
    install -m 0600 /dev/stdin /var/lib/pve-runbook/RUN/restore-ATTEMPT.new.db
    install -m 0600 /dev/stdin /var/lib/pve-runbook/RUN/restore-ATTEMPT.new.tar.gz
    install -m 0700 /dev/stdin /var/lib/pve-runbook/RUN/restore.sh
    systemd-run --no-block --unit=pve-runbook-restore-ATTEMPT --collect --description=pve-runbook -p
        Type=oneshot /bin/bash /var/lib/pve-runbook/RUN/restore.sh
    systemctl enable corosync.service
    systemctl start corosync.service
    systemctl unmask --runtime corosync-qdevice.service
    systemctl enable --now corosync-qdevice.service
    systemctl kill --signal=SIGCONT pve-guests.service
    rm -f /root/.ssh/authorized_keys2
    rm -rf /run/pve-runbook/RUN
"""

from __future__ import annotations

import contextlib

import pytest
from pve_runbook.diagnosis import leaving, refusals, refusals_cluster
from pve_runbook.facts.node_state import NodeState
from pve_runbook.probes import per_subject
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.probes.probe import BACKUP_ROOT
from pve_runbook.probes.registry import IS_QUORATE
from pve_runbook.procedure import backup, decisions, left_to_do, login_key, stages, window
from pve_runbook.procedure.forecast import Forecast
from pve_runbook.procedure.rollback import MEMBER
from pve_runbook.procedure.window_preconditions import changed_files, restore_obstacle
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.not_applicable import STANDS, NotApplicable
from pve_runbook.refusal.text import refusal

QUORUM_SECONDS = 30
STAYS = "this node stayed in the cluster all the time"
"""Tried on PVE 8.3: three nodes were quorate 15 s after their restart."""


@pytest.fixture(scope="session")
def back(opened):
    """What is rolled back."""
    return opened.run.rollback


@pytest.fixture
def stays(node, members):
    """Whether the node stayed in the cluster all the time (--leave): nothing is taken back on it."""
    return node in members.staying


@pytest.fixture(scope="session")
def restored(perform, cluster, members, back, survival, notes, scheduler_off, second_way):
    """Every node that had left has its own database and /etc/corosync again, one node after the other: their names."""
    names = [n.name for n in cluster.nodes if back.restores(n)]
    for node in cluster.nodes:
        for vmid in node.facts.canaries if node.name in names else ():
            notes.note("canary", f"guest {vmid} is the canary of a run that was cut short; it is removed", node.name)

    def nothing_changed_meanwhile(node):
        cluster.forget()  # the files took their time, and another node may be what stands in the way
        left = [n for n in cluster.nodes if n not in members.staying]
        obstacle = restore_obstacle(node, left, back.baseline.network.get(node.name, {}))
        assert not obstacle, obstacle
        meanwhile = back.changed_meanwhile(node) + [f"guest {v} runs" for v in back.running_without_config(node)]
        assert not meanwhile, refusals.changed_meanwhile(node.facts, meanwhile)

    def ends_well(node):
        window.see_it_end(cluster, "restore", node, survival.sample)
        assert not survival.interrupted, refusals_cluster.interrupted(survival.interrupted)

    perform(stages.RESTORED, then={"put-system": nothing_changed_meanwhile, "restore": ends_well})
    return names


@pytest.fixture(scope="session")
def corosync_back(perform, cluster, back, restored):
    """Corosync runs on every member, without a forced quorum: the nodes may find each other again."""
    meeting = back.meeting(cluster.nodes)
    lost = meeting.lost_guests()
    assert not lost, refusals_cluster.lost_when_they_meet(meeting.newest, lost)
    perform(stages.FORCE_ENDED)
    # The newest database first, and alone: nobody has quorum, and writes, before it is there.
    first = [n for n in cluster.nodes if n.name == meeting.newest]
    perform(stages.COROSYNC_BACK, first)
    perform(stages.COROSYNC_BACK, [n for n in cluster.nodes if n not in first])


def test_login_is_root(host):
    """The login acts as root."""
    assert host.pve.is_root, refusals.not_root(host.pve)


def test_hosts_are_those_of_the_record(cluster, back):
    """--hosts names the nodes of the record, and nobody else."""
    given = {n.name for n in cluster.nodes}
    assert given == set(back.nodes), refusal(
        RefusalId.NOT_THE_RECORDS_HOSTS,
        "cluster",
        seen=f"--hosts names {', '.join(sorted(given))}; the record is of {', '.join(back.nodes)}",
        why="the nodes go back together: one that is left out would meet a cluster that it does not belong to",
        do=f"Name them as the record does: --hosts={','.join(back.nodes)}",
    )


def test_nobody_else_works_here(opened):
    """No other run holds these nodes."""
    assert not opened.held, opened.held


def test_nothing_of_an_earlier_run_goes_on(host, node, members):
    """No command of an earlier run is still under way on the node; a bounded wait for it."""
    members.wait_for_earlier(node)
    assert not host.pve.our_units, refusals.still_under_way(host.pve)


def test_state_is_known(host, node, members, notes):
    """The node is in a state from which this way back is known."""
    members.settle(node)
    notes.note("state", host.pve.state.meaning, node.name)
    assert host.pve.state is not NodeState.UNKNOWN, refusals.unknown_state(host.pve)


def test_those_that_stayed_still_know_the_others(members):
    """Where others stayed a cluster, they have let nobody go yet."""
    gone = sorted(set(members.is_let_go) - set(members.still_listed())) if members.staying else []
    assert not gone, leaving.let_go_already(gone, [n.name for n in members.staying])


def test_node_is_of_this_cluster(node, back):
    """The node is no member of another cluster by now."""
    assert not back.is_of_another_cluster(node), refusal(
        RefusalId.ANOTHER_CLUSTER,
        node.name,
        seen="corosync.conf in its database is not the one of the record: the node is a member of another cluster",
        why="this is past the point of no return: its peers would be put into a cluster that it does not belong to",
        do="Leave the nodes as they are; join the others to the new cluster instead",
    )


def test_ha_is_off(host, cluster, back, execution, stays):
    """HA is off on every node while one goes back, and stays off: it would act on what it sees on the way."""
    if stays:
        raise NotApplicable(STAYS)
    work = execution.work()
    if not any(back.restores(n) or decisions.is_forced(Forecast(n), work) for n in cluster.nodes):
        raise NotApplicable("no node goes back")
    assert not host.pve.is_armed_without_quorum, refusals.ha_armed(host.pve)
    assert not host.pve.ha_units_on and not host.pve.has_watchdog_client, refusal(
        RefusalId.HA_IS_ON_BEFORE_THE_WAY_BACK,
        host.pve.node,
        seen=f"HA: {', '.join(host.pve.ha_units_on) or 'units off'}; watchdog client: {host.pve.has_watchdog_client}",
        why="it would act on what it sees while the nodes go back, and can reset the node",
        do="Type `systemctl disable --now pve-ha-lrm` on all nodes, then the same with pve-ha-crm, and run this again",
    )


def test_nothing_is_under_way(host, stays):
    """No backup, migration or clone is under way."""
    if stays:
        raise NotApplicable(STAYS)
    assert not host.pve.tasks_under_way, refusals.busy(host.pve, host.pve.tasks_under_way)


def test_network_is_as_it_was(host, node, back):
    """The node is named and reached as before the first change: corosync.conf comes back with its old addresses."""
    if not back.restores(node):
        raise NotApplicable(STANDS)
    changed = changed_files(node, back.baseline.network.get(node.name, {}))
    assert not changed, refusal(
        RefusalId.NETWORK_CHANGED_BEFORE_THE_WAY_BACK,
        host.pve.node,
        seen=f"{', '.join(changed)} changed since the baseline",
        why="the old corosync.conf speaks of the old names and addresses: the node would not find its peers",
        do="Put it back (it is in the record's backups, system.tar.gz), or leave the nodes standalone and rebuild",
    )


def test_backups_make_a_member(node, back):
    """The node's backups are what they were, and hold all that makes a member of it."""
    if not back.restores(node):
        raise NotApplicable(STANDS)
    lacking = back.lacks(node)
    assert not lacking, lacking


def test_nobody_changed_the_node_since(node, back, options, notes):
    """Since its backup nobody but the run changed the node's configuration; or that is discarded by the node's name."""
    if not back.restores(node):
        raise NotApplicable(STANDS)
    found = back.changed_by_others(node)
    homeless = back.running_without_config(node)
    assert not homeless, refusals.changed_meanwhile(node.facts, [f"guest {v} runs" for v in homeless])
    if node.name in options.discard_changes:
        notes.note(
            "accepted",
            f"discarded by --discard-changes={node.name}: {', '.join(found) or 'no change'}",
            node.name,
        )
        return
    assert not found, refusal(
        RefusalId.NODE_WAS_CHANGED_SINCE,
        node.name,
        seen=f"its configuration was changed since its backup: {', '.join(found)}",
        why="this is past the point of no return: the old database takes its place, and these changes are lost",
        do=f"Leave the nodes standalone; or discard the changes by name: --discard-changes={node.name}",
    )


def test_no_guest_is_lost_when_they_meet(cluster, back):
    """Every node's own guests are in the newest database as the node itself has them."""
    meeting = back.meeting(cluster.nodes)
    lost = meeting.lost_guests()
    assert not lost, refusals_cluster.lost_when_they_meet(meeting.newest, lost)


def test_baseline_is_taken(host, baseline, survival):
    """Every guest is written down as it runs now; every process of a guest has its config here."""
    assert host.pve.boot_id == survival.baseline.boots[host.pve.node], refusals.booted_meanwhile(host.pve)
    strays = [v for v in host.pve.strays if v not in survival.baseline.guests]
    assert not strays, refusals.stray_guests(host.pve)
    assert not host.pve.pids_apart, refusals_cluster.pids_apart(host.pve)


def test_operator_approves_the_rollback(back, options, questions, approve):
    """The operator approves the way back, and has seen whose database wins."""
    approve(questions.rollback(back, options.discard_changes))


def test_nodes_are_locked(host, locked, cluster):
    """The node is locked for this run: a second operator is kept out."""
    lock = host.pve.lock
    assert lock is not None and lock.run == cluster.work, refusals.locked_by_another(host.pve)


def test_present_state_is_backed_up(host, node, back, backups, opened):
    """What the node holds now is on the control host, opened and checked, before it is replaced."""
    if not back.restores(node):
        raise NotApplicable(STANDS)
    names = {p.name for p in (opened.folder / "backups" / host.pve.node).iterdir()}
    missing = sorted(set(backup.ALWAYS) - names)
    assert not missing, refusals.backups_missing(host.pve, missing)


def test_scheduler_is_off(host, scheduler_off, stays):
    """Neither backups nor replication start any more, and not when the nodes meet."""
    if stays:
        raise NotApplicable(STAYS)
    assert not host.pve.scheduler_runs, refusals.scheduler_on(host.pve)


def test_there_is_a_second_way_in(host, node, second_way, questions, approve):
    """There is a second way in while /etc/pve is not mounted: a proven key, or the console, by the operator's word."""
    why = second_way[host.pve.node]
    if why:
        approve(questions.console(8, host.pve.node, why))


def test_node_has_its_own_configuration_again(host, node, back, restored):
    """The node has its own database of before the first change again; corosync does not run yet."""
    if not back.is_member(node):
        raise NotApplicable(STANDS)
    assert host.pve.state in MEMBER, refusal(
        RefusalId.NODE_IS_NOT_BACK,
        host.pve.node,
        seen=f"its state is {host.pve.state.meaning}",
        why="a node that is no member of the old cluster cannot meet the others",
        do=refusals.AGAIN,
    )
    if node.name not in restored:
        return
    before, now = back.before(node).tree.guests, host.pve.guests
    own = {v: g.sha256 for v, g in before.items() if g.node == host.pve.hostname}
    assert {v: g.sha256 for v, g in now.items()} == own, refusal(
        RefusalId.GUESTS_CONFIGS_ARE_NOT_BACK,
        host.pve.node,
        seen="its guests' configs are not those of its backup",
        why="the newest database wins when the nodes meet, and takes its configs to all",
        do=f"{refusals.AGAIN}; compare `ls /etc/pve/nodes/*/*/` with the record's backups",
    )


def test_corosync_runs_again(host, node, back, corosync_back):
    """Corosync runs again, and at every boot."""
    if not back.is_member(node):
        raise NotApplicable(STANDS)
    corosync = host.pve.corosync
    assert corosync.is_active and corosync.is_enabled, refusal(
        RefusalId.COROSYNC_IS_NOT_BACK,
        host.pve.node,
        seen=f"corosync is {corosync.active} and {corosync.file_state}",
        why="without it the node stays read-only",
        do="Look at `systemctl status corosync` there, then run the same command line again",
    )


def test_quorum_is_what_it_was(cluster, back, corosync_back, notes):
    """The members have quorum together; where they had none before the run either, that is only said."""
    members = [n for n in cluster.nodes if back.is_member(n)]
    for node in members:
        with contextlib.suppress(UnknownFact):
            cluster.wait_until(
                node, lambda f: f.is_quorate, "whether quorum comes back", seconds=QUORUM_SECONDS, asking=IS_QUORATE
            )
    without = [n.name for n in members if not n.facts.is_quorate]
    notes.note("state", f"no quorum on {', '.join(without)}" if without else "quorum on all")
    lacking = [name for name in without if name in back.baseline.quorate]
    assert not lacking, refusal(
        RefusalId.QUORUM_IS_NOT_BACK,
        "cluster",
        seen=f"no quorum on {', '.join(lacking)}",
        why="before the run it had quorum: something between the nodes is not as it was",
        do="Look at `pvecm status` and `journalctl -u corosync` there, then run the same command line again",
    )
    if without:
        notes.leave(f"{', '.join(without)}: no quorum, as before the run; fix the network first")


def test_every_guest_runs_on(survival):
    """Every guest runs on: same process; its config, owner and volumes are those of before the first change."""
    lost = survival.losses(8)
    assert not lost, lost


def test_start_of_all_guests_went_on(host, startall_back):
    """A start of all guests that the run had held is held no more; what came up is counted."""
    if host.pve.node not in startall_back:
        raise NotApplicable("no start of all guests was held here")
    assert not host.pve.startall_is_held, refusals_cluster.startall_still_held(host.pve)


def test_what_is_left_is_written_down(cluster, opened, notes):
    """HA and the schedulers stay off; what else is left is written down."""
    notes.leave(left_to_do.KEEP_BACKUPS.format(folder=f"{BACKUP_ROOT}/{cluster.work} and {opened.run.id} beside it"))
    for node in cluster.nodes:
        if "cron.d-vzdump" in (node.ask_about(per_subject.OWN_FOLDER, node.work) or ()):
            parked = f"{BACKUP_ROOT}/{node.work}/cron.d-vzdump"
            notes.leave(f"after that its backups by cron come back by: mv -T {parked} /etc/cron.d/vzdump", node.name)
    for name, text in left_to_do.not_applied((*opened.run.journal.events, *opened.unfinished.events)):
        notes.leave(text, name)


def test_second_way_in_is_closed(node, second_way_closed):
    """The key that this run had made for itself is gone from the node."""
    assert not login_key.is_installed(node), refusals.key_left(node.facts)


def test_nodes_are_released(host, released):
    """The node's lock is gone: the rollback is done."""
    assert host.pve.lock is None, refusals.lock_left(host.pve)
