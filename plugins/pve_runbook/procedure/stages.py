"""The stages of the runbook, and what each sends to a node.

A run takes its commands from here, node by node, as the nodes are then; a plan takes them from here for the nodes as
they will be then. A stage bears the name of the fixture in runbook/ that carries it out, and its place in the order
is the place of the first step that asks for that fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from pve_runbook.actions import commits, startall
from pve_runbook.actions import registry as actions
from pve_runbook.actions.action import ActionTemplate
from pve_runbook.actions.disarm import DISARM_HA
from pve_runbook.actions.leave import DELNODE, EXPECT_REST, HA_REMOVE
from pve_runbook.actions.window_cut import UNMASK_PVE_CLUSTER
from pve_runbook.probes import registry as probes
from pve_runbook.probes import start_jobs
from pve_runbook.probes.probe import Probe
from pve_runbook.procedure import decisions
from pve_runbook.procedure.forecast import Forecast
from pve_runbook.procedure.work import Act, Decision, Work

Decide = Callable[[Forecast, Work], Iterator[Decision]]


class UndeclaredAction(RuntimeError):
    """A stage decided to send what it does not say that it sends: a fault of the tool itself, nothing was sent."""


class Stage(Struct, frozen=True):
    """What one action fixture of runbook/ does, or a part of it, by its ``name``."""

    name: str
    decide: Decide
    sends: tuple[ActionTemplate, ...]
    """Every action that it may send, in no order."""
    part_of: str = ""
    """The fixture, where it has another name."""
    one_by_one: bool = False
    """Whether no node is touched before the one in front of it is done."""
    by_hand: bool = True
    """Whether a person without the tool has to do it too."""
    asks: tuple[Probe[object], ...] = ()
    """What its decisions rest on: where facts have ended within it, the node is asked these alone."""
    on_staying: bool = False
    """Whether it comes to a node that stays in the cluster (--leave), too. To these nothing else is sent."""

    def decisions(self, forecast: Forecast, work: Work) -> Iterator[Decision]:
        """What is to be done on a node, and what is not; each is decided when the one before it was carried out.

        Raises UnknownFact, and UndeclaredAction for what the stage does not say that it sends.
        """
        if work.staying and not self.on_staying and forecast.name in work.staying:
            return
        names = {template.name for template in self.sends}
        for decision in self.decide(forecast, work):
            if isinstance(decision, Act) and decision.action.name not in names:
                raise UndeclaredAction(f"{self.name}: {decision.action.name}")
            yield decision

    @property
    def fixture(self) -> str:
        """The fixture in runbook/ that carries the stage out."""
        return self.part_of or self.name


LOCKED = Stage(
    "locked",
    decisions.locked,
    sends=(actions.RELEASE_LOCK, actions.MAKE_FOLDER, actions.TAKE_LOCK),
    by_hand=False,
    on_staying=True,
)
BACKUP_FOLDER = Stage(
    "backup_folder", decisions.backup_folder, sends=(actions.MAKE_FOLDER,), part_of="backups", on_staying=True
)
BACKUPS = Stage(
    "backups",
    decisions.backups,
    sends=(actions.BACKUP_DB, actions.BACKUP_PVE, actions.BACKUP_SYSTEM),
    on_staying=True,
)
CARD_LEFT = Stage(
    "card_left", decisions.card_left, sends=(actions.PUT_CARD,), part_of="backups", by_hand=False, on_staying=True
)
SCHEDULER_OFF = Stage(
    "scheduler_off",
    decisions.scheduler_off,
    sends=(actions.STOP_SCHEDULER, actions.MASK_SCHEDULER, actions.STOP_OLD_SCHEDULER, actions.PARK_CRON),
    asks=(probes.UNIT_STATES, probes.JOBS, probes.CRON),
)
HA_RELEASED = Stage("ha_released", decisions.ha_released, sends=(HA_REMOVE,), on_staying=True)
COMMITS_OFF = Stage("commits_off", decisions.commits_off, sends=commits.ACTIONS, asks=(probes.UNIT_STATES, probes.JOBS))
STARTALL_HELD = Stage("startall_held", decisions.startall_held, sends=(startall.HOLD,))
FREEZE_ASKS = tuple(dict.fromkeys((*SCHEDULER_OFF.asks, start_jobs.HELD, probes.WATCHDOG, *probes.IS_QUORATE)))
"""What the gates and the stages between the scheduler and HA's end rest on."""
HA_DISARMED = Stage("ha_disarmed", decisions.ha_disarmed, sends=(DISARM_HA,), part_of="lrm_off")
LRM_OFF = Stage(
    "lrm_off",
    decisions.lrm_off,
    sends=(actions.STOP_LRM, actions.DISABLE_LRM),
    one_by_one=True,
    asks=(probes.UNIT_STATES, probes.JOBS, probes.WATCHDOG, *probes.IS_QUORATE),
)
CRM_OFF = Stage(
    "crm_off",
    decisions.crm_off,
    sends=(actions.STOP_CRM, actions.DISABLE_CRM),
    asks=(probes.UNIT_STATES, probes.JOBS),
)
QDEVICE_SILENT = Stage(
    "qdevice_silent",
    decisions.qdevice_silent,
    sends=(actions.STOP_QDEVICE, actions.MASK_QDEVICE),
    part_of="peers_corosync_stopped",
    one_by_one=True,
)
PEERS_SILENT = Stage(
    "peers_corosync_stopped",
    decisions.peers_silent,
    sends=(actions.STOP_COROSYNC, actions.MASK_COROSYNC),
    asks=(probes.UNIT_STATES,),
)
STATE_ASKS: tuple[Probe[object], ...] = (
    *(probes.UNIT_STATES, probes.PVE_MOUNT, *probes.IS_QUORATE, probes.MEMBERS, probes.PMXCFS_PROCESS),
    *(probes.COROSYNC_PROCESS, probes.COROSYNC_DIRS, probes.DB_DIR, probes.TREE),
)
"""What tells in which of the known states a node is."""
PMXCFS_BACK = Stage("pmxcfs_back", decisions.pmxcfs_back, sends=(UNMASK_PVE_CLUSTER, actions.START_PVE_CLUSTER))
QUORUM_FORCED = Stage("quorum_forced", decisions.quorum_forced, sends=(actions.EXPECT_OWN_VOTES,))
REST_QUORATE = Stage(
    "rest_quorate", decisions.rest_quorate, sends=(EXPECT_REST,), part_of="quorum_forced", on_staying=True
)
SECOND_WAY = Stage("second_way", decisions.second_way, sends=(actions.PUT_KEYS,), by_hand=False)
WINDOW = Stage(
    "left_cluster",
    decisions.left_cluster,
    sends=(actions.PUT_WINDOW, actions.RUN_WINDOW, actions.UNMASK_COROSYNC, actions.DISABLE_COROSYNC),
    one_by_one=True,
)
SERVICES_RESTARTED = Stage(
    "services_restarted",
    decisions.services_restarted,
    sends=(actions.RESTART_SERVICES, actions.RESET_FAILED, actions.PARK_CRON),
    asks=(probes.UNIT_STATES, probes.CRON),
)
OLD_CANARIES_GONE = Stage(
    "old_canaries_gone",
    decisions.old_canaries_gone,
    sends=(actions.CANARY_STOP, actions.CANARY_DESTROY),
    part_of="canaries",
    one_by_one=True,
    by_hand=False,
)
CANARY_FLOWN = Stage(
    "canaries",
    decisions.canary_flown,
    sends=(actions.CANARY_CREATE, actions.CANARY_START, actions.CANARY_STOP, actions.CANARY_DESTROY),
    one_by_one=True,
    by_hand=False,
)
LET_GO = Stage("let_go", decisions.let_go, sends=(DELNODE, EXPECT_REST), one_by_one=True, on_staying=True)
SECOND_WAY_CLOSED = Stage(
    "second_way_closed", decisions.second_way_closed, sends=(actions.PUT_KEYS, actions.REMOVE_KEYS), by_hand=False
)
STARTALL_BACK = Stage("startall_back", decisions.startall_back, sends=(startall.RELEASE,))
SCHEDULER_BACK = Stage(
    "scheduler_back",
    decisions.scheduler_back,
    sends=(actions.UNMASK_SCHEDULER, actions.START_SCHEDULER, actions.START_OLD_SCHEDULER, actions.UNPARK_CRON),
)
RELEASED = Stage(
    "released",
    decisions.released,
    sends=(actions.FORGET_OUTCOMES, actions.RELEASE_LOCK),
    by_hand=False,
    on_staying=True,
)

