"""The actions of the runbook, as fixtures; each is named for the state in which it leaves the nodes.

An action runs once, for all nodes, before the gates that read its effect. It looks first and does only what is
still to be done, so that a second run goes on from wherever the first one stopped.
"""

from __future__ import annotations

import pytest
from pve_runbook.facts.lock import Lock
from pve_runbook.facts.state import NodeState
from pve_runbook.plugin.questions import has_qdevice
from pve_runbook.plugin.run import Run
from pve_runbook.plugin.unfinished import operator
from pve_runbook.work import access, actions, authority, backup, canary, families, probes, refusals, thaw, window
from pve_runbook.work.cluster import Cluster
from pve_runbook.work.node import Node

STANDALONE = NodeState.STANDALONE
LATENCY_SAMPLES = 3


def nothing_to_do(run: Run, node: Node, what: str) -> None:
    """Say that a step found its work done."""
    run.note("state", f"nothing to do: {what}", node.name)


@pytest.fixture(scope="session")
def baseline(run: Run) -> None:
    """Every guest and every node as they are before the first change."""
    run.take_baseline()


@pytest.fixture(scope="session")
def locked(run: Run, cluster: Cluster, baseline: None) -> None:
    """Every node carries the lock of this work: who, since when, which run."""
    text = Lock(cluster.work, operator(), f"{run.started:%Y-%m-%dT%H:%M:%SZ}", run.folder.name).text
    cluster.each(lambda node: _lock(run, node, text))


def _lock(run: Run, node: Node, text: str) -> None:
    held = node.facts.get(probes.LOCK)
    if held is not None and held.run == run.cluster.work:
        nothing_to_do(run, node, f"locked since {held.since} by {held.by}, the run that this one takes up")
        return
    if held is not None:
        run.note("lock", f"broken by --break-lock={held.run}: held by {held.by} since {held.since}", node.name)
        node.act(actions.RELEASE_LOCK.bind())
    node.act(actions.MAKE_FOLDER.bind(run=run.cluster.work))
    node.act(actions.TAKE_LOCK.bind(lock=text))


@pytest.fixture(scope="session")
def backups(run: Run, cluster: Cluster, locked: None) -> None:
    """Every node's configuration on the control host, measured first, opened and checked there.

    What an unfinished run backed up before it changed anything is what counts: it is checked, not made again.
    """
    folder = run.folder / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    if run.rollback is not None:  # what the nodes hold now, beside what they held before the first change
        going_back = [n for n in cluster.nodes if run.rollback.restores(n)]
        backup.back_up_all(cluster, going_back, run.id, folder)
        return
    earlier = run.unfinished
    if earlier is not None and earlier.changed_something:
        for node in cluster.nodes:
            backup.take_over(
                node, earlier.folder / "backups" / node.name, folder / node.name, earlier.transfers(node.name)
            )
        return
    backup.back_up_all(cluster, cluster.nodes, cluster.work, folder)


@pytest.fixture(scope="session")
def scheduler_off(run: Run, cluster: Cluster, backups: None) -> None:
    """No backup or replication starts any more, on any node. A start that waits for quorum is cancelled too."""
    cluster.each(lambda node: _scheduler_off(run, node))


def _scheduler_off(run: Run, node: Node) -> None:
    if node.name in run.standalone_at_start:
        nothing_to_do(run, node, "the node was standalone before this work, its scheduler is its own")
        return
    units = node.facts.units
    if units["pvescheduler.service"].exists:
        waits = any(j.unit == "pvescheduler.service" for j in node.facts.jobs_waiting_for_quorum)
        if waits or not units["pvescheduler.service"].is_stopped:
            node.act(actions.STOP_SCHEDULER.bind())
        if not units["pvescheduler.service"].is_masked:
            node.act(actions.MASK_SCHEDULER.bind())
    if units["pvesr.timer"].exists and not units["pvesr.timer"].is_stopped:
        node.act(actions.STOP_OLD_SCHEDULER.bind())
    _park_cron(node)


def _park_cron(node: Node) -> None:
    if "vzdump" in node.facts.cron_files:
        node.act(actions.PARK_CRON.bind(run=node.work))


@pytest.fixture(scope="session")
def lrm_off(run: Run, cluster: Cluster, scheduler_off: None) -> None:
    """The local resource manager is stopped on all nodes, one after the other, while a live CRM can freeze
    its services; quorum is read again before each."""
    for node in cluster.nodes:
        cluster.each(lambda node: _lrm_off(run, node), [node])


def _lrm_off(run: Run, node: Node) -> None:
    facts = node.facts
    assert not (facts.has_watchdog_client and not facts.is_quorate), refusals.ha_armed(facts)
    lrm = facts.units["pve-ha-lrm.service"]
    if not lrm.is_stopped:
        node.act(actions.STOP_LRM.bind())
    if lrm.is_enabled:
        node.act(actions.DISABLE_LRM.bind())
    else:
        nothing_to_do(run, node, "pve-ha-lrm is disabled already")


