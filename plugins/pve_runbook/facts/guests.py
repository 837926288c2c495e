"""What one node says of its guests, and of their volumes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from pve_runbook.facts.guest_starts import GuestStarts, sorted_out
from pve_runbook.facts.start_jobs import StartJobFacts
from pve_runbook.facts.volumes import Judge, State, VolumeTruth
from pve_runbook.journal.rows import GuestTruth
from pve_runbook.parsers.guests import GuestConfig, GuestStatus
from pve_runbook.parsers.output import ParseError
from pve_runbook.parsers.pvesh import ClusterStatus
from pve_runbook.probes import per_subject, pid_files
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact, known

STANDS_STILL = ("paused", "io-error", "internal-error", "guest-panicked", "suspended", "prelaunch")
CANARY_PREFIX = "pve-runbook-canary-"


class GuestFacts(StartJobFacts, ABC):
    """Guests and their volumes; every property raises UnknownFact when what it is made of is unknown."""

    @property
    @abstractmethod
    def ha_resources(self) -> tuple[str, ...]:
        """The service ids under HA, e.g. ``vm:101``."""

    @property
    @abstractmethod
    def ha_started(self) -> tuple[str, ...]:
        """The service ids that HA keeps running."""

    @property
    @abstractmethod
    def ha_starts_guests(self) -> bool:
        """Whether HA starts here what it keeps running."""

    # --- guests

    @property
    def guests(self) -> Mapping[int, GuestConfig]:
        """The guests this node owns, by VMID, from its database."""
        return self.tree.guests_by_node.get(self.hostname, {}) if self.all_guests else {}

    @property
    def all_guests(self) -> Mapping[int, GuestConfig]:
        """Every guest in this node's database, its peers' included."""
        try:
            return self.tree.guests
        except ParseError as error:
            raise UnknownFact(self.node, "whose guests its database holds", str(error)) from None

    @property
    def pids_by_kind(self) -> dict[str, list[int]]:
        """The pids of the guests that run: of VMs ("qemu") and of containers ("lxc"), where there are any."""
        found: dict[str, list[int]] = {}
        for process in self.get(probes.GUEST_PROCESSES).values():
            found.setdefault(process.kind, []).append(process.pid)
        return found

    @property
    def running(self) -> dict[int, int]:
        """VMID → pid of every guest process on this node."""
        return {vmid: p.pid for vmid, p in self.get(probes.GUEST_PROCESSES).items()}

    @property
    def pid_files(self) -> Mapping[int, int]:
        """VMID → pid in the file by which Proxmox knows whether that VM runs."""
        return self.get(pid_files.PID_FILES)

    @property
    def unfound_pids(self) -> tuple[int, ...]:
        """Pids in such files that no process of a guest has: it ended, or is one that nobody told us of."""
        return tuple(sorted(set(self.pid_files.values()) - set(self.running.values())))

    @property
    def pids_apart(self) -> tuple[tuple[int, int | None, int | None], ...]:
        """(VMID, pid of its process, pid in its file) where the two are not one: of VMs that run, and of files that
        name a process which lives. A file that a dead VM left behind is no matter: Proxmox looks at the process."""
        vms = {v: p.pid for v, p in self.get(probes.GUEST_PROCESSES).items() if p.kind == "qemu"}
        named, unfound = self.pid_files, self.unfound_pids
        alive = self.family(per_subject.PROC_STATS, subject_of_pids(unfound)) if unfound else {}
        return tuple(
            (vmid, vms.get(vmid), named.get(vmid))
            for vmid in sorted(vms.keys() | {v for v, pid in named.items() if pid in alive})
            if vms.get(vmid) != named.get(vmid)
        )

    @property
    def locked(self) -> dict[int, str]:
        """VMID → lock, for guests whose config carries one."""
        return {v: g.lock for v, g in self.guests.items() if g.lock}

    @property
    def strays(self) -> tuple[int, ...]:
        """Guests that run here, and whose config is not here."""
        return tuple(sorted(self.running.keys() - self.guests.keys()))

    @property
    def standing_still(self) -> dict[int, str]:
        """VMID → status, for guests that are listed but do not serve (qemu-server, QMP run states)."""
        return {v: g.status for v, g in self.listed.items() if g.status in STANDS_STILL}

    @property
    def arriving(self) -> tuple[int, ...]:
        """VMs that wait here for their migration to this node."""
        return tuple(v for v, p in self.get(probes.GUEST_PROCESSES).items() if p.incoming)

    @property
    def listed(self) -> dict[int, GuestStatus]:
        """The guests as ``qm list --full`` and ``pct list`` show them."""
        return {**self.get(probes.QM_LIST), **self.get(probes.PCT_LIST)}

    @property
    def shown_by_api(self) -> tuple[int, ...]:
        """VMIDs of this node's guests in /cluster/resources, which the web UI shows."""
        return tuple(v for v, r in self.get(probes.API_RESOURCES).items() if r.node == self.hostname)

    @property
    def api_status(self) -> ClusterStatus:
        """/cluster/status: it calls a half-dismantled node standalone too, so it is never proof alone."""
        return self.get(probes.API_STATUS)

    @property
    def web_ui_answers(self) -> bool:
        """Whether pveproxy answers."""
        return self.get(probes.WEB_UI)

    def starts(self, *, ha_goes: bool = False) -> GuestStarts:
        """This node's guests, by what becomes of them; ``ha_goes``: once HA is off, and its files are parked."""
        managed = frozenset() if ha_goes else _ids(self.ha_resources)
        kept = _ids(self.ha_started)
        if kept and not ha_goes and self.ha_starts_guests:
            kept = frozenset()
        running, waits = self.running, self.startall_waits
        return sorted_out(self.guests.values(), running, waits=waits, managed=managed, kept=kept)

    @property
    def waiting_guests_on_shared_storage(self) -> tuple[int, ...]:
        """Those that come up once HA is off too, and whose volumes other nodes reach: they could come to run twice."""
        waiting = self.starts(ha_goes=True).startall if self.startall_waits else ()
        shared = {i for i, s in self.storages.items() if s.is_shared} if waiting else set()
        return tuple(g.vmid for g in waiting if any(x.storage in shared and not x.is_iso for x in g.volumes))

    @property
    def volumes(self) -> tuple[VolumeTruth, ...]:
        """Every volume of this node's guests, and whether it is there."""
        guests = [g for g in self.guests.values() if g.volumes]
        if not guests:
            return ()
        judge, running = Judge(self), known(lambda: self.get(probes.GUEST_PROCESSES))
        return tuple(judge.of(g.vmid, v, running) for g in guests for v in g.volumes)

    @property
    def volumes_held(self) -> dict[int, tuple[str, ...]]:
        """VMID → the volumes that its process has open, for this node's guests that run; those of which nothing tells
        it are left out."""
        judge, told = Judge(self), {*self._pids_told_of}
        return {
            vmid: tuple(sorted({v.volid for v in guest.volumes if judge.is_held(v, process)}))
            for vmid, process in self.get(probes.GUEST_PROCESSES).items()
            if process.pid in told and (guest := self.guests.get(vmid)) is not None
        }

    @property
    def _pids_told_of(self) -> Iterator[int]:
        for family in (per_subject.OPEN_FILES, per_subject.MOUNTINFOS):
            for found in self.about(family):
                yield from found

    @property
    def volumes_missing(self) -> tuple[VolumeTruth, ...]:
        """Those that are not there, or not known to be, and that something would be lost with."""
        found: dict[tuple[int, str], VolumeTruth] = {}
        for v in self.volumes:
            if v.state is not State.THERE and not v.volume.may_be_gone:
                key = (v.vmid, v.volume.volid)  # a snapshot may name the same one
                found[key] = v if v.in_use else found.get(key, v)
        return tuple(found.values())

    @property
    def volumes_told(self) -> tuple[VolumeTruth, ...]:
        """Those that are not there, and that nothing is lost with."""
        return tuple(v for v in self.volumes if v.state is State.GONE and v.volume.may_be_gone)

    @property
    def canaries(self) -> tuple[int, ...]:
        """Throw-away guests of this tool, told by their name."""
        return tuple(g.vmid for g in self.guests.values() if g.name.startswith(CANARY_PREFIX))

    @property
    def guest_truths(self) -> dict[int, GuestTruth]:
        """What continuity and conservation compare, for every guest of this node but throw-away ones, which go."""
        pids, throw_away = self.running, self.canaries
        starts = self._starts(pids)
        volumes = [v for v in self.volumes if not v.volume.is_iso]
        named = Counter(v.vmid for v in volumes)
        there = Counter(v.vmid for v in volumes if v.state is State.THERE)
        return {
            g.vmid: GuestTruth(
                vmid=g.vmid,
                name=g.name,
                kind=g.kind,
                node=g.node,
                pid=pids.get(g.vmid),
                start=starts.get(pids[g.vmid]) if g.vmid in pids else None,
                config=g.sha256,
                volumes=named[g.vmid],
                volumes_found=there[g.vmid],
            )
            for g in self.guests.values()
            if g.vmid not in throw_away
        }

    def _starts(self, pids: Mapping[int, int]) -> Mapping[int, int]:
        if not pids:
            return {}
        return self.family(per_subject.PROC_STATS, subject_of_pids(pids.values()))


def subject_of_pids(pids: Iterable[int]) -> str:
    """The pids as one probe subject, in a fixed order."""
    return ",".join(str(p) for p in sorted(set(pids)))


def _ids(services: Iterable[str]) -> frozenset[int]:
    """The VMIDs of service ids such as ``vm:101``."""
    return frozenset(int(sid.partition(":")[2]) for sid in services)
