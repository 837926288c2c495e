"""What each stage of the runbook sends to a node, decided by the state the node is in.

A run takes its commands from here, node by node, as the nodes are then; a plan takes them from here for the nodes as
they will be then. A stage bears the name of the fixture in runbook/ that carries it out, and its place in the order
is the place of the first step that asks for that fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pve_runbook.facts.state import NodeState
from pve_runbook.work import access, actions, backup, canary, window
from pve_runbook.work.action import Action
from pve_runbook.work.outlook import CRON, PARKED, Outlook


@dataclass(frozen=True, slots=True)
class Act:
    """One action to be sent, with what it reads from its standard input."""

    action: Action
    stdin: bytes | None = None


@dataclass(frozen=True, slots=True)
class Idle:
    """Why a stage finds its work done on a node, in words."""

    why: str


Decision = Act | Idle


@dataclass(frozen=True)
class Work:
    """What the decisions need to know beside the nodes. ``run`` to ``key`` are filled into commands; in a plan they
    are placeholders in capitals."""

    run: str
    attempt: str
    lock: str
    canary_id: str | None
    """VMID of the throw-away guest; None when none is flown."""
    tag: str
    key: str
    """The line of the second way in."""
    card: bytes
    """The procedure by hand, left on every node."""
    held_as: str
    """The run that the nodes are locked for when it is this one, or the one that this one takes up."""
    keeps_backups: bool
    """Whether the backups of a run that is taken up are the ones that count."""
    members: tuple[str, ...]
    authority: str | None
    standalone_at_start: frozenset[str]
    scheduled: frozenset[str]
    """Nodes whose schedulers ran before the first change."""
    root_login: bool
    """Whether the SSH login itself is root's, whose keys are a link into /etc/pve."""


Decide = Callable[[Outlook, Work], Iterator[Decision]]


@dataclass(frozen=True, slots=True)
class Stage:
    """What one action fixture of runbook/ does, or a part of it, by its ``name``."""

    name: str
    decide: Decide
    part_of: str = ""
    """The fixture, where it has another name."""
    one_by_one: bool = False
    """Whether no node is touched before the one in front of it is done."""
    by_hand: bool = True
    """Whether a person without the tool has to do it too."""

    @property
    def fixture(self) -> str:
        """The fixture in runbook/ that carries the stage out."""
        return self.part_of or self.name


def _locked(o: Outlook, work: Work) -> Iterator[Decision]:
    held = o.lock
    if held is not None and held.run == work.held_as:
        yield Idle(f"locked since {held.since} by {held.by}, the run that this one takes up")
        return
    if held is not None:
        yield Act(actions.RELEASE_LOCK.bind())
    yield Act(actions.MAKE_FOLDER.bind(run=work.run))
    yield Act(actions.TAKE_LOCK.bind(lock=work.lock))


def _backups(o: Outlook, work: Work) -> Iterator[Decision]:
    if work.keeps_backups:
        yield Idle("the unfinished run's backups are from before the first change: they are checked, not made again")
        return
    for action in (*backup.preparation(work.run), *backup.commands(work.run, o.is_mounted)):
        yield Act(action)


def _card_left(o: Outlook, work: Work) -> Iterator[Decision]:
    yield Act(actions.PUT_CARD.bind(run=work.run), work.card)


def _scheduler_off(o: Outlook, work: Work) -> Iterator[Decision]:
    if o.name in work.standalone_at_start:
        yield Idle("the node was standalone before this work, its scheduler is its own")
        return
    units = o.units
    scheduler, timer = units["pvescheduler.service"], units["pvesr.timer"]
    if scheduler.exists:
        if o.waits(scheduler.name) or not scheduler.is_stopped:
            yield Act(actions.STOP_SCHEDULER.bind())
        if not scheduler.is_masked:
            yield Act(actions.MASK_SCHEDULER.bind())
    if timer.exists and not timer.is_stopped:
        yield Act(actions.STOP_OLD_SCHEDULER.bind())
    yield from _park_cron(o, work)


