"""The actions of the runbook, as fixtures; each is named for the state in which it leaves the nodes.

An action runs once, for all nodes, before the gates that read its effect. What it sends to a node is decided in
`pve_runbook.work.procedure` by the state the node is in: only what is still to be done, so that a second run goes on
from wherever the first one stopped, and a plan names the same commands.
"""

from __future__ import annotations

import pytest
from pve_runbook.facts.state import NodeState
from pve_runbook.plugin import planning, plans
from pve_runbook.plugin.questions import has_qdevice
from pve_runbook.plugin.run import Run
from pve_runbook.plugin.stages import carry_out, done, work_of
from pve_runbook.work import access, authority, backup, canary, procedure, refusals, window
from pve_runbook.work.cluster import Cluster
from pve_runbook.work.node import Node
from pve_runbook.work.outlook import Outlook


@pytest.fixture(scope="session")
def baseline(run: Run) -> None:
    """Every guest and every node as they are before the first change."""
    run.take_baseline()


@pytest.fixture(scope="session")
def locked(run: Run, cluster: Cluster, baseline: None) -> None:
    """Every node carries the lock of this work: who, since when, which run."""
    broken = run.options.break_lock
    for node in cluster.nodes:
        held = node.facts.lock
        if held is not None and held.run == broken:
            run.note("lock", f"broken by --break-lock={broken}: held by {held.by} since {held.since}", node.name)
    carry_out(run, procedure.LOCKED)


@pytest.fixture(scope="session")
def backups(run: Run, cluster: Cluster, locked: None) -> None:
    """Every node's configuration on the control host, measured first, opened and checked there; beside it on the node
    a card with the rest of the work by hand.

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
    else:
        backup.back_up_all(cluster, cluster.nodes, cluster.work, folder)
    done(run, procedure.BACKUPS)
    text = plans.card(run, work_of(run))
    carry_out(run, procedure.CARD_LEFT, work=work_of(run, card=text.encode()))


@pytest.fixture(scope="session")
def scheduler_off(run: Run, cluster: Cluster, backups: None) -> None:
    """No backup or replication starts any more, on any node. A start that waits for quorum is cancelled too."""
    carry_out(run, procedure.SCHEDULER_OFF)


@pytest.fixture(scope="session")
def lrm_off(run: Run, cluster: Cluster, scheduler_off: None) -> None:
    """The local resource manager is stopped on all nodes, one after the other, while a live CRM can freeze
    its services; quorum is read again before each."""
    carry_out(run, procedure.LRM_OFF, first=_ha_is_not_armed)


def _ha_is_not_armed(node: Node) -> None:
    assert not (node.facts.has_watchdog_client and not node.facts.is_quorate), refusals.ha_armed(node.facts)


@pytest.fixture(scope="session")
def crm_off(run: Run, cluster: Cluster, lrm_off: None) -> None:
    """The cluster resource manager is stopped on all nodes, after the LRM on every one."""
    carry_out(run, procedure.CRM_OFF)


@pytest.fixture(scope="session")
def candidates(run: Run, cluster: Cluster) -> list[authority.Candidate]:
    """The evidence for every node that is still in the cluster (for all, once none is)."""
    found = authority.candidates(cluster.nodes)
    for one in found:
        run.note("authority", one.evidence)
    return found


@pytest.fixture(scope="session")
def chosen(run: Run, cluster: Cluster, candidates: list[authority.Candidate]) -> authority.Candidate:
    """The authority: as --authority says, or by the evidence."""
    wanted = planning.wanted_authority(run, candidates)
    if wanted is not None and wanted not in [c.node for c in candidates]:
        run.note("authority", f"--authority={wanted} is standalone already and needs no quorum", wanted)
    one = authority.pick(candidates, wanted)
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
    carry_out(run, procedure.QDEVICE_SILENT)
    carry_out(run, procedure.PEERS_SILENT)
    for node in run.peers:
        cluster.wait_until(node, lambda f: f.corosync.is_stopped, "whether corosync stopped")


@pytest.fixture(scope="session")
def pmxcfs_back(run: Run, cluster: Cluster, peers_corosync_stopped: None) -> None:
    """Every node has its /etc/pve: where a window was cut short, pve-cluster is started again."""
    for node in cluster.nodes:
        if node.facts.state is NodeState.UNMOUNTED:
            run.note("state", "a window was cut short here; /etc/pve is brought back first", node.name)
    carry_out(run, procedure.PMXCFS_BACK)


@pytest.fixture(scope="session")
def quorum_forced(run: Run, cluster: Cluster, pmxcfs_back: None) -> None:
    """The authority counts its own vote alone; bounded wait until text and mode agree on it."""
    node = run.authority
    assert node is not None
    forced = procedure.has_quorum_to_be_forced(Outlook(node))
    if forced:
        cluster.wait_until(node, lambda f: f.sees_itself_alone, "whether the peers' votes are gone", seconds=60)
    carry_out(run, procedure.QUORUM_FORCED)
    if forced:
        cluster.wait_until(node, lambda f: f.is_quorate, "whether forced quorum took effect")


@pytest.fixture(scope="session")
def second_way(run: Run, cluster: Cluster) -> dict[str, str]:
    """Node name → why a second way in could not be proven, or "": a key made for this work, and a login with it."""
    members = [n for n in cluster.nodes if run.unmounts(n)]
    if not members:
        return {n.name: "" for n in cluster.nodes}
    key = access.make_key(run.folder / "access", cluster.work)
    carry_out(run, procedure.ANY_SECOND_WAY, members, work_of(run, key=key.public))
    done(run, procedure.SECOND_WAY)
    found = cluster.each(lambda node: (node.name, _second_way(run, node, key)), members)
    return {n.name: "" for n in cluster.nodes} | dict(found)


def _second_way(run: Run, node: Node, key: access.KeyPair) -> str:
    if not run.logs_in_as_root:
        return ""
    why = access.proven(node, run.connect, key)
    way = (
        "a key made for this run, proven by a login with it" if not why else f"the console only; the key failed: {why}"
    )
    run.note("access", f"second way in: {way}", node.name)
    return why


@pytest.fixture
def left_cluster(run: Run, cluster: Cluster, leaver: Node) -> None:
    """This node's window has been run, and has said that it is done."""
    if leaver.facts.state is NodeState.STANDALONE:
        carry_out(run, procedure.WINDOW, [leaver])
        return
    window.leave(cluster, leaver, run.member_names, run.sample)
    done(run, procedure.WINDOW, [leaver])
    assert not run.interrupted_guests, refusals.interrupted(run.interrupted_guests)


