"""The actions of the runbook, as fixtures; each is named for the state in which it leaves the nodes.

An action runs once, for all nodes, before the gates that read its effect. What it sends to a node is decided stage by
stage in `pve_runbook.procedure.stages` by the state the node is in: only what is still to be done, so that a second run
goes on from wherever the first one stopped, and a plan names the same commands. `perform` carries a stage out.
"""

from __future__ import annotations

import contextlib
from functools import partial

import pytest
from pve_runbook.actions.errors import ActionFailed
from pve_runbook.cluster.cluster import Cluster
from pve_runbook.cluster.node import Node
from pve_runbook.diagnosis import refusals, refusals_cluster
from pve_runbook.facts.node_state import NodeState
from pve_runbook.options.options import RunOptions
from pve_runbook.plugin.approval import Approvals
from pve_runbook.plugin.execution import EXECUTION, Execution
from pve_runbook.plugin.open_run import OpenRun
from pve_runbook.plugin.perform import Performer
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.procedure import authority, backup, canary, decisions, left_to_do, login_key, stages, window
from pve_runbook.procedure.forecast import Forecast
from pve_runbook.procedure.members import Members
from pve_runbook.procedure.notes import Notes
from pve_runbook.procedure.questions import Questions
from pve_runbook.procedure.startall import held
from pve_runbook.procedure.startall.words import DOWN, nobody_starts
from pve_runbook.procedure.survival import Survival
from pve_runbook.procedure.window_preconditions import LOOKED_AT, window_obstacle

DISARM_SECONDS = 120
"""For so long HA is waited for on each node; its daemons look every ten seconds."""
PLANNED = "a plan changes nothing"


@pytest.fixture(scope="session")
def execution(pytestconfig: pytest.Config) -> Execution:
    """What a run over this folder has: the proof, the procedure, the approvals, the plan."""
    return pytestconfig.stash[EXECUTION]


@pytest.fixture(scope="session")
def perform(execution: Execution, options: RunOptions) -> Performer:
    """What carries the stages out on the nodes; a plan comes to none of them."""
    if options.plan:
        pytest.skip(PLANNED)
    return execution.perform


@pytest.fixture(scope="session")
def approve(execution: Execution) -> Approvals:
    """What asks the operator, and holds the answer against the plan of what is left."""
    return execution.approve


@pytest.fixture(scope="session")
def questions(execution: Execution) -> Questions:
    """What the operator is asked, and what is at stake."""
    return execution.questions


@pytest.fixture(scope="session")
def survival(execution: Execution) -> Survival:
    """The proof that every guest runs on: the baseline, and what is held against it."""
    return execution.survival


@pytest.fixture(scope="session")
def baseline(opened: OpenRun, survival: Survival, options: RunOptions, notes: Notes, members: Members) -> None:
    """Every guest and every node as they are before the first change."""
    back = opened.run.rollback
    for node in members.leaving:
        if down := nobody_starts(node.facts):
            notes.note(DOWN, down, node.name)
    survival.take(options.accept_changed, had_ended=back is not None and back.had_ended)


@pytest.fixture(scope="session")
def locked(perform: Performer, notes: Notes, options: RunOptions, cluster: Cluster, baseline: None) -> None:
    """Every node carries the lock of this work: who, since when, which run."""
    broken = options.break_lock
    for node in cluster.nodes:
        held = node.facts.lock
        if held is not None and held.run == broken:
            notes.note("lock", f"broken by --break-lock={broken}: held by {held.by} since {held.since}", node.name)
    perform(stages.LOCKED)
    cluster.renew(probes.LOCK, probes.OUR_UNITS)


