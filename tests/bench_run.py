"""The nodes of a run without a process or a port: the tool's own cluster, and a node of the lab's model at the other
end of every line."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from lab_bench import Bench
from lab_wire import LabConnection
from pve_runbook.cluster.cluster import Cluster
from pve_runbook.cluster.node import Node
from pve_runbook.journal.journal import Journal
from pve_runbook.plugin.perform import Performer
from pve_runbook.probes import allow_list
from pve_runbook.probes.probe import CHECKED, JUDGED
from pve_runbook.procedure import planning, stages
from pve_runbook.procedure.members import Members
from pve_runbook.procedure.notes import Notes
from pve_runbook.procedure.rollback import Rollback
from pve_runbook.procedure.survival import Survival
from pve_runbook.procedure.work import Work
from pve_runbook.ssh.connection import ConnectOptions
from pve_runbook.ssh.hosts import parse_hosts

RUNBOOK = Path(__file__).parents[1] / "runbook"
RUN = "20260101T000000Z-beef"
FROZEN = (
    "systemctl stop pvescheduler; systemctl mask --runtime pvescheduler; rm -f /etc/cron.d/vzdump; "
    "systemctl stop pve-ha-lrm; systemctl disable pve-ha-lrm; systemctl stop pve-ha-crm; systemctl disable pve-ha-crm"
)
SILENT = "systemctl stop corosync; systemctl mask --runtime corosync"
FORCED = "pvecm expected 1"


class BenchRun:
    """A run on the nodes of a bench: ``cluster``, ``members``, ``survival``, and ``perform`` for its stages."""

    def __init__(
        self,
        bench: Bench,
        folder: Path,
        attempt: str = RUN,
        *,
        read_only: bool = False,
        activate_storage: bool = False,
    ) -> None:
        self.bench = bench
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True)
        targets, options = parse_hosts(list(bench.cluster.nodes)), ConnectOptions()
        self.journal = Journal()
        self.journal.attach(folder / "journal.jsonl")
        known = allow_list.of_a_reading_run(activate_storage=activate_storage) if read_only else None
        wired = replace(options, known=known)
        begun = [LabConnection(t, wired, bench.machines[t.name], {}) for t in targets]
        self.cluster = Cluster(
            targets,
            options,
            self.journal,
            read_only=read_only,
            attempt=attempt,
            activate_storage=activate_storage,
            begun=begun,
        )
        self.members = Members(self.cluster, options)
        self.members.learn(CHECKED if read_only else JUDGED)
        self.notes = Notes(self.journal)
        self.survival = Survival(self.members, self.notes)
        self.perform = Performer(self.cluster, self.notes, self.work)
        self.back: Rollback | None = None
        self.lock = f"run={attempt};by=me@here;since=2026-01-01T00:00:00Z;record={folder.name}"

    def work(self) -> Work:
        """What the decisions need to know of this run."""
        authority = self.members.authority
        return Work(
            cluster=self.members.cluster_name,
            run=self.cluster.work,
            attempt=self.cluster.attempt,
            lock=self.lock,
            canary_ids=None,
            tag=self.cluster.attempt[-4:],
            key=planning.KEY,
            card=b"card",
            backups=self.cluster.work,
            held_as=self.cluster.work,
            keeps_backups=False,
            members=self.members.names,
            authority=authority.name if authority is not None else None,
            standalone_at_start=self.members.standalone_at_start,
            scheduled=self.survival.scheduled,
            root_login=False,
            back=self.back.members(self.cluster.nodes) if self.back is not None else None,
        )

    def freeze(self, authority: str) -> None:
        """As phase 2 leaves the nodes, typed by hand, which takes a moment only: baseline, lock, schedulers and HA off,
        the peers silent, quorum forced. There are no backups."""
        self.survival.take(frozenset())
        self.perform(stages.LOCKED)
        self.members.authority = self.cluster.node(authority)
        for node in self.members.leaving:
            is_peer = node is not self.members.authority
            said = self.bench.run(node.name, f"{FROZEN}; {SILENT if is_peer else FORCED}")
            assert said.exit_status == 0, said
        self.cluster.forget()

    def leave(self, node: Node) -> None:
        """The window of one node, as phase 4 has it run."""
        fixture("left_cluster")(self.perform, self.survival, self.members, node, self.cluster)

    def close(self) -> None:
        """End it."""
        self.cluster.close()
        self.journal.close()


MakeRun = Callable[..., BenchRun]
"""Builds runs: a starting state and how many nodes, or the bench that another run is on."""


def runs(folder: Path) -> Iterator[MakeRun]:
    """A fixture's body: what builds runs, each ends with the test; none may ask what the model does not simulate."""
    benches: list[Bench] = []
    made: list[BenchRun] = []

    def make(on: str | Bench = "broken", number: int = 3, **more: Any) -> BenchRun:
        if isinstance(on, str):
            directory = folder / f"lab{len(benches)}"
            directory.mkdir()
            on = Bench(directory, on, number)
            benches.append(on)
        made.append(BenchRun(on, folder / "records" / f"run{len(made)}", **more))
        return made[-1]

    yield make
    for run in made:
        run.close()
    for bench in benches:
        bench.close()
    assert "".join(bench.unsimulated() for bench in benches) == ""


def phase(name: str) -> ModuleType:
    """A module of runbook/, whose steps are called as pytest would call them."""
    return _module(f"test_{name}")


def fixture(name: str, of: str = "conftest") -> Callable[..., Any]:
    """What an action fixture of runbook/ does, called with what it asks for."""
    return inspect.unwrap(getattr(_module(of), name))


@cache
def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"runbook_{name}", RUNBOOK / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
