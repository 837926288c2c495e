"""What each stage sends to a node, decided by the state that the node is in: only what is still to be done."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from pve_runbook.actions import commits, startall
from pve_runbook.actions import registry as actions
from pve_runbook.actions.action import Action
from pve_runbook.actions.disarm import DISARM_HA
from pve_runbook.actions.leave import DELNODE, EXPECT_REST, HA_REMOVE
from pve_runbook.actions.window_cut import UNMASK_PVE_CLUSTER
from pve_runbook.facts.node_state import NodeState
from pve_runbook.procedure import backup, canary, login_key, window
from pve_runbook.procedure.forecast import CRON, PARKED, Forecast
from pve_runbook.procedure.work import Act, Decision, Idle, Work


def locked(o: Forecast, work: Work) -> Iterator[Decision]:
    held = o.lock
    if held is not None and held.run == work.held_as:
        yield Idle(f"locked since {held.since} by {held.by}, the run that this one takes up")
        return
    if held is not None:
        yield Act(actions.RELEASE_LOCK.bind())
    yield Act(actions.MAKE_FOLDER.bind(run=work.run))
    yield Act(actions.TAKE_LOCK.bind(lock=work.lock))


def is_backed_up(node: str, work: Work) -> bool:
    """Whether a backup of ``node`` is made anew. Raises UnknownFact."""
    return not work.keeps_backups and (work.back is None or work.goes_back(node))


def backup_folder(o: Forecast, work: Work) -> Iterator[Decision]:
    if is_backed_up(o.name, work):
        yield Act(actions.MAKE_FOLDER.bind(run=work.backups))


def backups(o: Forecast, work: Work) -> Iterator[Decision]:
    if work.keeps_backups:
        yield Idle("the unfinished run's backups are from before the first change: they are checked, not made again")
    elif is_backed_up(o.name, work):
        for action in backup.commands(work.backups, o.is_mounted):
            yield Act(action)


def card_left(o: Forecast, work: Work) -> Iterator[Decision]:
    if work.back is None:
        yield Act(actions.PUT_CARD.bind(run=work.run), work.card)


def ha_released(o: Forecast, work: Work) -> Iterator[Decision]:
    """On one of those that stay: HA's configuration is one for all."""
    if work.staying and o.name == min(work.staying):
        for sid in o.ha_guests_of(work.let_go):
            yield Act(HA_REMOVE.bind(sid=sid))


def scheduler_off(o: Forecast, work: Work) -> Iterator[Decision]:
    if o.name in work.standalone_at_start:
        yield Idle("the node was standalone before this work, its scheduler is its own")
        return
    units = o.units
    scheduler, timer = units["pvescheduler.service"], units["pvesr.timer"]
    parked = list(park_cron(o, work))  # no stop of a unit puts a file there
    if scheduler.exists:
        if o.waits(scheduler.name) or not scheduler.is_stopped:
            yield Act(actions.STOP_SCHEDULER.bind())
        if not scheduler.is_masked:
            yield Act(actions.MASK_SCHEDULER.bind())
    if timer.exists and not timer.is_stopped:
        yield Act(actions.STOP_OLD_SCHEDULER.bind())
    yield from parked


def park_cron(o: Forecast, work: Work) -> Iterator[Decision]:
    if CRON in o.cron_files:
        yield Act(actions.PARK_CRON.bind(run=work.run))


def commits_off(o: Forecast, work: Work) -> Iterator[Decision]:
    if o.name not in work.standalone_at_start:
        yield from (Act(a.bind()) for a in commits.ACTIONS if o.waits(a.argv[-1]))


def startall_held(o: Forecast, work: Work) -> Iterator[Decision]:
    if o.name not in work.standalone_at_start and o.startall_waits:
        yield Idle("the start of all guests is held already") if o.startall_is_held else Act(startall.HOLD.bind())


def startall_back(o: Forecast, work: Work) -> Iterator[Decision]:
    if o.startall_is_held:
        yield Act(startall.RELEASE.bind())


def ha_disarmed(o: Forecast, work: Work) -> Iterator[Decision]:
    """On one node: it is the CRM that tells all others."""
    if o.name == work.disarms:
        yield Act(DISARM_HA.bind())