@pytest.fixture(scope="session")
def backups(perform: Performer, opened: OpenRun, approve: Approvals, cluster: Cluster, locked: None) -> None:
    """Every node's configuration on the control host, measured first, opened and checked there; beside it on the node
    a card with the rest of the work by hand.

    What an unfinished run backed up before it changed anything is what counts: it is checked, not made again.
    """
    folder = opened.folder / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    work = perform.work()
    copies = backup.Copies(work.backups, folder)
    chosen = [n for n in cluster.nodes if decisions.is_backed_up(n.name, work)]
    perform(stages.BACKUP_FOLDER)
    copies.make_sure_they_fit(cluster, chosen)
    cluster.renew(*backup.COMPARED)
    perform(stages.BACKUPS, first=lambda node: copies.note(node) if node in chosen else None)
    cluster.each(copies.bring, chosen)
    if work.keeps_backups:
        earlier = opened.unfinished
        for node in cluster.nodes:
            there = earlier.folder / "backups" / node.name
            backup.take_over(node, there, folder / node.name, earlier.transfers(node.name))
    if work.back is None:
        cluster.renew()
        perform(stages.CARD_LEFT, card=approve.card(work.run, work.attempt).encode())
    cluster.read_few(*stages.SCHEDULER_OFF.asks)  # what comes next rests on nothing else


@pytest.fixture(scope="session")
def ha_released(perform: Performer, backups: None) -> None:
    """HA manages no guest of a node that leaves while others stay a cluster; the guests run on."""
    perform(stages.HA_RELEASED)


@pytest.fixture(scope="session")
def scheduler_off(perform: Performer, cluster: Cluster, backups: None) -> None:
    """No backup or replication starts any more, on any node. A start that waits for quorum is cancelled too."""
    perform(stages.SCHEDULER_OFF)
    cluster.read_few(*stages.FREEZE_ASKS)


@pytest.fixture(scope="session")
def commits_off(perform: Performer, scheduler_off: None) -> None:
    """Nothing waits for quorum any more to apply what is pending of the network and the firewall; it stays pending."""
    perform(stages.COMMITS_OFF)


@pytest.fixture(scope="session")
def startall_held(perform: Performer, members: Members, commits_off: None) -> None:
    """A start of all guests that waits for quorum does not see that there is some; one that is queued is waited for."""
    frozen = [n for n in members.leaving if n.name not in members.standalone_at_start]
    held.wait_for_its_beginning(members.cluster, frozen)
    perform(stages.STARTALL_HELD)


@pytest.fixture(scope="session")
def lrm_off(perform: Performer, members: Members, startall_held: None) -> None:
    """The local resource manager is stopped on all nodes, while a live CRM can freeze its services: one after the other
    where it feeds the watchdog, quorum is read again before each; then together where it has nothing to keep. Where HA
    can be disarmed, it is first."""
    cluster, disarms = members.cluster, members.disarms
    perform(stages.HA_DISARMED, disarms=disarms)
    if disarms is not None:
        _ha_lets_go(cluster)
    active = [node for node in cluster.nodes if node.facts.has_watchdog_client]
    idle = [node for node in cluster.nodes if node not in active]
    perform(stages.LRM_OFF, active, first=_ha_is_not_armed)
    perform(stages.LRM_OFF, idle, first=_ha_is_not_armed, together=True)
    cluster.read_few(*stages.CRM_OFF.asks)


def _ha_lets_go(cluster: Cluster) -> None:
    """HA puts off to disarm while a service is in fence, recovery or migration."""
    for node in cluster.nodes:
        with contextlib.suppress(UnknownFact):
            cluster.wait_until(node, lambda f: not f.has_watchdog_client, "whether HA let go", seconds=DISARM_SECONDS)
        facts = node.facts
        assert not facts.has_watchdog_client, refusals_cluster.not_disarmed(facts, DISARM_SECONDS)


def _ha_is_not_armed(node: Node) -> None:
    assert not node.facts.is_armed_without_quorum, refusals.ha_armed(node.facts)


@pytest.fixture(scope="session")
def crm_off(perform: Performer, lrm_off: None) -> None:
    """The cluster resource manager is stopped on all nodes side by side, after the LRM on every one."""
    perform(stages.CRM_OFF)


@pytest.fixture(scope="session")
def candidates(notes: Notes, members: Members) -> list[authority.Candidate]:
    """The evidence for every node that is still in the cluster (for all, once none is); of those that stay, if any."""
    found = authority.candidates(members.may_lead)
    for one in found:
        notes.note("authority", one.evidence)
    return found