@pytest.fixture(scope="session")
def services_restarted(run: Run, cluster: Cluster) -> None:
    """Proxmox's services were started anew, one by one, the nodes side by side."""
    carry_out(run, procedure.SERVICES_RESTARTED)


@pytest.fixture(scope="session")
def canaries(run: Run, cluster: Cluster) -> None:
    """On every node a throw-away guest was created, started, stopped and destroyed, one node after the other."""
    if run.options.canary == "off":
        run.note("canary", "--canary=off: no throw-away guest was started")
        return
    for node in cluster.nodes:
        for vmid in node.facts.canaries:
            run.note("canary", f"guest {vmid} is the canary of a run that was cut short; it is removed", node.name)
    carry_out(run, procedure.OLD_CANARIES_GONE)
    everyone = [n.facts for n in cluster.nodes]
    vmid = run.options.canary or canary.free_id(everyone)
    for node in cluster.nodes:
        cluster.each(lambda node: canary.fly(node, vmid, run.id[-4:]), [node])
    done(run, procedure.CANARY_FLOWN)


@pytest.fixture(scope="session")
def scheduler_back(run: Run, cluster: Cluster) -> None:
    """The schedulers that ran before the first change run again."""
    run.thawed = True
    carry_out(run, procedure.SCHEDULER_BACK)


@pytest.fixture(scope="session")
def overdue_jobs(run: Run) -> dict[str, list[str]]:
    """Node name → what its scheduler would do that deserves a look, for every scheduler that was switched off."""
    return planning.overdue_jobs(run)


@pytest.fixture(scope="session")
def second_way_closed(run: Run, cluster: Cluster) -> None:
    """The key of the second way in is gone from the nodes, and from here."""
    carry_out(run, procedure.SECOND_WAY_CLOSED)
    run.forget_key()


@pytest.fixture(scope="session")
def released(run: Run, cluster: Cluster) -> None:
    """The work is done: the locks are gone, and what its commands left under /run."""
    carry_out(run, procedure.RELEASED)
