"""Phase 8: rollback: the nodes that left go back into their cluster. It runs alone, with --rollback=DIR.

Why: until a node's configuration was changed after it left, the cluster can be had back as it was: every node gets
its own database and corosync's files of before the first change; only when all were checked may they meet.
Not as in the article: it knows no way back. Writing corosync.conf into a standalone node's database instead would
make that database the newest, and it would overwrite the others'.
"""

from __future__ import annotations

import contextlib

import pytest
from pve_runbook.facts.state import NodeState
from pve_runbook.plugin import questions
from pve_runbook.plugin.approval import approve
from pve_runbook.plugin.rollback import MEMBER
from pve_runbook.work import access, actions, backup, canary, families, refusals, window
from pve_runbook.work.obstacles import changed_files, restore_obstacle
from pve_runbook.work.probe import BACKUP_ROOT
from pve_runbook.work.readings import UnknownFact
from pve_runbook.work.refusal import refusal

QUORUM_SECONDS = 30
"""Tried on PVE 8.3: three nodes were quorate 15 s after their restart."""


@pytest.fixture(scope="session")
def back(run):
    """What is rolled back."""
    return run.rollback


@pytest.fixture(scope="session")
def restored(run, cluster, back, scheduler_off, second_way):
    """Every node that had left has its own database and /etc/corosync again, one node after the other: their names."""
    done = []
    for node in cluster.nodes:
        if not back.restores(node):
            run.note("state", f"nothing to do: {node.facts.state.meaning}", node.name)
            continue
        for vmid in node.facts.canaries:
            run.note("canary", f"guest {vmid} is the canary of a run that was cut short; it is removed", node.name)
            canary.remove(node, vmid)
        files = {name: back.file(node, name) for name in ("config.db", "system.tar.gz")}
        names = {"run": cluster.work, "attempt": cluster.attempt}
        node.act(actions.PUT_DATABASE.bind(**names), stdin=files["config.db"])
        node.act(actions.PUT_SYSTEM.bind(**names), stdin=files["system.tar.gz"])
        sums = back.earlier.transfers(node.name)
        obstacle = restore_obstacle(node, cluster.nodes, back.baseline.network.get(node.name, {}))
        assert not obstacle, obstacle
        meanwhile = back.changed_meanwhile(node) + [f"guest {v} runs" for v in back.running_without_config(node)]
        assert not meanwhile, refusals.changed_meanwhile(node.facts, meanwhile)
        window.restore(cluster, node, [sums["config.db"], sums["system.tar.gz"]], run.sample)
        assert not run.interrupted_guests, refusals.interrupted(run.interrupted_guests)
        done.append(node.name)
    return done


@pytest.fixture(scope="session")
def corosync_back(run, cluster, back, restored):
    """Corosync runs on every member, without a forced quorum: the nodes may find each other again."""
    members = [n for n in cluster.nodes if back.is_member(n)]
    meeting = back.meeting(cluster.nodes)
    lost = meeting.lost_guests()
    assert not lost, refusals.lost_when_they_meet(meeting.newest, lost)
    for node in members:
        if back.is_forced(node):
            node.act(actions.STOP_COROSYNC.bind())
    # The newest database first, and alone: nobody has quorum, and writes, before it is there.
    first = [n for n in members if n.name == meeting.newest]
    cluster.each(_start_corosync, first)
    cluster.each(_start_corosync, [n for n in members if n not in first])


def _start_corosync(node):
    if node.facts.corosync.is_masked:
        node.act(actions.UNMASK_COROSYNC.bind())
    if not node.facts.corosync.is_enabled:
        node.act(actions.ENABLE_COROSYNC.bind())
    if not node.facts.corosync.is_active:
        node.act(actions.START_COROSYNC.bind())
    qdevice = node.facts.units["corosync-qdevice.service"]
    if qdevice.exists and node.facts.corosync_conf.qdevice:
        if qdevice.is_masked:
            node.act(actions.UNMASK_QDEVICE.bind())
        if not qdevice.is_active:
            node.act(actions.ENABLE_QDEVICE.bind())


def test_login_is_root(host):
    """The login acts as root."""
    assert host.pve.is_root, refusals.not_root(host.pve)