@pytest.fixture(scope="session")
def chosen(
    execution: Execution, members: Members, notes: Notes, candidates: list[authority.Candidate]
) -> authority.Candidate:
    """The authority: as --authority says, or by the evidence."""
    wanted = execution.wanted_authority(candidates)
    if wanted is not None and wanted not in [c.node for c in candidates]:
        notes.note("authority", f"--authority={wanted} is standalone already and needs no quorum", wanted)
    one = authority.pick(candidates, wanted)
    members.authority = members.cluster.node(one.node)
    by_name_given = one.node == wanted
    how = "by name (--authority, or the run taken up)" if by_name_given else "by database, disks, guests and answers"
    notes.note("authority", f"chosen {how}: {one.evidence}", one.node)
    execution.tell(f"The authority is {one.node}, chosen {how}.")
    return one


@pytest.fixture(scope="session")
def peers_corosync_stopped(perform: Performer, notes: Notes, members: Members) -> None:
    """Corosync is stopped and masked for the run time on every peer, and no QDevice votes anywhere."""
    for node in members.cluster.nodes:
        conf = node.facts.corosync_conf
        if conf is not None and conf.qdevice:
            at = f"{left_to_do.QDEVICE_AT}{conf.qdevice_host}"
            notes.note(left_to_do.QDEVICE, f"{at}; it votes no more", node.name)
    perform(stages.QDEVICE_SILENT)
    perform(stages.PEERS_SILENT)
    members.cluster.read_few(*stages.STATE_ASKS)
    for node in members.peers:
        members.cluster.wait_until(
            node, lambda f: f.corosync.is_stopped, "whether corosync stopped", asking=(probes.UNIT_STATES,)
        )


@pytest.fixture(scope="session")
def pmxcfs_back(perform: Performer, notes: Notes, cluster: Cluster, peers_corosync_stopped: None) -> None:
    """Every node has its /etc/pve: where a window was cut short, pve-cluster is started again."""
    for node in cluster.nodes:
        if node.facts.state is NodeState.UNMOUNTED:
            notes.note("state", "a window was cut short here; /etc/pve is brought back first", node.name)
    perform(stages.PMXCFS_BACK)


@pytest.fixture(scope="session")
def quorum_forced(perform: Performer, members: Members, pmxcfs_back: None) -> None:
    """The authority counts its own vote alone; bounded wait until text and mode agree on it. Where others stay with it,
    they have quorum without those that leave."""
    node = members.authority
    assert node is not None
    wait = partial(members.cluster.wait_until, node)
    if members.staying:
        wait(lambda f: not members.sees_leavers(f), "whether the votes of those that leave are gone", seconds=60)
        perform(stages.REST_QUORATE)
        for one in members.staying:
            members.cluster.wait_until(
                one, lambda f: f.is_quorate, "whether those that stay are quorate", asking=probes.IS_QUORATE
            )
        return
    forced = decisions.has_quorum_to_be_forced(Forecast(node))
    if forced:
        wait(lambda f: f.sees_itself_alone, "whether the peers' votes are gone", seconds=60, asking=(probes.PVECM,))
    perform(stages.QUORUM_FORCED)
    if forced:
        wait(lambda f: f.is_quorate, "whether forced quorum took effect", asking=probes.IS_QUORATE)


@pytest.fixture(scope="session")
def second_way(perform: Performer, opened: OpenRun, members: Members, notes: Notes) -> dict[str, str]:
    """Node name → why a second way in could not be proven, or "": a key made for this work, and a login with it."""
    nodes = members.leaving
    work = perform.work()
    unmounted = [n for n in nodes if decisions.loses_its_mount(Forecast(n), work)]
    known = {n.name: "" for n in members.cluster.nodes}
    if not unmounted:
        return known
    key = login_key.make_key(opened.folder / "access", work.run)
    perform(stages.SECOND_WAY, key=key.public)
    quorum = probes.IS_QUORATE if members.staying else ()
    members.cluster.renew(probes.SECOND_KEYS, *LOOKED_AT, *quorum)
    if not members.logs_in_as_root:
        return known

    def proven(node: Node) -> tuple[str, str]:
        why = login_key.proven(node, members.connect, key)
        by_key = "a key made for this run, proven by a login with it"
        way = f"the console only; the key failed: {why}" if why else by_key
        notes.note("access", f"second way in: {way}", node.name)
        node.line.key = None if why else key.private
        return node.name, why

    return known | dict(members.cluster.each(proven, unmounted))