def lrm_off(o: Forecast, work: Work) -> Iterator[Decision]:
    lrm = o.units["pve-ha-lrm.service"]
    if o.waits(lrm.name) or not lrm.is_stopped:
        yield Act(actions.STOP_LRM.bind())
    yield Act(actions.DISABLE_LRM.bind()) if lrm.is_enabled else Idle("pve-ha-lrm is disabled already")


def crm_off(o: Forecast, work: Work) -> Iterator[Decision]:
    crm = o.units["pve-ha-crm.service"]
    if o.waits(crm.name) or not crm.is_stopped:
        yield Act(actions.STOP_CRM.bind())
    yield Act(actions.DISABLE_CRM.bind()) if crm.is_enabled else Idle("pve-ha-crm is disabled already")


def qdevice_silent(o: Forecast, work: Work) -> Iterator[Decision]:
    if o.units["corosync-qdevice.service"].is_active:
        yield Act(actions.STOP_QDEVICE.bind())
        yield Act(actions.MASK_QDEVICE.bind())


def peers_silent(o: Forecast, work: Work) -> Iterator[Decision]:
    if o.name == work.authority:
        return
    if o.state is NodeState.STANDALONE:
        yield Idle("the node is standalone, it has no corosync to stop")
        return
    corosync = o.corosync
    if not corosync.is_stopped:
        yield Act(actions.STOP_COROSYNC.bind())
    if not corosync.is_masked:
        yield Act(actions.MASK_COROSYNC.bind())


def pmxcfs_back(o: Forecast, work: Work) -> Iterator[Decision]:
    if o.state is NodeState.UNMOUNTED:
        if o.units["pve-cluster.service"].is_masked:
            yield Act(UNMASK_PVE_CLUSTER.bind())
        yield Act(actions.START_PVE_CLUSTER.bind())


def has_quorum_to_be_forced(o: Forecast) -> bool:
    """Whether corosync runs as a member's: elsewhere there is no quorum to be given. Raises UnknownFact."""
    return o.pvecm_kind != "standalone" and o.is_corosync_running


def quorum_forced(o: Forecast, work: Work) -> Iterator[Decision]:
    if o.name != work.authority:
        return
    if o.pvecm_kind == "standalone":
        yield Idle(f"{o.state.meaning}: it is quorate for good")
    elif not o.is_corosync_running:
        yield Idle(f"{o.state.meaning}; there is no corosync to give quorum, and local mode needs none")
    elif o.is_quorate:
        yield Idle("the node is quorate with its own vote alone")
    else:
        yield Act(actions.EXPECT_OWN_VOTES.bind(votes=str(o.own_votes)))


def own_votes_are_enough(o: Forecast, work: Work) -> Action:
    """What makes the votes of those that stay enough for the moment. Raises UnknownFact."""
    votes = sum(n for name, n in o.votes.items() if name not in work.let_go)
    return EXPECT_REST.bind(votes=str(votes))


def rest_quorate(o: Forecast, work: Work) -> Iterator[Decision]:
    if o.name == work.authority and work.staying:
        yield Idle("those that stay are quorate") if o.is_quorate else Act(own_votes_are_enough(o, work))


def let_go(o: Forecast, work: Work) -> Iterator[Decision]:
    """One after the other: with each the expected votes are those of the nodelist again."""
    if o.name != work.authority:
        return
    for name in work.let_go:
        if name not in o.votes:
            yield Idle(f"{name} is not in the nodelist any more")
            continue
        if not o.is_quorate:
            yield Act(own_votes_are_enough(o, work))
        yield Act(DELNODE.bind(node=name))


def loses_its_mount(o: Forecast, work: Work) -> bool:
    """Whether /etc/pve is taken from the node for a moment, now or later. Raises UnknownFact."""
    return work.goes_back(o.name) if work.back is not None else o.state is not NodeState.STANDALONE


def second_way(o: Forecast, work: Work) -> Iterator[Decision]:
    if not loses_its_mount(o, work):
        return
    if not work.root_login:
        yield Idle("the login is not root's: it does not depend on /etc/pve")
        return
    action, stdin = login_key.installation(o.second_keys, work.key)
    yield Act(action, stdin)


def left_cluster(o: Forecast, work: Work) -> Iterator[Decision]:
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


