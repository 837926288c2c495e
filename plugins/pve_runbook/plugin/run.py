"""The state of one run: its nodes, its record's folder, its baseline and its decisions."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pve_runbook.facts.state import NodeState
from pve_runbook.plugin import questions
from pve_runbook.plugin.live import Live
from pve_runbook.plugin.options import RunOptions
from pve_runbook.wire.connection import Connection, ConnectOptions
from pve_runbook.wire.journal import Journal
from pve_runbook.work.cluster import Cluster
from pve_runbook.work.continuity import Comparison, Snapshot, compare, rebased, resettled, snapshot
from pve_runbook.work.guestfacts import GuestTruth
from pve_runbook.work.node import Node
from pve_runbook.work.obstacles import window_obstacle
from pve_runbook.work.readings import UnknownFact, known
from pve_runbook.work.refusal import refusal

if TYPE_CHECKING:
    from pve_runbook.plan.model import Plan
    from pve_runbook.plugin.rehearsal import Rehearsal
    from pve_runbook.plugin.rollback import Rollback
    from pve_runbook.plugin.steps import Step
    from pve_runbook.plugin.unfinished import Unfinished
    from pve_runbook.record.model import Record
    from pve_runbook.work.diagnosis import Diagnosis
    from pve_runbook.work.procedure import Stage

EARLIER_SECONDS = 200
"""The longest that one of our own commands may take."""


class Run:
    """One run over a set of nodes. Created at collection, opened before the first step."""

    def __init__(self, config: pytest.Config, options: RunOptions) -> None:
        self.config = config
        self.options = options
        now = datetime.now(UTC)
        self.started = now
        self.id = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
        self.journal = Journal()
        self.cluster_name = "standalone"
        self.folder: Path | None = None
        self.first_baseline: Snapshot | None = None
        """Before the first change of all attempts: what the survival proof is held against."""
        self.baseline: Snapshot | None = None
        """What the rest of this run is held against: the first, but for what was lost already."""
        self.rebooted: list[str] = []
        self.lost_guests: list[int] = []
        """Guests whose process is not the first baseline's: their node was rebooted, or they were accepted."""
        self.scheduled: frozenset[str] = frozenset()
        """Nodes whose schedulers ran at the first baseline."""
        self.quorate: frozenset[str] = frozenset()
        """Nodes that had quorum at the first baseline."""
        self.last_comparison: Comparison | None = None
        self.diagnosis: Diagnosis | None = None
        """What is to be done about the cluster, once checks/ have judged it."""
        self.authority: Node | None = None
        self.foreseen_authority: str | None = None
        """The node that a plan takes for the authority, before phase 1 has chosen."""
        self.steps: list[pytest.Item] = []
        """The steps that will run, in their order."""
        self.code: dict[str, str] = {}
        """Source file → SHA-256 of what decides what is sent, as first looked at: what runs does not change then."""
        self.approved: Plan | None = None
        """The plan of what was left when the operator last said yes."""
        self.plan_text = ""
        """What --plan has found, in words."""
        self.plan_ended = False
        """Whether a plan has come to where a run would ask before its first change."""
        self.network: dict[str, dict[str, str]] = {}
        """Node name → file → SHA-256, as at the baseline."""
        self.hostnames: dict[str, str] = {}
        """Name in --hosts → the node's own name."""
        self.clusters: dict[str, str] = {}
        """Node name → name of the cluster it is or was a member of."""
        self.unfinished: Unfinished | None = None
        """The run that this one takes up, or rolls back."""
        self.rollback = _rollback(options.rollback) if options.rollback is not None else None
        self.rehearsal: Rehearsal | None = None
        """The twin that this run is made on, in place of the nodes."""
        self.held = ""
        """Why these nodes are not free, in words."""
        self.member_names: tuple[str, ...] = ()
        """The members by corosync.conf, or by themselves once there is none."""
        self.standalone_at_start: frozenset[str] = frozenset()
        self.complete = True
        """Whether the selection is the whole runbook."""
        self.refused = False
        """Whether the collection was refused already: what is wrong was said then."""
        self.deselected: list[str] = []
        self.judged: dict[tuple[int | None, str], str] = {}
        """Phase and title of a gate → the first outcome but passed that it had on a node."""
        self.counts: Counter[str] = Counter()
        """How many steps ended how."""
        self.first: dict[str, str] = {}
        """The first step that ended so, in words."""
        self.stopped_at: str | None = None
        """The first step that did not pass, in words."""
        self.asked_for = ""
        """The last line of what that step said: what to do."""
        self.stopped_by: str | None = None
        """Its id."""
        self.unreached: tuple[str, ...] = ()
        """Nodes that checks/ went on without: they could not be connected to."""
        self.connect = ConnectOptions()
        """How the nodes were logged in to."""
        self.begun: Sequence[Connection] = ()
        """Connections that were on their way before the checks were collected."""
        self.done: set[tuple[Stage, str]] = set()
        """The stages of the procedure that are done, each with the node's name."""
        self.thawed = False
        """Whether the schedulers were told to run again."""
        self.interrupted_guests: list[int] = []
        """Guests whose process was not seen, or was another one, while a window lasted."""
        self.left: list[str] = []
        """What is still frozen, or left for the operator."""
        self.shown_module: str | None = None
        self.blocked_shown = False
        self.phase_is_open = False
        """Whether the terminal owes the last line of a phase."""
        self.verbosity = 0
        """1: the commands are shown as they run; 2: their output too."""
        self.live: Live | None = None
        """What the operator sees while a step goes on."""
        self._cluster: Cluster | None = None
        self._record: tuple[str, Record] | None = None
        """The record that was made last, and the journal's head at that time."""

    def leave(self, text: str, node: str | None = None) -> None:
        """Note something that the operator has to do afterwards; it closes the terminal's output too."""
        self.left.append(f"{node}: {text}" if node else text)
        self.journal.write("note", topic="left", text=text, node=node)

    def note(self, topic: str, text: str, node: str | None = None) -> None:
        """Put a decision or a finding into the record."""
        self.journal.write("note", topic=topic, text=text, node=node)

    def count(self, step: Step) -> None:
        """Count one step that ended."""
        self.counts[step.outcome] += 1
        self.first.setdefault(step.outcome, step.title)
        if self.judged.get((step.phase, step.title), "passed") == "passed":
            self.judged[step.phase, step.title] = step.outcome
        if step.outcome in ("failed", "unknown") and self.stopped_at is None:
            self.stopped_at, self.stopped_by = step.title, step.item.nodeid
            self.asked_for = step.message.rpartition("\n")[2]

    @property
    def is_open(self) -> bool:
        """Whether the nodes are connected."""
        return self._cluster is not None

    @property
    def cluster(self) -> Cluster:
        """The nodes. Only after :meth:`attach`."""
        assert self._cluster is not None, "the run is not open yet"
        return self._cluster

    @property
    def peers(self) -> list[Node]:
        """Every node but the authority."""
        return [n for n in self.cluster.nodes if n is not self.authority]

    @property
    def leaving(self) -> list[Node]:
        """The nodes in the order in which they leave: the authority last."""
        return self.peers + ([self.authority] if self.authority is not None else [])

    def attach(self, cluster: Cluster, connect: ConnectOptions) -> None:
        """Work on ``cluster``, logged in to as ``connect`` says."""
        self._cluster = cluster
        self.connect = connect

    def close(self) -> None:
        """Close the connections and the journal."""
        if self._cluster is not None:
            self._cluster.close()
        self.journal.close()

    def take_baseline(self) -> None:
        """Write every guest and node down as they are; what an unfinished run took is what counts.

        What was lost since then (a node was rebooted, a guest was accepted as changed) cannot be brought back: the rest
        of the run is held against what is there now, and the record and the verdict name it.
        """
        now = snapshot(n.facts for n in self.cluster.nodes)
        if self.first_baseline is None:
            self.first_baseline = now
            self.network = {n.name: dict(n.facts.network_files) for n in self.cluster.nodes}
            self.scheduled = frozenset(n.name for n in self.cluster.nodes if n.facts.scheduler_runs)
            quorate = [n.name for n in self.cluster.nodes if known(lambda f=n.facts: f.is_quorate)]  # type: ignore[misc]
            self.quorate = frozenset(quorate)
        elif self.rollback is not None and self.rollback.had_ended:
            self.first_baseline = resettled(self.first_baseline, now)
        self.baseline, self.rebooted, self.lost_guests = rebased(self.first_baseline, now, self.options.accept_changed)
        for node in self.rebooted:
            self.note("reboot", "rebooted since the first baseline: its guests' processes are new", node)
        for vmid in sorted(self.options.accept_changed):
            self.note("accepted", f"guest {vmid} is accepted as it is now, by --accept-changed")
        self.journal.write(
            "baseline",
            sync=True,
            **self.first_baseline.for_journal(),
            network=self.network,
            members=list(self.member_names),
            clusters=self.clusters,
            standalone=sorted(self.standalone_at_start),
            scheduled=sorted(self.scheduled),
            quorate=sorted(self.quorate),
        )

    def losses(self, phase: int, *, backups_may_run: bool = False) -> str:
        """Hold everything against the baseline and record it; what was lost, in words, or "". Raises UnknownFact."""
        assert self.baseline is not None and self.first_baseline is not None
        since = self.baseline if backups_may_run else None
        now = snapshot((n.facts for n in self.cluster.nodes), backups_since=since)
        found = self.last_comparison = compare(self.baseline, now)
        shown = compare(self.first_baseline, now)
        self.journal.write(
            "continuity",
            phase=phase,
            label=f"at the end of phase {phase}",
            guests=len(shown.rows),
            rows=shown.rows_for_journal(),
            nodes=shown.nodes_for_journal(),
        )
        self.journal.write("phase-line", phase=phase, text=found.line)
        if not found.problems:
            return ""
        return refusal(
            "cluster",
            seen="; ".join(found.problems),
            why="every guest must keep its process, config, owner and volumes through the whole run",
            do=f"Look at the guest first; to go on without it: --accept-changed={found.vmids or 'VMID'}",
        )

    def sample(self) -> None:
        """Look at every guest's process on every node, while a window lasts; what is missing is remembered."""
        assert self.baseline is not None
        expected: dict[str, dict[int, GuestTruth]] = {}
        for guest in self.baseline.guests.values():
            if guest.pid is not None:
                expected.setdefault(guest.node, {})[guest.pid] = guest
        watched = [n for n in self.cluster.nodes if self.hostname_of(n) in expected]
        seen = self.cluster.each(lambda n: (self.hostname_of(n), n.starts(expected[self.hostname_of(n)])), watched)
        answered = {name: starts for name, starts in seen if starts is not None}
        gone = []
        for name, starts in answered.items():
            gone += [g.vmid for pid, g in expected[name].items() if pid not in starts or starts[pid] != g.start]
        running = sum(len(expected[name]) for name in answered) - len(gone)
        self.journal.write("sample", nodes=sorted(answered), running=running, gone=gone)
        self.interrupted_guests += [vmid for vmid in gone if vmid not in self.interrupted_guests]

    def hostname_of(self, node: Node) -> str:
        """The node's own name, under which it owns guests."""
        return self.hostnames.get(node.name, node.name)

    def guests_of(self, hostname: str) -> set[int]:
        """The guests that a node owned at the baseline."""
        assert self.baseline is not None
        return {v for v, g in self.baseline.guests.items() if g.node == hostname}

    def settle(self, node: Node) -> None:
        """Give a node a few seconds to be in one state: mode and text differ for a moment when quorum changes."""
        with contextlib.suppress(UnknownFact):
            self.cluster.wait_until(
                node, lambda f: f.state is not NodeState.UNKNOWN, "whether its state settles", seconds=10
            )

    def wait_for_earlier(self, node: Node) -> None:
        """Give a command of an earlier run, sent before its line was lost, the time to end."""
        with contextlib.suppress(UnknownFact):
            self.cluster.wait_until(node, lambda f: not f.our_units, "whether it ends", seconds=EARLIER_SECONDS)

    def unmounts(self, node: Node) -> bool:
        """Whether this run takes /etc/pve from the node for a moment. Raises UnknownFact."""
        if self.rollback is not None:
            return self.rollback.restores(node)
        return node.facts.state is not NodeState.STANDALONE

    def obstacle(self, leaver: Node) -> str:
        """What forbids the window of ``leaver`` now, in words, or "". Raises UnknownFact."""
        return window_obstacle(leaver, self.cluster.nodes, self.authority, self.network.get(leaver.name, {}))

    def forget_key(self) -> None:
        """Delete the private keys of the second way in, this run's and those of the runs it took up."""
        folders = [self.folder, *(self.unfinished.folders if self.unfinished is not None else ())]
        for folder in folders:
            if folder is not None:
                shutil.rmtree(folder / "access", ignore_errors=True)

    @property
    def logs_in_as_root(self) -> bool:
        """Whether the SSH login itself is root's, whose keys are a link into /etc/pve."""
        return not self.connect.sudo

    def freeze_text(self) -> str:
        """The question before the first change."""
        running = sum(g.pid is not None for g in self.baseline.guests.values()) if self.baseline else 0
        return questions.freeze(self.cluster_name, self.cluster.nodes, running, f"{self.folder}/backups")

    def quorum_text(self) -> str:
        """The question before quorum is forced."""
        assert self.authority is not None
        return questions.quorum(self.authority, self.peers, self.cluster.nodes)

    def window_text(self, leaver: Node) -> str:
        """The question before a node leaves."""
        return questions.window(leaver, self.cluster.work, leaver is self.authority)

    def thaw_text(self, jobs: dict[str, list[str]]) -> str:
        """The question before the schedulers run again."""
        return questions.thaw(jobs)

    def list_what_is_left(self) -> list[str]:
        """Note what the operator has to do afterwards, and return it. Raises UnknownFact."""
        events = (*self.journal.events, *(self.unfinished.events if self.unfinished is not None else ()))
        for node, text in questions.what_is_left(self.cluster.nodes, self.cluster.work, self.options.absent, events):
            self.leave(text, node)
        return self.left

    @property
    def changed_something(self) -> bool:
        """Whether a command was sent, by this run or the one it took up, that changes more than our own folder."""
        own = any(e["kind"] == "action-intent" and e["detached"] for e in self.journal.events)
        taken_up = self.unfinished is not None and self.rollback is None and self.unfinished.changed_something
        return own or taken_up

    def record(self) -> Record:
        """The change record as far as it goes."""
        if self._record is None or self._record[0] != self.journal.head:
            from pve_runbook.record.model import build

            self._record = self.journal.head, build(self.journal.events)
        return self._record[1]


def _rollback(folder: Path) -> Rollback:
    from pve_runbook.plugin.rollback import Rollback

    return Rollback(folder)


RUN = pytest.StashKey[Run]()
"""Where the config keeps the run."""