def test_hosts_are_those_of_the_record(cluster, back):
    """--hosts names the nodes of the record, and nobody else."""
    given = {n.name for n in cluster.nodes}
    assert given == set(back.nodes), refusal(
        "cluster",
        seen=f"--hosts names {', '.join(sorted(given))}; the record is of {', '.join(back.nodes)}",
        why="the nodes go back together: one that is left out would meet a cluster that it does not belong to",
        do=f"Name them as the record does: --hosts={','.join(back.nodes)}",
    )


def test_nobody_else_works_here(run):
    """No other run holds these nodes."""
    assert not run.held, run.held


def test_nothing_of_an_earlier_run_goes_on(host, node, run):
    """No command of an earlier run is still under way on the node; a bounded wait for it."""
    run.wait_for_earlier(node)
    assert not host.pve.our_units, refusals.still_under_way(host.pve)


def test_state_is_known(host, node, run):
    """The node is in a state from which this way back is known."""
    run.settle(node)
    run.note("state", host.pve.state.meaning, node.name)
    assert host.pve.state is not NodeState.UNKNOWN, refusals.unknown_state(host.pve)


def test_node_is_of_this_cluster(node, back):
    """The node is no member of another cluster by now."""
    assert not back.is_of_another_cluster(node), refusal(
        node.name,
        seen="corosync.conf in its database is not the one of the record: the node is a member of another cluster",
        why="this is past the point of no return: its peers would be put into a cluster that it does not belong to",
        do="Leave the nodes as they are; join the others to the new cluster instead",
    )


def test_ha_is_off(host, cluster, back):
    """HA is off on every node while one goes back, and stays off: it would act on what it sees on the way."""
    if not any(back.restores(n) or back.is_forced(n) for n in cluster.nodes):
        return
    assert not (host.pve.has_watchdog_client and not host.pve.is_quorate), refusals.ha_armed(host.pve)
    assert not host.pve.ha_units_on and not host.pve.has_watchdog_client, refusal(
        host.pve.node,
        seen=f"HA: {', '.join(host.pve.ha_units_on) or 'units off'}; watchdog client: {host.pve.has_watchdog_client}",
        why="it would act on what it sees while the nodes go back, and can reset the node",
        do="Type `systemctl disable --now pve-ha-lrm` on all nodes, then the same with pve-ha-crm, and run this again",
    )


def test_nothing_is_under_way(host):
    """No backup, migration or clone is under way."""
    assert not host.pve.tasks_under_way, refusals.busy(host.pve, host.pve.tasks_under_way)


def test_network_is_as_it_was(host, node, back):
    """The node is named and reached as before the first change: corosync.conf comes back with its old addresses."""
    if not back.restores(node):
        return
    changed = changed_files(node, back.baseline.network.get(node.name, {}))
    assert not changed, refusal(
        host.pve.node,
        seen=f"{', '.join(changed)} changed since the baseline",
        why="the old corosync.conf speaks of the old names and addresses: the node would not find its peers",
        do="Put it back (it is in the record's backups, system.tar.gz), or leave the nodes standalone and rebuild",
    )


def test_backups_make_a_member(node, back):
    """The node's backups are what they were, and hold all that makes a member of it."""
    if back.restores(node):
        lacking = back.lacks(node)
        assert not lacking, lacking


def test_nobody_changed_the_node_since(node, run, back):
    """Since its backup nobody but the run changed the node's configuration; or that is given up by the node's name."""
    if not back.restores(node):
        return
    found = back.changed_by_others(node)
    homeless = back.running_without_config(node)
    assert not homeless, refusals.changed_meanwhile(node.facts, [f"guest {v} runs" for v in homeless])
    if node.name in run.options.give_up:
        run.note(
            "accepted", f"given up by --give-up={node.name}: {', '.join(found) or 'nothing was changed'}", node.name
        )
        return
    assert not found, refusal(
        node.name,
        seen=f"its configuration was changed since its backup: {', '.join(found)}",
        why="this is past the point of no return: the old database takes its place, and these changes are lost",
        do=f"Leave the nodes standalone; or give the changes up by name: --give-up={node.name}",
    )


def test_no_guest_is_lost_when_they_meet(cluster, back):
    """Every node's own guests are in the newest database as the node itself has them."""
    meeting = back.meeting(cluster.nodes)
    lost = meeting.lost_guests()
    assert not lost, refusals.lost_when_they_meet(meeting.newest, lost)


def test_baseline_is_taken(host, run, baseline):
    """Every guest is written down as it runs now; every process of a guest has its config here."""
    assert host.pve.boot_id == run.baseline.boots[host.pve.node]
    strays = [v for v in host.pve.strays if v not in run.baseline.guests]
    assert not strays, refusals.stray_guests(host.pve)