@pytest.fixture(scope="session")
def crm_off(run: Run, cluster: Cluster, lrm_off: None) -> None:
    """The cluster resource manager is stopped on all nodes, after the LRM on every one."""
    for node in cluster.nodes:
        cluster.each(lambda node: _crm_off(run, node), [node])


def _crm_off(run: Run, node: Node) -> None:
    crm = node.facts.units["pve-ha-crm.service"]
    if not crm.is_stopped:
        node.act(actions.STOP_CRM.bind())
    if crm.is_enabled:
        node.act(actions.DISABLE_CRM.bind())
    else:
        nothing_to_do(run, node, "pve-ha-crm is disabled already")


@pytest.fixture(scope="session")
def candidates(run: Run, cluster: Cluster) -> list[authority.Candidate]:
    """The evidence for every node that is still in the cluster (for all, once none is)."""
    samples = {node.name: [node.round_trip() for _ in range(LATENCY_SAMPLES)] for node in cluster.nodes}
    members = [n for n in cluster.nodes if n.facts.has_corosync_conf_in_database] or cluster.nodes
    found = [authority.candidate(n.facts, samples[n.name]) for n in members]
    for one in found:
        run.note("authority", one.evidence)
    return found


@pytest.fixture(scope="session")
def chosen(run: Run, cluster: Cluster, candidates: list[authority.Candidate]) -> authority.Candidate:
    """The authority: as --authority says, or by the evidence."""
    by_name = {c.node: c for c in candidates}
    earlier = run.unfinished.authority if run.unfinished is not None else None
    wanted = run.options.authority or (earlier if earlier in by_name else None)
    if wanted is not None and wanted not in by_name:
        run.note("authority", f"--authority={wanted} is standalone already and needs no quorum", wanted)
    one = by_name.get(wanted or "", authority.choose(candidates))
    run.authority = cluster.node(one.node)
    by_name_given = one.node == wanted
    how = "by name (--authority, or the run taken up)" if by_name_given else "by database, disks, guests and answers"
    run.note("authority", f"chosen {how}: {one.evidence}", one.node)
    return one


@pytest.fixture(scope="session")
def peers_corosync_stopped(run: Run, cluster: Cluster) -> None:
    """Corosync is stopped and masked for the run time on every peer, and no QDevice votes anywhere."""
    for node in cluster.nodes:
        if has_qdevice(node):
            run.note("qdevice", "corosync.conf has a QDevice; it votes no more", node.name)
        if node.facts.units["corosync-qdevice.service"].is_active:
            node.act(actions.STOP_QDEVICE.bind())
            node.act(actions.MASK_QDEVICE.bind())
    cluster.each(lambda node: _silence(run, node), run.peers)
    for node in run.peers:
        cluster.wait_until(node, lambda f: f.corosync.is_stopped, "whether corosync stopped")


def _silence(run: Run, node: Node) -> None:
    if node.facts.state is STANDALONE:
        nothing_to_do(run, node, "the node is standalone, it has no corosync to stop")
        return
    if not node.facts.corosync.is_stopped:
        node.act(actions.STOP_COROSYNC.bind())
    if not node.facts.corosync.is_masked:
        node.act(actions.MASK_COROSYNC.bind())


@pytest.fixture(scope="session")
def pmxcfs_back(run: Run, cluster: Cluster, peers_corosync_stopped: None) -> None:
    """Every node has its /etc/pve: where a window was cut short, pve-cluster is started again."""
    cluster.each(lambda node: _pmxcfs_back(run, node))


def _pmxcfs_back(run: Run, node: Node) -> None:
    if node.facts.state is not NodeState.UNMOUNTED:
        return
    run.note("state", "a window was cut short here; /etc/pve is brought back first", node.name)
    node.act(actions.START_PVE_CLUSTER.bind())


@pytest.fixture(scope="session")
def quorum_forced(run: Run, cluster: Cluster, pmxcfs_back: None) -> None:
    """The authority counts its own vote alone; bounded wait until text and mode agree on it."""
    node = run.authority
    assert node is not None
    if node.facts.pvecm.kind == "standalone":
        nothing_to_do(run, node, f"{node.facts.state.meaning}: it is quorate for good")
        return
    if not node.facts.is_corosync_running:
        nothing_to_do(
            run, node, f"{node.facts.state.meaning}; there is no corosync to give quorum, and local mode needs none"
        )
        return
    cluster.wait_until(node, lambda f: f.sees_itself_alone, "whether the peers' votes are gone", seconds=60)
    if node.facts.is_quorate:
        nothing_to_do(run, node, "the node is quorate with its own vote alone")
        return
    node.act(actions.EXPECT_ONE.bind())
    cluster.wait_until(node, lambda f: f.is_quorate, "whether forced quorum took effect")