@pytest.fixture
def left_cluster(perform: Performer, survival: Survival, members: Members, leaver: Node, cluster: Cluster) -> None:
    """This node's window has been run, and has said that it is done.

    What stands in its way is looked for once more: since the gate the operator may have taken minutes to answer.
    """
    network = survival.network_of(leaver)
    obstacle = window_obstacle(leaver, cluster.nodes, members.authority, network, members.staying)
    assert not obstacle, obstacle
    ends = partial(window.see_it_end, cluster, "window", watch=survival.sample)
    perform(stages.WINDOW, [leaver], then={"window": ends})
    assert not survival.interrupted, refusals_cluster.interrupted(survival.interrupted)


@pytest.fixture(scope="session")
def services_restarted(perform: Performer) -> None:
    """Proxmox's services were started anew, the nodes side by side."""
    perform(stages.SERVICES_RESTARTED)


@pytest.fixture(scope="session")
def canaries(perform: Performer, notes: Notes, options: RunOptions, cluster: Cluster) -> None:
    """On every node a throw-away guest was created, started, stopped and destroyed: side by side, with an id of its own
    on each; one node after the other where --canary names one id for all."""
    if options.canary == "off":
        perform(stages.CANARY_FLOWN)
        return
    for node in cluster.nodes:
        for vmid in node.facts.canaries:
            notes.note("canary", f"guest {vmid} is the canary of a run that was cut short; it is removed", node.name)
    perform(stages.OLD_CANARIES_GONE)
    everyone = [n.facts for n in cluster.nodes]
    given = options.canary
    ids = {f.node: str(given) for f in everyone} if given else canary.free_ids(everyone, options.accept)
    perform(stages.CANARY_FLOWN, canary_ids=ids, then=canary.proofs(ids), together=not given)


@pytest.fixture(scope="session")
def let_go(perform: Performer, members: Members) -> None:
    """Those that stay have forgotten the nodes that left: `pvecm delnode` on the authority, one after the other.

    What it says of a node whose corosync it cannot kill is no failure (pve-docs, pvecm): the nodelists tell.
    """

    def forgotten(_: Node) -> None:
        for one in members.staying:
            members.cluster.wait_until(one, members.is_settled, "whether it has the new nodelist")

    while names := members.still_listed():
        try:
            perform(stages.LET_GO, then={"delnode": forgotten})
        except ActionFailed:
            if members.still_listed() == names:
                raise
            forgotten(members.staying[0])
    perform(stages.LET_GO)


@pytest.fixture(scope="session")
def startall_back(perform: Performer, members: Members, notes: Notes) -> list[str]:
    """The start of all guests, where it was held, has gone on; what came up is counted. The nodes where it was."""
    waiting = [n for n in members.leaving if n.facts.startall_is_held]
    expected = [(node, node.facts.starts().startall) for node in waiting]
    perform(stages.STARTALL_BACK)
    for node, guests in expected:
        if node.facts.is_writable:
            held.see_it_through(members.cluster, notes, node, guests)
    return [n.name for n in waiting]


@pytest.fixture(scope="session")
def scheduler_back(perform: Performer, opened: OpenRun) -> None:
    """The schedulers that ran before the first change run again."""
    opened.run.outcome.thawed = True
    perform(stages.SCHEDULER_BACK)


@pytest.fixture(scope="session")
def overdue_jobs(questions: Questions) -> dict[str, list[str]]:
    """Node name → what its scheduler would do that deserves a look, for every scheduler that was switched off."""
    return questions.overdue_jobs()


@pytest.fixture(scope="session")
def second_way_closed(perform: Performer, execution: Execution, cluster: Cluster) -> None:
    """The key of the second way in is gone from the nodes, and from here."""
    perform(stages.SECOND_WAY_CLOSED)
    cluster.renew(probes.SECOND_KEYS)
    execution.forget_key()


@pytest.fixture(scope="session")
def released(perform: Performer, cluster: Cluster) -> None:
    """The work is done: the locks are gone, and what its commands left under /run."""
    perform(stages.RELEASED)
    cluster.read_few(probes.LOCK)
