"""The proof that nothing was lost: every guest and every node, before and after, side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import Struct
from msgspec.structs import replace

from pve_runbook.facts.node import NodeFacts
from pve_runbook.journal.events import Baseline
from pve_runbook.journal.rows import GuestRow as JournalRow
from pve_runbook.journal.rows import GuestTruth, NodeRow
from pve_runbook.probes.answers import UnknownFact


class Snapshot(Struct, frozen=True):
    """Every guest's truth and every node's boot at one moment. ``guests`` by VMID, ``boots`` by node name."""

    guests: dict[int, GuestTruth]
    boots: dict[str, str]


def snapshot_of(baseline: Baseline) -> Snapshot:
    """Guests and nodes as a run wrote them down before its first change."""
    return Snapshot({g.vmid: g for g in baseline.guests}, dict(baseline.boots))


class GuestRow(Struct, frozen=True):
    """One guest before and now; ``now`` is None when no node owns it any more."""

    before: GuestTruth
    now: GuestTruth | None

    @property
    def runs_on(self) -> bool:
        """Same pid and start time; a guest that was not running cannot have been interrupted."""
        if self.before.pid is None:
            return True
        return self.now is not None and (self.now.pid, self.now.start) == (self.before.pid, self.before.start)

    @property
    def config_same(self) -> bool:
        """Same config, byte for byte."""
        return self.now is not None and self.now.config == self.before.config

    @property
    def owner_same(self) -> bool:
        """Owned by the same node."""
        return self.now is not None and self.now.node == self.before.node

    @property
    def volumes_same(self) -> bool:
        """It has as many volumes, and no fewer of them are found: a storage that was out of reach may be back."""
        was, now = self.before, self.now
        return now is not None and now.volumes == was.volumes and now.volumes_found >= was.volumes_found

    @property
    def same(self) -> bool:
        """Continuity and conservation both hold."""
        return self.runs_on and self.config_same and self.owner_same and self.volumes_same

    def what_changed(self) -> str:
        """One clause for people; empty when nothing did."""
        b, n = self.before, self.now
        if n is None:
            return f"guest {b.vmid} ({b.name}) is in no node's database any more, it was on {b.node}"
        found = []
        if not self.runs_on:
            found.append(self._what_became_of_its_process(n.pid))
        if not self.config_same:
            found.append("its config changed")
        if not self.owner_same:
            found.append(f"it moved from {b.node} to {n.node}")
        if not self.volumes_same:
            found.append(f"{n.volumes_found} of {n.volumes} volumes are found, {b.volumes_found} of {b.volumes} before")
        return f"guest {b.vmid} ({b.name}) on {b.node}: " + ", ".join(found) if found else ""

    def _what_became_of_its_process(self, pid: int | None) -> str:
        if pid == self.before.pid:
            return f"its process ended, and another one that began later has its pid {pid}"
        return f"its process was pid {self.before.pid} and is {'gone' if pid is None else f'pid {pid}'}"


class Comparison(Struct, frozen=True):
    """A snapshot held against the baseline."""

    rows: tuple[GuestRow, ...]
    boots: tuple[tuple[str, str, str], ...]
    """(node, boot_id before, boot_id now)"""

    @property
    def problems(self) -> tuple[str, ...]:
        """Every difference, one sentence each; empty when nothing was lost."""
        rebooted = tuple(f"{node} was rebooted" for node, before, now in self.boots if before != now)
        return rebooted + tuple(r.what_changed() for r in self.rows if not r.same)

    @property
    def vmids(self) -> str:
        """The guests that differ, as an option takes them."""
        return ",".join(str(r.before.vmid) for r in self.rows if not r.same)

    @property
    def line(self) -> str:
        """The line that opens and closes every phase."""
        total = len(self.rows)
        running = [r for r in self.rows if r.before.pid is not None]
        volumes = sum(r.before.volumes for r in self.rows)
        found = sum(r.now.volumes_found for r in self.rows if r.now is not None)
        return " · ".join(
            (
                f"guests {sum(r.runs_on for r in running)}/{len(running)} same pid"
                if running
                else "no guest ran at the start",
                f"nodes {sum(b == n for _, b, n in self.boots)}/{len(self.boots)} same boot",
                f"configs {sum(r.config_same and r.owner_same for r in self.rows)}/{total} same",
                f"volumes {found}/{volumes}",
            )
        )

    def rows_for_journal(self) -> tuple[JournalRow, ...]:
        """Every guest that is not to the letter as it was, before and after; of the others the baseline says all."""
        return tuple(
            JournalRow(
                vmid=r.before.vmid,
                name=r.before.name,
                kind=r.before.kind,
                node=r.before.node,
                pid_before=r.before.pid,
                pid_after=r.now.pid if r.now else None,
                start_before=r.before.start,
                start_after=r.now.start if r.now else None,
                config_before=r.before.config,
                config_after=r.now.config if r.now else None,
                owner_before=r.before.node,
                owner_after=r.now.node if r.now else None,
                volumes_before=r.before.volumes_found,
                volumes_after=r.now.volumes_found if r.now else 0,
                same=r.same,
            )
            for r in self.rows
            if r.now != r.before
        )

    def nodes_for_journal(self) -> tuple[NodeRow, ...]:
        """Every node before and after."""
        return tuple(
            NodeRow(node=node, boot_before=before, boot_after=now, same=before == now)
            for node, before, now in self.boots
        )


def snapshot(
    facts: Iterable[NodeFacts], *, backups_since: Snapshot | None = None, backups_on: Collection[str] = ()
) -> Snapshot:
    """Every guest by its owner. The lock line that a backup puts into a config does not count as a change of it:
    since ``backups_since`` backups may have begun, and on the nodes ``backups_on`` one under way may end later.

    Raises UnknownFact when a node did not say, or two nodes own one guest.
    """
    guests: dict[int, GuestTruth] = {}
    boots: dict[str, str] = {}
    for node in facts:
        boots[node.node] = node.boot_id
        for vmid, truth in node.guest_truths.items():
            if vmid in guests:
                raise UnknownFact(
                    node.node,
                    f"who owns guest {vmid}",
                    f"{guests[vmid].node} and {truth.node} both have its config",
                )
            was = backups_since.guests.get(vmid) if backups_since is not None else None
            config = node.guests[vmid]
            if config.lock == "backup" and (
                node.node in backups_on or (was is not None and config.unlocked == was.config)
            ):
                truth = replace(truth, config=config.unlocked)
            guests[vmid] = truth
    return Snapshot(guests, boots)


def rebased(before: Snapshot, now: Snapshot, accepted: Collection[int]) -> tuple[Snapshot, list[str], list[int]]:
    """What to hold the rest of a run against: ``before``, but for what was lost already and cannot be brought back.

    Every guest of a node that was booted since has the process of ``now``; a guest in ``accepted`` is as it is now, or
    is not looked for where it is gone; a node that is not there any more is not either. Returns the names of the nodes
    that were booted, and the guests that are gone or whose process is another one, too.
    """
    rebooted = [n for n, boot in before.boots.items() if now.boots.get(n, boot) != boot]
    guests, lost = {}, []
    for vmid, was in before.guests.items():
        is_ = now.guests.get(vmid)
        if is_ is None and vmid in accepted:
            lost.append(vmid)
            continue
        guests[vmid] = was
        if is_ is not None and vmid in accepted:
            guests[vmid] = is_
        elif is_ is not None and was.node in rebooted:
            guests[vmid] = replace(was, pid=is_.pid, start=is_.start)
        if was.pid is not None and guests[vmid].pid != was.pid:
            lost.append(vmid)
    return Snapshot(guests, {n: now.boots[n] for n in before.boots if n in now.boots}), rebooted, lost


def resettled(before: Snapshot, now: Snapshot) -> Snapshot:
    """``before`` with the processes and boots of ``now``: what its nodes' guests run as since that run had ended."""
    guests = {
        vmid: replace(was, pid=now.guests[vmid].pid, start=now.guests[vmid].start) if vmid in now.guests else was
        for vmid, was in before.guests.items()
    }
    return Snapshot(guests, {n: now.boots.get(n, boot) for n, boot in before.boots.items()})


def compare(before: Snapshot, now: Snapshot) -> Comparison:
    """Hold ``now`` against ``before``; guests that are new since are not a loss and are left out."""
    rows = tuple(GuestRow(truth, now.guests.get(vmid)) for vmid, truth in sorted(before.guests.items()))
    boots = tuple((node, boot, now.boots.get(node, "unknown")) for node, boot in before.boots.items())
    return Comparison(rows, boots)