def services_restarted(o: Forecast, work: Work) -> Iterator[Decision]:
    if o.name in work.standalone_at_start:
        yield Idle("the node was standalone before this run, its services know no cluster")
        return
    units = o.units
    restart = actions.RESTART_SERVICES.bind()
    present = tuple(name for name in restart.argv[2:] if units[name].exists)
    if present:
        yield Act(replace(restart, argv=(*restart.argv[:2], *present)))
    if units["corosync.service"].active == "failed":
        yield Act(actions.RESET_FAILED.bind())
    yield from park_cron(o, work)  # pveproxy's start puts the link back (pve-cluster, Setup.pm)


def old_canaries_gone(o: Forecast, work: Work) -> Iterator[Decision]:
    if work.canary_ids is not None:
        yield from without_canaries(o)


def without_canaries(o: Forecast) -> Iterator[Decision]:
    for vmid, runs in o.canaries.items():
        for action in canary.removal(vmid, runs):
            yield Act(action)


def canary_flown(o: Forecast, work: Work) -> Iterator[Decision]:
    if work.canary_ids is None:
        yield Idle("--canary=off: no throw-away guest is started")
        return
    for action in canary.flight(work.canary_ids[o.name], work.tag):
        yield Act(action)


def second_way_closed(o: Forecast, work: Work) -> Iterator[Decision]:
    for action, stdin in login_key.removal(o.second_keys):
        yield Act(action, stdin)


def scheduler_back(o: Forecast, work: Work) -> Iterator[Decision]:
    if o.name in work.standalone_at_start:
        yield Idle("the node was standalone before this work, its scheduler is its own")
        return
    scheduler, timer, parked = o.units["pvescheduler.service"], o.units["pvesr.timer"], o.parked
    if scheduler.exists and scheduler.is_masked:
        yield Act(actions.UNMASK_SCHEDULER.bind())
    if o.name not in work.scheduled:
        yield Idle("its scheduler did not run before the first change either")
    elif scheduler.exists and scheduler.is_stopped:
        yield Act(actions.START_SCHEDULER.bind())
    if o.name in work.scheduled and timer.exists and timer.is_stopped:
        yield Act(actions.START_OLD_SCHEDULER.bind())
    if PARKED in parked:
        yield Act(actions.UNPARK_CRON.bind(run=work.run))


def released(o: Forecast, work: Work) -> Iterator[Decision]:
    yield Act(actions.FORGET_OUTCOMES.bind(run=work.run))
    yield Act(actions.RELEASE_LOCK.bind())


# --- the way back


def restored(o: Forecast, work: Work) -> Iterator[Decision]:
    was = work.back.get(o.name) if work.back is not None else None
    if was is None or not was.is_put_back:
        yield Idle(o.state.meaning)
        return
    yield from without_canaries(o)
    database, system = was.file("config.db"), was.file(backup.SYSTEM_TAR)
    yield Act(actions.PUT_DATABASE.bind(run=work.run, attempt=work.attempt), database)
    yield Act(actions.PUT_SYSTEM.bind(run=work.run, attempt=work.attempt), system)
    for action, stdin in window.way_back(work.run, work.attempt, database, system):
        yield Act(action, stdin)


def is_forced(o: Forecast, work: Work) -> bool:
    """Whether a member has quorum by its own vote alone, which ends before the others come. Raises UnknownFact."""
    is_member = work.back is not None and o.name in work.back
    return is_member and len(work.members) > 1 and o.is_quorate and o.sees_itself_alone


def force_ended(o: Forecast, work: Work) -> Iterator[Decision]:
    if is_forced(o, work):
        yield Act(actions.STOP_COROSYNC.bind())


def corosync_back(o: Forecast, work: Work) -> Iterator[Decision]:
    was = work.back.get(o.name) if work.back is not None else None
    if was is None:
        return
    if o.corosync.is_masked:
        yield Act(actions.UNMASK_COROSYNC.bind())
    if not o.corosync.is_enabled:
        yield Act(actions.ENABLE_COROSYNC.bind())
    if not o.corosync.is_active:
        yield Act(actions.START_COROSYNC.bind())
    qdevice = o.units["corosync-qdevice.service"]
    if qdevice.exists and was.has_qdevice:
        if qdevice.is_masked:
            yield Act(actions.UNMASK_QDEVICE.bind())
        if not qdevice.is_active:
            yield Act(actions.ENABLE_QDEVICE.bind())
