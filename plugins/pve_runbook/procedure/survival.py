"""The proof that every guest ran on: the baseline, what is held against it, and the looks while a window lasts."""

from __future__ import annotations

from pve_runbook.cluster.node import Node
from pve_runbook.diagnosis.refusals_network import live_network_changed
from pve_runbook.facts.continuity import Comparison, Snapshot, compare, rebased, resettled, snapshot, snapshot_of
from pve_runbook.facts.live_network import Live, changes, live_network
from pve_runbook.journal import events
from pve_runbook.journal.rows import GuestTruth
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import known
from pve_runbook.procedure.members import Members
from pve_runbook.procedure.notes import Notes
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal


class Survival:
    """What the guests and the nodes were before the first change, and whether they still are."""

    def __init__(self, members: Members, notes: Notes) -> None:
        self._members = members
        self._notes = notes
        self.first: Snapshot | None = None
        """Before the first change of all attempts: what the survival proof is held against."""
        self._held: Snapshot | None = None
        self.network: dict[str, dict[str, str]] = {}
        """Node name → file → SHA-256, as at the baseline."""
        self.live: dict[str, Live] = {}
        """Node name → its network as it lives, as this run found it: one that is taken up takes it anew."""
        self.scheduled: frozenset[str] = frozenset()
        """Nodes whose schedulers ran at the first baseline."""
        self.quorate: frozenset[str] = frozenset()
        """Nodes that had quorum at the first baseline."""
        self.rebooted: list[str] = []
        self.lost_guests: list[int] = []
        """Guests whose process is not the first baseline's: their node was rebooted, or they were accepted."""
        self.interrupted: list[int] = []
        """Guests whose process was not seen, or was another one, while a window lasted."""
        self.last: Comparison | None = None

    @property
    def baseline(self) -> Snapshot:
        """What the rest of this run is held against: the first, but for what was lost already. Once it was taken."""
        assert self._held is not None, "the baseline is taken before anything is held against it"
        return self._held

    @property
    def is_taken(self) -> bool:
        """Whether there is a baseline."""
        return self._held is not None

    @property
    def running(self) -> int:
        """How many guests ran at the baseline; 0 before there is one."""
        return sum(g.pid is not None for g in self._held.guests.values()) if self._held is not None else 0

    @property
    def line(self) -> str:
        """Every guest, node, config and volume against the baseline, as last compared; what came after it is said."""
        if self.last is None:
            return "guests, nodes, configs, volumes: not compared yet, phase 0 takes the baseline"
        entries = reversed(self._notes.journal.events)
        last = next(e for e in entries if isinstance(e.event, events.Continuity) or events.changes_the_node(e))
        since = "" if isinstance(last.event, events.Continuity) else " (compared before the last change)"
        return f"{self.last.line}{since}"

    def as_before(self, found: events.Baseline) -> None:
        """Take the baseline of an unfinished run: it is the one that counts."""
        self.first, self.network = snapshot_of(found), {node: dict(files) for node, files in found.network.items()}
        self.scheduled, self.quorate = frozenset(found.scheduled), frozenset(found.quorate)

    def take(self, accepted: frozenset[int], *, had_ended: bool = False) -> None:
        """Write every guest and node down as they are; what an unfinished run took is what counts.

        What was lost since then (a node was rebooted, a guest was ``accepted`` as changed) cannot be brought back: the
        rest of the run is held against what is there now, and the record and the verdict name it. ``had_ended``: the
        run that is rolled back had given its nodes back, their owners may have restarted guests.
        """
        nodes = self._members.cluster.nodes
        now = snapshot((n.facts for n in nodes), backups_on=[n.name for n in self._members.staying])
        self.live = {n.name: live_network(n.facts.get(probes.ADDRESSES)) for n in nodes}
        if self.first is None:
            self.first = now
            self.network = {n.name: dict(n.facts.network_files) for n in nodes}
            self.scheduled = frozenset(n.name for n in nodes if n.facts.own_scheduler_runs)
            quorate = [n.name for n in nodes if known(lambda f=n.facts: f.is_quorate)]  # type: ignore[misc]
            self.quorate = frozenset(quorate)
        elif had_ended:
            self.first = resettled(self.first, now)
        self._held, self.rebooted, self.lost_guests = rebased(self.first, now, accepted)
        for node in self.rebooted:
            self._notes.note("reboot", "rebooted since the first baseline: its guests' processes are new", node)
        for node in sorted(self.first.boots.keys() - now.boots.keys()):
            self._notes.note("accepted", "it was there at the first baseline, and is powered off by --absent", node)
        for vmid in sorted(accepted):
            how = "as it is now" if vmid in now.guests else "as gone"
            self._notes.note("accepted", f"guest {vmid} is accepted {how}, by --accept-changed")
        self._notes.journal.write(
            events.Baseline(
                guests=tuple(self.first.guests.values()),
                boots=self.first.boots,
                network=self.network,
                members=self._members.names,
                clusters=self._members.clusters,
                standalone=tuple(sorted(self._members.standalone_at_start)),
                scheduled=tuple(sorted(self.scheduled)),
                quorate=tuple(sorted(self.quorate)),
                leaving=self._members.leave,
            ),
            sync=True,
        )

    def losses(self, phase: int, *, backups_may_run: bool = False, label: str = "") -> str:
        """Hold everything against the baseline and record it; what was lost, in words, or "". Raises UnknownFact.

        ``label``: when that was, in words; without it, at the end of the phase."""
        assert self.first is not None
        # Those that stay a cluster (--leave) were not frozen: their backups go on.
        since = self.baseline if backups_may_run or self._members.staying else None
        now = snapshot((n.facts for n in self._members.cluster.nodes), backups_since=since)
        found = self.last = compare(self.baseline, now)
        shown = compare(self.first, now)
        journal = self._notes.journal
        journal.write(
            events.Continuity(
                phase=phase,
                label=label or f"at the end of phase {phase}",
                guests=len(shown.rows),
                rows=shown.rows_for_journal(),
                nodes=shown.nodes_for_journal(),
            )
        )
        journal.write(events.PhaseLine(phase=phase, text=found.line))
        if not found.problems:
            return ""
        return refusal(
            RefusalId.GUESTS_WERE_LOST,
            "cluster",
            seen="; ".join(found.problems),
            why="every guest must keep its process, config, owner and volumes through the whole run",
            do=f"Look at the guest first; to go on without it: --accept-changed={found.vmids or 'VMID'}",
        )

    def sample(self) -> None:
        """Look at every guest's process on every node, while a window lasts; what is missing is remembered."""
        expected: dict[str, dict[int, GuestTruth]] = {}
        for guest in self.baseline.guests.values():
            if guest.pid is not None:
                expected.setdefault(guest.node, {})[guest.pid] = guest
        cluster, name_of = self._members.cluster, self._members.hostname_of
        watched = [n for n in cluster.nodes if name_of(n) in expected]
        seen = cluster.each(lambda n: (name_of(n), n.starts(expected[name_of(n)])), watched)
        answered = {name: starts for name, starts in seen if starts is not None}
        gone = []
        for name, starts in answered.items():
            gone += [g.vmid for pid, g in expected[name].items() if pid not in starts or starts[pid] != g.start]
        running = sum(len(expected[name]) for name in answered) - len(gone)
        self._notes.journal.write(events.Sample(nodes=tuple(sorted(answered)), running=running, gone=tuple(gone)))
        self.interrupted += [vmid for vmid in gone if vmid not in self.interrupted]

    def guests_of(self, hostname: str) -> set[int]:
        """The guests that a node owned at the baseline, by its own name."""
        return {v for v, g in self.baseline.guests.items() if g.node == hostname}

    def network_lost(self, node: Node) -> str:
        """Hold the node's network, as it lives, against how this run found it; what changed, in words, or "".

        The port of a guest counts while its process is the baseline's. Raises UnknownFact."""
        facts, was = node.facts, self.baseline.guests
        running = {v for v, pid in facts.running.items() if v in was and was[v].pid == pid}
        found = changes(self.live[node.name], live_network(facts.get(probes.ADDRESSES)), running)
        return live_network_changed(node.name, found) if found else ""

    def network_of(self, node: Node) -> dict[str, str]:
        """File of the network → SHA-256, as at the baseline."""
        return self.network.get(node.name, {})