def _park_cron(o: Outlook, work: Work) -> Iterator[Decision]:
    if CRON in o.cron_files:
        yield Act(actions.PARK_CRON.bind(run=work.run))


def _lrm_off(o: Outlook, work: Work) -> Iterator[Decision]:
    lrm = o.units["pve-ha-lrm.service"]
    if not lrm.is_stopped:
        yield Act(actions.STOP_LRM.bind())
    yield Act(actions.DISABLE_LRM.bind()) if lrm.is_enabled else Idle("pve-ha-lrm is disabled already")


def _crm_off(o: Outlook, work: Work) -> Iterator[Decision]:
    crm = o.units["pve-ha-crm.service"]
    if not crm.is_stopped:
        yield Act(actions.STOP_CRM.bind())
    yield Act(actions.DISABLE_CRM.bind()) if crm.is_enabled else Idle("pve-ha-crm is disabled already")


def _qdevice_silent(o: Outlook, work: Work) -> Iterator[Decision]:
    if o.units["corosync-qdevice.service"].is_active:
        yield Act(actions.STOP_QDEVICE.bind())
        yield Act(actions.MASK_QDEVICE.bind())


def _peers_silent(o: Outlook, work: Work) -> Iterator[Decision]:
    if o.name == work.authority:
        return
    if o.state is NodeState.STANDALONE:
        yield Idle("the node is standalone, it has no corosync to stop")
        return
    if not o.corosync.is_stopped:
        yield Act(actions.STOP_COROSYNC.bind())
    if not o.corosync.is_masked:
        yield Act(actions.MASK_COROSYNC.bind())


def _pmxcfs_back(o: Outlook, work: Work) -> Iterator[Decision]:
    if o.state is NodeState.UNMOUNTED:
        yield Act(actions.START_PVE_CLUSTER.bind())


def has_quorum_to_be_forced(o: Outlook) -> bool:
    """Whether corosync runs as a member's: elsewhere there is no quorum to be given. Raises UnknownFact."""
    return o.pvecm_kind != "standalone" and o.is_corosync_running


def _quorum_forced(o: Outlook, work: Work) -> Iterator[Decision]:
    if o.name != work.authority:
        return
    if o.pvecm_kind == "standalone":
        yield Idle(f"{o.state.meaning}: it is quorate for good")
    elif not o.is_corosync_running:
        yield Idle(f"{o.state.meaning}; there is no corosync to give quorum, and local mode needs none")
    elif o.is_quorate:
        yield Idle("the node is quorate with its own vote alone")
    else:
        yield Act(actions.EXPECT_ONE.bind())


def _second_way(o: Outlook, work: Work) -> Iterator[Decision]:
    if not work.root_login:
        yield Idle("the login is not root's: it does not depend on /etc/pve")
        return
    action, stdin = access.installation(o.second_keys, work.key)
    yield Act(action, stdin)


def _second_way_for_leavers(o: Outlook, work: Work) -> Iterator[Decision]:
    if o.state is not NodeState.STANDALONE:
        yield from _second_way(o, work)


def _left_cluster(o: Outlook, work: Work) -> Iterator[Decision]:
    if o.state is not NodeState.STANDALONE:
        for action, stdin in window.commands(work.run, work.attempt, work.members):
            yield Act(action, stdin)
        return
    yield Idle("the node is standalone already")
    # What a window that was cut short after its point of no return left undone.
    if o.corosync.is_masked:
        yield Act(actions.UNMASK_COROSYNC.bind())
    if o.corosync.is_enabled:
        yield Act(actions.DISABLE_COROSYNC.bind())


def _services_restarted(o: Outlook, work: Work) -> Iterator[Decision]:
    if o.name in work.standalone_at_start:
        yield Idle("the node was standalone before this run, its services know no cluster")
        return
    units = o.units
    for action in actions.RESTARTS:
        if units[action.argv[-1]].exists:
            yield Act(action.bind())
    if units["corosync.service"].active == "failed":
        yield Act(actions.RESET_FAILED.bind())
    yield from _park_cron(o, work)  # pveproxy's start puts the link back (pve-cluster, Setup.pm)


