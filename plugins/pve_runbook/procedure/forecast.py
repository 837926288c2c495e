"""A node as it is, or as it will be once some of the actions were sent: what the procedure decides by.

A run asks the node itself. A plan tells the outlook what each action will do to the node, in the few words that the
decisions after it depend on; what it cannot foresee is said by the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pve_runbook.facts.lock import Lock
from pve_runbook.facts.quorum import Kind
from pve_runbook.facts.state import NodeState
from pve_runbook.facts.units import Unit
from pve_runbook.work import families, probes
from pve_runbook.work.action import Action
from pve_runbook.work.node import Node
from pve_runbook.work.nodefacts import NodeFacts

CRON, PARKED = "vzdump", "cron.d-vzdump"
"""Its name in /etc/cron.d, and in the tool's own folder."""


class Outlook:
    """One node, read anew at every question until :meth:`foresee` was called. Every property raises UnknownFact."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._units: dict[str, Unit] = {}
        self._state: NodeState | None = None
        self._kind: Kind | None = None
        self._quorate: bool | None = None
        self._corosync: bool | None = None
        self._cron: tuple[str, ...] | None = None
        self._parked: tuple[str, ...] | None = None
        self._keys: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """As given in --hosts."""
        return self._node.name

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
        return unit not in self._units and any(j.unit == unit for j in self._facts.jobs_waiting_for_quorum)

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
            found = self._facts.family(families.OWN_FOLDER, work)
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
    def canaries(self) -> dict[int, bool]:
        """VMID of every throw-away guest that a run left behind → whether it runs."""
        return {vmid: vmid in self._facts.running for vmid in self._facts.canaries}

    # --- what will be

    def foresee(self, action: Action, stdin: bytes | None) -> None:
        """Take in what ``action`` will have done. Raises UnknownFact."""
        if action.argv[0] == "systemctl":
            verb, *names = (a for a in action.argv[1:] if not a.startswith("--"))
            for name in names:
                if name in self.units:
                    self._units[name] = _after(verb, self.units[name])
        match action.name:
            case "stop-corosync":
                self._corosync_ends()
            case "start-pve-cluster":
                self._pmxcfs_comes_back()
            case "expected-1":
                self._quorate = True
            case "window":
                unit = self.corosync
                active = "failed" if unit.active == "failed" else "inactive"
                self._units[unit.name] = replace(unit, active=active, file_state="disabled")
                self._state, self._kind, self._corosync = NodeState.STANDALONE, "standalone", False
            case "park-backup-cron":
                self._parked = (*self.parked, PARKED)
                self._cron = tuple(name for name in self.cron_files if name != CRON)
            case "unpark-backup-cron":
                self._parked = tuple(name for name in self.parked if name != PARKED)
                self._cron = (*self.cron_files, CRON)
            case "put-keys":
                self._keys = tuple((stdin or b"").decode().splitlines())
            case "remove-keys":
                self._keys = ()

    def foresee_alone(self) -> None:
        """Take in that corosync has ended on every other node: quorum stays only where the own votes are enough."""
        if not self.is_corosync_running:
            return
        quorum = self._facts.quorum
        own = sum(m.votes for m in quorum.members if m.local) if quorum is not None else 0
        self._quorate = self.is_quorate and quorum is not None and own >= quorum.quorum

    def _corosync_ends(self) -> None:
        if self.state is NodeState.STANDALONE_COROSYNC_RUNNING:
            self._state = NodeState.STANDALONE_LEFTOVERS if self._facts.leftovers else NodeState.STANDALONE
        elif self.pvecm_kind == "member":
            self._state, self._kind = NodeState.COROSYNC_DOWN, "no-corosync"
        self._corosync = self._quorate = False

    def _pmxcfs_comes_back(self) -> None:
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


def _after(verb: str, unit: Unit) -> Unit:
    """A unit after ``systemctl VERB``. What a mask hides is taken for enabled, as Proxmox installs its units."""
    match verb:
        case "stop":
            return unit if unit.is_stopped else replace(unit, active="inactive", sub="dead", job=None)
        case "start" | "restart":
            return replace(unit, active="active", sub="running")
        case "mask":
            return replace(unit, file_state="masked-runtime")
        case "unmask" | "enable":
            return replace(unit, file_state="enabled")
        case "disable":
            return replace(unit, file_state="disabled")
        case "reset-failed":
            return replace(unit, active="inactive", sub="dead")
    raise ValueError(f"systemctl {verb}: not foreseen")