@pytest.fixture(scope="session")
def second_way(run: Run, cluster: Cluster) -> dict[str, str]:
    """Node name → why a second way in could not be proven, or "": a key made for this work, and a login with it."""
    members = [n for n in cluster.nodes if run.unmounts(n)]
    if not members:
        return {n.name: "" for n in cluster.nodes}
    key = access.make_key(run.folder / "access", cluster.work)
    found = cluster.each(lambda node: (node.name, _second_way(run, node, key)), members)
    return {n.name: "" for n in cluster.nodes} | dict(found)


def _second_way(run: Run, node: Node, key: access.KeyPair) -> str:
    if not run.logs_in_as_root:
        run.note("access", "the login is not root's: it does not depend on /etc/pve", node.name)
        return ""
    access.install(node, key)
    why = access.proven(node, run.connect, key)
    way = (
        "a key made for this run, proven by a login with it" if not why else f"the console only; the key failed: {why}"
    )
    run.note("access", f"second way in: {way}", node.name)
    return why


@pytest.fixture
def left_cluster(run: Run, cluster: Cluster, leaver: Node) -> None:
    """This node's window has been run, and has said that it is done."""
    if leaver.facts.state is STANDALONE:
        nothing_to_do(run, leaver, "the node is standalone already")
        cluster.each(_tidy, [leaver])
        return
    window.leave(cluster, leaver, run.member_names, run.sample)
    assert not run.interrupted_guests, refusals.interrupted(run.interrupted_guests)


def _tidy(node: Node) -> None:
    """What a window that was cut short after its point of no return left undone."""
    if node.facts.corosync.is_masked:
        node.act(actions.UNMASK_COROSYNC.bind())
    if node.facts.corosync.is_enabled:
        node.act(actions.DISABLE_COROSYNC.bind())


@pytest.fixture(scope="session")
def services_restarted(run: Run, cluster: Cluster) -> None:
    """Proxmox's services were started anew, one by one, the nodes side by side."""
    cluster.each(lambda node: _restart(run, node))


def _restart(run: Run, node: Node) -> None:
    if node.name in run.standalone_at_start:
        nothing_to_do(run, node, "the node was standalone before this run, its services know no cluster")
        return
    facts = node.facts
    for action in actions.RESTARTS:
        if facts.units[action.argv[-1]].exists:
            node.act(action.bind())
    if facts.corosync.active == "failed":
        node.act(actions.RESET_FAILED.bind())
    _park_cron(node)  # pveproxy's start puts the link back (pve-cluster, Setup.pm)


@pytest.fixture(scope="session")
def canaries(run: Run, cluster: Cluster) -> None:
    """On every node a throw-away guest was created, started, stopped and destroyed, one node after the other."""
    if run.options.canary == "off":
        run.note("canary", "--canary=off: no throw-away guest was started")
        return
    for node in cluster.nodes:
        for vmid in node.facts.canaries:
            run.note("canary", f"guest {vmid} is the canary of a run that was cut short; it is removed", node.name)
            canary.remove(node, vmid)
    everyone = [n.facts for n in cluster.nodes]
    vmid = run.options.canary or canary.free_id(everyone)
    for node in cluster.nodes:
        cluster.each(lambda node: canary.fly(node, vmid, run.id[-4:]), [node])


@pytest.fixture(scope="session")
def scheduler_back(run: Run, cluster: Cluster) -> None:
    """The schedulers that ran before the first change run again."""
    run.thawed = True
    cluster.each(lambda node: _scheduler_back(run, node))


def _scheduler_back(run: Run, node: Node) -> None:
    if node.name not in run.scheduled:
        nothing_to_do(run, node, "its scheduler did not run before the first change either")
        return
    units = node.facts.units
    parked = node.ask_about(families.OWN_FOLDER, node.work) or ()
    if units["pvescheduler.service"].exists:
        if units["pvescheduler.service"].is_masked:
            node.act(actions.UNMASK_SCHEDULER.bind())
        if units["pvescheduler.service"].is_stopped:
            node.act(actions.START_SCHEDULER.bind())
    if units["pvesr.timer"].exists and units["pvesr.timer"].is_stopped:
        node.act(actions.START_OLD_SCHEDULER.bind())
    if "cron.d-vzdump" in parked:
        node.act(actions.UNPARK_CRON.bind(run=node.work))


@pytest.fixture(scope="session")
def overdue_jobs(run: Run, cluster: Cluster) -> dict[str, list[str]]:
    """Node name → what its scheduler would do that deserves a look, for every scheduler that was switched off."""
    return {
        n.name: thaw.risky_jobs(n.facts)
        for n in cluster.nodes
        if n.name in run.scheduled and n.name not in run.standalone_at_start
    }


@pytest.fixture(scope="session")
def second_way_closed(run: Run, cluster: Cluster) -> None:
    """The key of the second way in is gone from the nodes, and from here."""
    cluster.each(access.remove)
    run.forget_key()


@pytest.fixture(scope="session")
def released(cluster: Cluster) -> None:
    """The work is done: the locks are gone, and what its commands left under /run."""
    cluster.each(_release)


def _release(node: Node) -> None:
    node.act(actions.FORGET_OUTCOMES.bind(run=node.work))
    node.act(actions.RELEASE_LOCK.bind())
