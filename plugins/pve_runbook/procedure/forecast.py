"""A node as it is, or as it will be once some of the actions were sent: what the stages decide by.

A run asks the node itself. A plan tells the forecast what each action will do to the node, in the few words that the
decisions after it depend on; what it cannot foresee is said by the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from msgspec.structs import replace

from pve_runbook.actions.action import Action
from pve_runbook.actions.leave import DELNODE, HA_REMOVE
from pve_runbook.cluster.node import Node
from pve_runbook.diagnosis.leaving import ha_guests
from pve_runbook.facts.node import NodeFacts
from pve_runbook.facts.node_state import NodeState
from pve_runbook.parsers.own_files import Lock
from pve_runbook.parsers.pvecm import Kind
from pve_runbook.parsers.systemd import Unit
from pve_runbook.probes import per_subject
from pve_runbook.probes import registry as probes

CRON, PARKED = "vzdump", "cron.d-vzdump"
"""Its name in /etc/cron.d, and in the tool's own folder."""


class Unforeseen(ValueError):
    """An action whose effect on a node the forecast was not told: what comes after it would be planned wrongly."""


class Forecast:
    """One node, read anew at every question until :meth:`foresee` was called. Every property raises UnknownFact."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._units: dict[str, Unit] = {}
        self._hidden: dict[str, str] = {}
        """Unit → its state behind a mask."""
        self._state: NodeState | None = None
        self._kind: Kind | None = None
        self._quorate: bool | None = None
        self._corosync: bool | None = None
        self._cron: tuple[str, ...] | None = None
        self._parked: tuple[str, ...] | None = None
        self._keys: tuple[str, ...] | None = None
        self._alone: bool | None = None
        self._canaries: dict[int, bool] | None = None
        self._votes: dict[str, int] | None = None
        self._visible: int | None = None
        self._released: set[str] = set()
        self._cancelled: set[str] = set()
        """Units whose waiting start was ended by a stop."""
        self._held: bool | None = None

    @property
    def name(self) -> str:
        """As given in --hosts."""
        return self._node.name

    @property
    def hostname(self) -> str:
        """The node's own name."""
        return self._facts.hostname

    @property
    def boot_id(self) -> str:
        """Which start of the machine this is."""
        return self._facts.boot_id

    @property
    def _facts(self) -> NodeFacts:
        return self._node.facts

    @property
    def lock(self) -> Lock | None:
        """Whose work the node is locked for, before this run."""
        return self._facts.lock

    @property
    def is_mounted(self) -> bool:
        """Whether /etc/pve is mounted, before the first change."""
        return len(self._facts.pve_mounts) == 1

    @property
    def units(self) -> Mapping[str, Unit]:
        """Proxmox's units by full name."""
        return {**self._facts.units, **self._units}

    @property
    def corosync(self) -> Unit:
        """The corosync unit."""
        return self.units["corosync.service"]

    def waits(self, unit: str) -> bool:
        """Whether the start of ``unit`` waits for quorum."""
        return unit not in self._cancelled and any(j.unit == unit for j in self._facts.jobs_waiting_for_quorum)

    @property
    def startall_waits(self) -> bool:
        """Whether the start of all guests waits, held or not; one that starts guests now is not stopped in that."""
        return self._facts.startall_waits and not self._facts.startall_starts

    @property
    def startall_is_held(self) -> bool:
        """Whether it is held."""
        return self._facts.startall_is_held if self._held is None else self._held

    @property
    def cron_files(self) -> tuple[str, ...]:
        """What lies in /etc/cron.d."""
        return self._facts.cron_files if self._cron is None else self._cron

    @property
    def parked(self) -> tuple[str, ...]:
        """What this work has put aside on the node."""
        if self._parked is None:
            lock, work = self._facts.lock, self._node.work
            if lock is None or lock.run != work:  # nothing was put aside there yet
                return ()
            found = self._facts.family(per_subject.OWN_FOLDER, work)
            return found or ()
        return self._parked

    @property
    def second_keys(self) -> tuple[str, ...]:
        """The lines of root's authorized_keys2."""
        return tuple(self._facts.get(probes.SECOND_KEYS)) if self._keys is None else self._keys

    @property
    def state(self) -> NodeState:
        """Which of the known states the node is in."""
        return self._facts.state if self._state is None else self._state

    @property
    def pvecm_kind(self) -> Kind:
        """What ``pvecm status`` finds the node to be."""
        return self._facts.pvecm.kind if self._kind is None else self._kind

    @property
    def is_corosync_running(self) -> bool:
        """Whether corosync lives."""
        return self._facts.is_corosync_running if self._corosync is None else self._corosync

    @property
    def is_quorate(self) -> bool:
        """Whether corosync and pmxcfs both say so."""
        return self._facts.is_quorate if self._quorate is None else self._quorate

    @property
    def sees_itself_alone(self) -> bool:
        """Whether corosync counts this node's votes alone."""
        return self._facts.sees_itself_alone if self._alone is None else self._alone

    @property
    def own_votes(self) -> int:
        """The node's own votes: what is to be expected where it is alone."""
        return self._facts.own_votes

    @property
    def votes(self) -> Mapping[str, int]:
        """The members of the nodelist, by their own names → the votes that each has."""
        if self._votes is not None:
            return self._votes
        conf = self._facts.corosync_conf
        return {n.name: n.votes for n in conf.nodes} if conf is not None else {}

    def ha_guests_of(self, names: Collection[str]) -> list[str]:
        """The guests of the members ``names`` that HA manages: ``vm:101``. Raises UnknownFact."""
        return [sid for sid in ha_guests(self._facts, names) if sid not in self._released]

    @property
    def _visible_votes(self) -> int:
        quorum = self._facts.quorum
        return self._visible if self._visible is not None else quorum.total if quorum is not None else 0

    @property
    def canaries(self) -> dict[int, bool]:
        """VMID of every throw-away guest that a run left behind → whether it runs."""
        if self._canaries is not None:
            return self._canaries
        return {vmid: vmid in self._facts.running for vmid in self._facts.canaries}

    # --- what will be

    def foresee(self, action: Action, stdin: bytes | None) -> None:
        """Take in what ``action`` will have done. Raises UnknownFact, and Unforeseen for an action it does not know."""
        if action.argv[0] == "systemctl":
            self._systemctl(*action.argv[1:])
        elif action.name == DELNODE.name:
            self._lets_go(action.argv[-1])
        elif action.name == HA_REMOVE.name:
            self._released.add(action.argv[-1])
        elif action.name not in _EFFECTS and action.name not in WITHOUT_EFFECT:
            raise Unforeseen(action.name)
        if action.name in _EFFECTS:
            _EFFECTS[action.name](self, stdin)

    def _systemctl(self, verb: str, *arguments: str) -> None:
        now = verb == "enable" and "--now" in arguments
        if verb == "stop":
            self._cancelled.update(arguments)
        for name in (a for a in arguments if not a.startswith("--") and a in self.units):
            if verb == "mask":
                self._hide(self.units[name])
            unit = _after(verb, self.units[name], self._hidden.get(name, "enabled"))
            self._units[name] = replace(unit, active="active", sub="running") if now else unit

    def _hide(self, unit: Unit) -> None:
        """Remember what a mask hides; one that is there already is taken to hide what Proxmox installs: enabled."""
        if not unit.is_masked:
            self._hidden[unit.name] = unit.file_state

    def foresee_alone(self) -> None:
        """Take in that corosync has ended on every other node: quorum stays only where the own votes are enough."""
        if not self.is_corosync_running:
            return
        quorum = self._facts.quorum
        self._quorate = self.is_quorate and quorum is not None and self.own_votes >= quorum.quorum

    def foresee_without(self, names: Collection[str]) -> None:
        """Take in that corosync has ended on the members ``names``, which are about to leave this node's cluster."""
        quorum, conf = self._facts.quorum, self._facts.corosync_conf
        if quorum is None or conf is None:
            return
        gone = {n.nodeid for n in conf.nodes if n.name in names}
        self._visible = sum(m.votes for m in quorum.members if m.nodeid not in gone)
        self._quorate = self.is_quorate and self._visible >= quorum.quorum

    def _lets_go(self, name: str) -> None:
        """The expected votes are those of the new nodelist (exec/votequorum.c)."""
        self._votes = {n: votes for n, votes in self.votes.items() if n != name}
        self._quorate = 2 * self._visible_votes > sum(self._votes.values())

    def _has_quorum(self, _: bytes | None) -> None:
        self._quorate = True

    def _corosync_starts(self, _: bytes | None) -> None:
        self._corosync = True

    def _left(self, _: bytes | None) -> None:
        unit = self.corosync
        active = "failed" if unit.active == "failed" else "inactive"
        self._units[unit.name] = replace(unit, active=active, file_state="disabled")
        self._state, self._kind, self._corosync = NodeState.STANDALONE, "standalone", False

    def _restored(self, _: bytes | None) -> None:
        """The script leaves corosync masked, and pve-cluster started (restore.sh)."""
        self._hide(self.corosync)
        self._units[self.corosync.name] = replace(self.corosync, active="inactive", file_state="masked-runtime")
        self._state, self._kind = NodeState.COROSYNC_DOWN, "no-corosync"
        self._corosync = self._quorate = False

    def _startall_held(self, _: bytes | None) -> None:
        self._held = True

    def _startall_goes_on(self, _: bytes | None) -> None:
        self._held = False

    def _cron_parked(self, _: bytes | None) -> None:
        self._parked = (*self.parked, PARKED)
        self._cron = tuple(name for name in self.cron_files if name != CRON)

    def _cron_back(self, _: bytes | None) -> None:
        self._parked = tuple(name for name in self.parked if name != PARKED)
        self._cron = (*self.cron_files, CRON)

    def _proxy_restarts(self, _: bytes | None) -> None:
        """Its start runs `pvecm updatecerts`, which puts the link back that was parked (pve-cluster, Setup.pm)."""
        if PARKED in self.parked and CRON not in self.cron_files:
            self._cron = (*self.cron_files, CRON)

    def _keys_put(self, stdin: bytes | None) -> None:
        self._keys = tuple((stdin or b"").decode().splitlines())

    def _keys_gone(self, _: bytes | None) -> None:
        self._keys = ()

    def _canary_gone(self, _: bytes | None) -> None:
        self._canaries = {}

    def _corosync_ends(self, _: bytes | None = None) -> None:
        if self.state is NodeState.STANDALONE_COROSYNC_RUNNING:
            self._state = NodeState.STANDALONE_LEFTOVERS if self._facts.leftovers else NodeState.STANDALONE
        elif self.pvecm_kind == "member":
            self._state, self._kind = NodeState.COROSYNC_DOWN, "no-corosync"
        self._corosync = self._quorate = False

    def _pmxcfs_comes_back(self, _: bytes | None) -> None:
        """pve-cluster pulls corosync in where nothing masks it (pve-cluster.service, Wants=)."""
        if not self._facts.has_corosync_conf_in_database:
            self._state = NodeState.STANDALONE_LEFTOVERS if self._facts.leftovers else NodeState.STANDALONE
            self._kind = "standalone"
        elif self.corosync.is_masked or self._facts.authkey is None:
            self._state = NodeState.COROSYNC_DOWN if self._facts.authkey else NodeState.HALF_DISMANTLED
            self._kind = "no-corosync"
        else:
            self._state, self._kind = NodeState.CLUSTERED_NO_QUORUM, "member"
            self._corosync, self._quorate = True, False