def _old_canaries_gone(o: Outlook, work: Work) -> Iterator[Decision]:
    if work.canary_id is None:
        return
    for vmid, runs in o.canaries.items():
        for action in canary.removal(vmid, runs):
            yield Act(action)


def _canary_flown(o: Outlook, work: Work) -> Iterator[Decision]:
    if work.canary_id is None:
        yield Idle("--canary=off: no throw-away guest is started")
        return
    for action in canary.flight(work.canary_id, work.tag):
        yield Act(action)


def _second_way_closed(o: Outlook, work: Work) -> Iterator[Decision]:
    for action, stdin in access.removal(o.second_keys):
        yield Act(action, stdin)


def _scheduler_back(o: Outlook, work: Work) -> Iterator[Decision]:
    if o.name not in work.scheduled:
        yield Idle("its scheduler did not run before the first change either")
        return
    units = o.units
    scheduler, timer, parked = units["pvescheduler.service"], units["pvesr.timer"], o.parked
    if scheduler.exists:
        if scheduler.is_masked:
            yield Act(actions.UNMASK_SCHEDULER.bind())
        if scheduler.is_stopped:
            yield Act(actions.START_SCHEDULER.bind())
    if timer.exists and timer.is_stopped:
        yield Act(actions.START_OLD_SCHEDULER.bind())
    if PARKED in parked:
        yield Act(actions.UNPARK_CRON.bind(run=work.run))


def _released(o: Outlook, work: Work) -> Iterator[Decision]:
    yield Act(actions.FORGET_OUTCOMES.bind(run=work.run))
    yield Act(actions.RELEASE_LOCK.bind())


LOCKED = Stage("locked", _locked, by_hand=False)
BACKUPS = Stage("backups", _backups)
CARD_LEFT = Stage("card_left", _card_left, part_of="backups", by_hand=False)
SCHEDULER_OFF = Stage("scheduler_off", _scheduler_off)
LRM_OFF = Stage("lrm_off", _lrm_off, one_by_one=True)
CRM_OFF = Stage("crm_off", _crm_off, one_by_one=True)
QDEVICE_SILENT = Stage("qdevice_silent", _qdevice_silent, part_of="peers_corosync_stopped", one_by_one=True)
PEERS_SILENT = Stage("peers_corosync_stopped", _peers_silent)
PMXCFS_BACK = Stage("pmxcfs_back", _pmxcfs_back)
QUORUM_FORCED = Stage("quorum_forced", _quorum_forced)
SECOND_WAY = Stage("second_way", _second_way_for_leavers, by_hand=False)
WINDOW = Stage("left_cluster", _left_cluster, one_by_one=True)
SERVICES_RESTARTED = Stage("services_restarted", _services_restarted)
OLD_CANARIES_GONE = Stage("old_canaries_gone", _old_canaries_gone, part_of="canaries", one_by_one=True, by_hand=False)
CANARY_FLOWN = Stage("canaries", _canary_flown, one_by_one=True, by_hand=False)
SECOND_WAY_CLOSED = Stage("second_way_closed", _second_way_closed, by_hand=False)
SCHEDULER_BACK = Stage("scheduler_back", _scheduler_back)
RELEASED = Stage("released", _released, by_hand=False)

STAGES = (
    *(LOCKED, BACKUPS, CARD_LEFT, SCHEDULER_OFF, LRM_OFF, CRM_OFF),
    *(QDEVICE_SILENT, PEERS_SILENT, PMXCFS_BACK, QUORUM_FORCED),
    *(SECOND_WAY, WINDOW, SERVICES_RESTARTED, OLD_CANARIES_GONE, CANARY_FLOWN),
    *(SECOND_WAY_CLOSED, SCHEDULER_BACK, RELEASED),
)
"""Every stage; those of one fixture in their order."""

ANY_SECOND_WAY = Stage("second_way", _second_way, by_hand=False)
"""For the way back: it is given to the nodes that are put back, whatever they are now."""
