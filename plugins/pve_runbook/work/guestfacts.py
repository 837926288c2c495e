"""What one node says of its guests, and of the storages that their disks lie on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pve_runbook.facts.api import ClusterStatus
from pve_runbook.facts.config_tree import ConfigTree
from pve_runbook.facts.guests import GuestConfig, GuestStatus, Volume
from pve_runbook.facts.output import ParseError
from pve_runbook.facts.pmxcfs import Mount
from pve_runbook.facts.storage import FreeSpace, Storage, parse_storage_cfg_text, volume_exists
from pve_runbook.work import families, probes
from pve_runbook.work.readings import Readings, UnknownFact, known, known_or_why

STANDS_STILL = ("paused", "io-error", "internal-error", "guest-panicked", "suspended", "prelaunch")
CANARY_PREFIX = "pve-runbook-canary-"


@dataclass(frozen=True, slots=True)
class GuestTruth:
    """One guest on its owner: what continuity and conservation compare.

    ``start`` is /proc/PID/stat's field 22 (clock ticks since boot); None for a guest that does not run.
    """

    vmid: int
    name: str
    kind: str
    node: str
    pid: int | None
    start: int | None
    config: str
    volumes: int
    volumes_found: int


class GuestFacts(Readings, ABC):
    """Guests and storages; every property raises UnknownFact when what it is made of is unknown."""

    @property
    @abstractmethod
    def hostname(self) -> str:
        """The node's own name."""

    @property
    @abstractmethod
    def tree(self) -> ConfigTree:
        """The configuration database."""

    @property
    @abstractmethod
    def pve_mounts(self) -> tuple[Mount, ...]:
        """The mounts on /etc/pve."""

    @property
    @abstractmethod
    def startall_waits(self) -> bool:
        """Whether the start of all guests waits for quorum."""

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
    def running(self) -> dict[int, int]:
        """VMID → pid of every guest process on this node."""
        return {vmid: p.pid for vmid, p in self.get(probes.GUEST_PROCESSES).items()}

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

    @property
    def waiting_guests(self) -> tuple[int, ...]:
        """Guests that would start the moment this node is granted quorum."""
        if not self.startall_waits:
            return ()
        running = self.running
        return tuple(v for v, g in self.guests.items() if g.onboot and not g.template and v not in running)

    @property
    def waiting_guests_on_shared_storage(self) -> tuple[int, ...]:
        """Those of them whose volumes other nodes reach: they could come to run twice."""
        waiting, guests = self.waiting_guests, self.guests
        shared = {i for i, s in self.storages.items() if s.is_shared} if waiting else set()
        return tuple(v for v in waiting if any(x.storage in shared for x in guests[v].volumes))

    @property
    def volumes_not_found(self) -> tuple[str, ...]:
        """Volume ids of this node's guests that its storages do not hold."""
        return tuple(f"{v.volid} of {vmid}" for vmid, missing in self.missing_volumes.items() for v in missing)

    @property
    def canaries(self) -> tuple[int, ...]:
        """Throw-away guests of this tool, told by their name."""
        return tuple(g.vmid for g in self.guests.values() if g.name.startswith(CANARY_PREFIX))

    @property
    def guest_truths(self) -> dict[int, GuestTruth]:
        """What continuity and conservation compare, for every guest of this node."""
        pids = self.running
        starts = self._starts(pids)
        missing = self.missing_volumes
        return {
            g.vmid: GuestTruth(
                vmid=g.vmid,
                name=g.name,
                kind=g.kind,
                node=g.node,
                pid=pids.get(g.vmid),
                start=starts.get(pids[g.vmid]) if g.vmid in pids else None,
                config=g.sha256,
                volumes=len(g.volumes),
                volumes_found=len(g.volumes) - len(missing[g.vmid]),
            )
            for g in self.guests.values()
        }

    def _starts(self, pids: Mapping[int, int]) -> Mapping[int, int]:
        if not pids:
            return {}
        return self.family(families.PROC_STATS, subject_of_pids(pids.values()))

    @property
    def missing_volumes(self) -> dict[int, tuple[Volume, ...]]:
        """VMID → the volumes that the storages do not hold, for every guest of this node."""
        guests = self.guests
        stores = self.storages if any(g.volumes for g in guests.values()) else {}
        lvs, zfs = known(lambda: self.get(probes.LVS)), known(lambda: self.get(probes.ZFS))
        paths = {store.path for store in stores.values() if store.path is not None}
        files = {path: known_or_why(lambda path=path: self.family(families.STORAGE_FILES, path)) for path in paths}  # type: ignore[misc]

        def exists(volume: Volume) -> bool:
            store = stores.get(volume.storage)
            if store is None:
                return False
            listed = files.get(store.path or "")
            if isinstance(listed, UnknownFact):
                why = f"the storage {store.id} at {store.path} was not listed: {listed.why}"
                raise UnknownFact(self.node, f"whether {volume.volid} exists", why)
            try:
                return volume_exists(volume, store, lvs=lvs, zfs=zfs, files=listed)
            except ParseError as error:
                raise UnknownFact(self.node, f"whether {volume.volid} exists", str(error)) from None

        return {vmid: tuple(v for v in g.volumes if not exists(v)) for vmid, g in guests.items()}

    # --- storages

    @property
    def storages(self) -> dict[str, Storage]:
        """The storages that this node may use, by id."""
        configured = self.get(probes.STORAGE_CFG)
        if configured is None:  # /etc/pve is not mounted; the database has it
            configured = parse_storage_cfg_text(self.tree.text("storage.cfg") or "")
        return {
            s.id: s for s in configured.values() if not s.disabled and (s.nodes is None or self.hostname in s.nodes)
        }

    @property
    def used_storages(self) -> dict[str, Storage]:
        """The storages that hold volumes of this node's guests."""
        used = {v.storage for g in self.guests.values() for v in g.volumes}
        return {i: s for i, s in self.storages.items() if i in used}

    @property
    def free_space(self) -> tuple[FreeSpace, ...]:
        """What is left where backups and the database are written."""
        return self.get(probes.FREE_SPACE)

    @property
    def read_only_places(self) -> tuple[str, ...]:
        """Mount points, of those that backups and the database are written to, that are read-only."""
        mounts = {m.target: m for m in self.get(probes.PROC_MOUNTS)}  # of several at one place the last counts
        found = (mounts.get(where.target) for where in self.free_space)
        return tuple(dict.fromkeys(m.target for m in found if m is not None and not m.is_writable))

    @property
    def unusable_storages(self) -> dict[str, str]:
        """Storage id → what is wrong, for storages that hold this node's guests."""
        wrong: dict[str, str] = {}
        if self.pve_mounts:  # without pmxcfs no tool of Proxmox answers; what follows is read past it
            status = self.get(probes.PVESM)
            found = {i: status[i].status if i in status else "not listed" for i in self.used_storages}
            wrong = {i: s for i, s in found.items() if s != "active"}
        pools = self.get(probes.ZPOOLS)
        for store in self.used_storages.values():
            pool = store.options.get("pool", "").partition("/")[0]
            health = pools.get(pool, "its pool is not imported")
            if store.type == "zfspool" and health not in ("ONLINE", "DEGRADED"):
                wrong[store.id] = health
        return {**wrong, **{i: f"mounted read-only at {t}" for i, t in self.read_only_storages().items()}}

    def read_only_storages(self) -> dict[str, str]:
        """Storage id → mount point, for storages of this node's guests that are mounted read-only."""
        found: dict[str, str] = {}
        for store in self.used_storages.values():
            if store.path is None:
                continue
            target = self.family(families.STORAGE_MOUNT, store.path)
            if target is not None and not target.is_writable:
                found[store.id] = target.target
        return found


def subject_of_pids(pids: Iterable[int]) -> str:
    """The pids as one probe subject, in a fixed order."""
    return ",".join(str(p) for p in sorted(set(pids)))