_EFFECTS: dict[str, Callable[[Forecast, bytes | None], None]] = {
    "stop-corosync": Forecast._corosync_ends,
    "hold-startall": Forecast._startall_held,
    "release-startall": Forecast._startall_goes_on,
    "start-corosync": Forecast._corosync_starts,
    "start-pve-cluster": Forecast._pmxcfs_comes_back,
    "expect-own-votes": Forecast._has_quorum,
    "expected-rest": Forecast._has_quorum,
    "window": Forecast._left,
    "restore": Forecast._restored,
    "park-backup-cron": Forecast._cron_parked,
    "unpark-backup-cron": Forecast._cron_back,
    "restart-services": Forecast._proxy_restarts,
    "put-keys": Forecast._keys_put,
    "remove-keys": Forecast._keys_gone,
    "canary-destroy": Forecast._canary_gone,
}
"""By the action's name; beside these, what `systemctl` does to a unit is told by its verb."""
WITHOUT_EFFECT = frozenset(
    (
        *("make-folder", "take-lock", "release-lock", "forget-outcomes", "backup-db", "backup-etc-pve"),
        *("backup-system", "put-by-hand", "put-window-script", "put-database", "put-system", "put-restore-script"),
        *("canary-create", "canary-start", "canary-stop", "disarm-ha"),
    )
)
"""Actions that change nothing which a later decision reads."""


def _after(verb: str, unit: Unit, hidden: str) -> Unit:
    """A unit after ``systemctl VERB``; ``hidden``: its state behind a mask."""
    match verb:
        case "kill":
            return unit
        case "stop":
            return unit if unit.is_stopped else replace(unit, active="inactive", sub="dead", job=None)
        case "start" | "restart":
            return replace(unit, active="active", sub="running")
        case "mask":
            return replace(unit, file_state="masked-runtime")
        case "unmask":
            return replace(unit, file_state=hidden)
        case "enable":
            return replace(unit, file_state="enabled")
        case "disable":
            return replace(unit, file_state="disabled")
        case "reset-failed":
            return replace(unit, active="inactive", sub="dead")
    raise Unforeseen(f"systemctl {verb}")