def test_operator_approves_the_rollback(run, cluster, back):
    """The operator approves the way back, and has seen whose database wins."""
    approve(run, 8, run.cluster_name, back.text(run.cluster_name, cluster.nodes, run.options.give_up))


def test_nodes_are_locked(host, run, locked):
    """The node is locked for this run: a second operator is kept out."""
    lock = host.pve.lock
    assert lock is not None and lock.run == run.cluster.work, refusals.locked_by_another(host.pve)


def test_present_state_is_backed_up(host, node, run, back, backups):
    """What the node holds now is on the control host, opened and checked, before it is replaced."""
    if back.restores(node):
        names = {p.name for p in (run.folder / "backups" / host.pve.node).iterdir()}
        assert set(backup.ALWAYS) <= names


def test_scheduler_is_off(host, scheduler_off):
    """Neither backups nor replication start any more, and not when the nodes meet."""
    assert not host.pve.scheduler_runs, refusals.scheduler_on(host.pve)


def test_there_is_a_second_way_in(host, node, run, second_way):
    """There is a second way in while /etc/pve is not mounted: a proven key, or the console, by the operator's word."""
    why = second_way[host.pve.node]
    if why:
        approve(run, 8, host.pve.node, questions.console(host.pve.node, why))


def test_node_has_its_own_configuration_again(host, node, back, restored):
    """The node has its own database of before the first change again; corosync does not run yet."""
    if not back.is_member(node):
        return
    assert host.pve.state in MEMBER, refusal(
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
        host.pve.node,
        seen="its guests' configs are not those of its backup",
        why="the newest database wins when the nodes meet, and takes its configs to all",
        do=f"{refusals.AGAIN}; compare `ls /etc/pve/nodes/*/*/` with the record's backups",
    )


def test_corosync_runs_again(host, node, back, corosync_back):
    """Corosync runs again, and at every boot."""
    if not back.is_member(node):
        return
    corosync = host.pve.corosync
    assert corosync.is_active and corosync.is_enabled, refusal(
        host.pve.node,
        seen=f"corosync is {corosync.active} and {corosync.file_state}",
        why="without it the node stays read-only",
        do="Look at `systemctl status corosync` there, then run the same command line again",
    )


def test_quorum_is_what_it_was(cluster, run, back, corosync_back):
    """The members have quorum together; where they had none before the run either, that is only said."""
    members = [n for n in cluster.nodes if back.is_member(n)]
    for node in members:
        with contextlib.suppress(UnknownFact):
            cluster.wait_until(node, lambda f: f.is_quorate, "whether quorum comes back", seconds=QUORUM_SECONDS)
    without = [n.name for n in members if not n.facts.is_quorate]
    run.note("state", f"no quorum on {', '.join(without)}" if without else "quorum on all")
    lacking = [name for name in without if name in back.baseline.quorate]
    assert not lacking, refusal(
        "cluster",
        seen=f"no quorum on {', '.join(lacking)}",
        why="before the run it had quorum: something between the nodes is not as it was",
        do="Look at `pvecm status` and `journalctl -u corosync` there, then run the same command line again",
    )
    if without:
        run.leave(f"{', '.join(without)}: no quorum, as before the run; mend the network first")


def test_every_guest_runs_on(run):
    """Every guest runs on: same process; its config, owner and volumes are those of before the first change."""
    lost = run.losses(8)
    assert not lost, lost


def test_what_is_left_is_written_down(cluster, run, back):
    """HA and the schedulers stay off; what else is left is written down."""
    run.leave(questions.KEEP_BACKUPS.format(folder=f"{BACKUP_ROOT}/{cluster.work} and {run.id} beside it"))
    for node in cluster.nodes:
        if "cron.d-vzdump" in (node.ask_about(families.OWN_FOLDER, node.work) or ()):
            parked = f"{BACKUP_ROOT}/{node.work}/cron.d-vzdump"
            run.leave(f"and, for its backups: mv -T {parked} /etc/cron.d/vzdump", node.name)


def test_second_way_in_is_closed(node, second_way_closed):
    """The key that this run had made for itself is gone from the node."""
    assert not access.is_installed(node), refusals.key_left(node.facts)


def test_nodes_are_released(host, released):
    """The node's lock is gone: the rollback is done."""
    assert host.pve.lock is None, refusals.lock_left(host.pve)