RESTORED = Stage(
    "restored",
    decisions.restored,
    (
        actions.CANARY_STOP,
        actions.CANARY_DESTROY,
        actions.PUT_DATABASE,
        actions.PUT_SYSTEM,
        actions.PUT_RESTORE,
        actions.RUN_RESTORE,
    ),
    one_by_one=True,
)
FORCE_ENDED = Stage(
    "force_ended", decisions.force_ended, sends=(actions.STOP_COROSYNC,), part_of="corosync_back", one_by_one=True
)
COROSYNC_BACK = Stage(
    "corosync_back",
    decisions.corosync_back,
    (
        actions.UNMASK_COROSYNC,
        actions.ENABLE_COROSYNC,
        actions.START_COROSYNC,
        actions.UNMASK_QDEVICE,
        actions.ENABLE_QDEVICE,
    ),
)

STAGES = (
    *(LOCKED, BACKUP_FOLDER, BACKUPS, CARD_LEFT, HA_RELEASED, SCHEDULER_OFF, COMMITS_OFF, STARTALL_HELD),
    *(HA_DISARMED, LRM_OFF, CRM_OFF),
    *(QDEVICE_SILENT, PEERS_SILENT, PMXCFS_BACK, QUORUM_FORCED, REST_QUORATE),
    *(SECOND_WAY, WINDOW, SERVICES_RESTARTED, OLD_CANARIES_GONE, CANARY_FLOWN),
    LET_GO,
    *(RESTORED, FORCE_ENDED, COROSYNC_BACK),
    *(SECOND_WAY_CLOSED, STARTALL_BACK, SCHEDULER_BACK, RELEASED),
)
"""Every stage; those of one fixture in their order."""


def in_turn(stage: Stage, nodes: Iterable[str], work: Work) -> list[str]:
    """The names of ``nodes`` in the order in which ``stage`` comes to them.

    The authority leaves last.
    """
    return sorted(nodes, key=lambda name: stage is WINDOW and name == work.authority)
