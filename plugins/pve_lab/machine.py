"""A node with what the lab keeps about it: its log, its channels, its transient units."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pve_lab.faults import FaultPlan
from pve_lab.model.node import Node
from pve_lab.reach import Reach


class Running(Protocol):
    """A command line that runs on a node; `blocked`: it hangs, and only a reset ends it."""

    blocked: bool
    reach: Reach

    def kill(self) -> None:
        """Let it end at once; its turn must be held."""


@dataclass
class Site:
    """What all nodes of a lab share; `lock` is the one around the whole model."""

    unsimulated: Path
    lock: threading.RLock = field(default_factory=threading.RLock)
    faults: FaultPlan = field(default_factory=FaultPlan)
    machines: dict[str, Machine] = field(default_factory=dict)


class Machine:
    """One node with all that runs on it; `cut` drops its connections.

    `turn` is the lock around the model, notified when something went on on this node: whoever waits on a node waits for
    what runs there, and would be woken for nothing by all the others.
    """

    def __init__(self, node: Node, log: Path, site: Site, cut: Callable[[], None] = lambda: None) -> None:
        self.log = log
        self.site = site
        self.turn = threading.Condition(site.lock)
        self.cut = cut
        self._log_file = log.open("w", encoding="utf-8")
        self.channels: set[Running] = set()
        self._install(node)
        site.machines[node.name] = self

    def _install(self, node: Node) -> None:
        self.node = node
        node.on_power_cycle.append(self.reset)
        self.opened = 0
        self.units: dict[str, Running] = {}
        self.frozen = False
        self._proc: dict[str, str] = {}
        """What the files of /proc that change by themselves said last."""
        self._shown = -1, -1, Reach.NOTHING
        """Of which state of /etc/pve the interpreter's copy is, and of how much of it."""

    def replace(self, node: Node) -> None:
        """Put another model in place of the node; everything that ran is gone, the log is empty."""
        with self.turn:
            self.reset()
            self._install(node)
            self._log_file.truncate(0)
            self._log_file.seek(0)

    def close(self) -> None:
        """End all channels and close the log."""
        self.reset()
        with self.turn:
            self._log_file.close()

    def reset(self) -> None:
        """The node was reset: its connections are dropped, what ran on it is gone."""
        with self.turn:
            self.cut()
            for running in {*self.channels, *self.units.values()}:  # a unit whose command has ended has no channel left
                running.kill()
            self.turn.notify_all()

    def record(self, argv: list[str], exit_status: int, mutating: bool, channel: int, via: str) -> None:
        """Write one line into the node's log."""
        line = {
            "t": round(self.node.clock.now, 3),
            "argv": argv,
            "exit_status": exit_status,
            "mutating": mutating,
            "channel": channel,
            "via": via,
        }
        if not self._log_file.closed:
            self._log_file.write(json.dumps(line) + "\n")

    def written(self) -> None:
        """See to it that the log's file holds every line: once a command line, not once a command."""
        if not self._log_file.closed:
            self._log_file.flush()

    def unknown(self, what: str) -> None:
        """Note a command that the lab was asked and does not know."""
        with self.site.unsimulated.open("a", encoding="utf-8") as log:
            log.write(f"{self.node.name}: {what}\n")

    def refresh(self) -> None:
        """Bring the interpreter's copy of /etc/pve up to date: as much of it as what runs can see."""
        pmxcfs = self.node.pmxcfs
        state = pmxcfs.database.generation, pmxcfs.members_version
        reach = max((running.reach for running in self.channels), default=Reach.NOTHING)
        if not pmxcfs.mounted:
            self._shown = -1, -1, Reach.NOTHING
        elif reach and ((*state, reach) != self._shown) and not (state == self._shown[:2] and reach < self._shown[2]):
            self._shown = *state, reach
            pmxcfs.refresh(with_guests=reach is Reach.ALL)

    def refresh_proc(self) -> None:
        """Write the files of /proc that change by themselves."""
        files, uptime = self.node.files, self.node.processes.uptime
        mounts = self.node.storages.all_mounts()
        wanted = {
            "/proc/uptime": f"{uptime:.2f} {uptime * 7:.2f}\n",
            "/proc/loadavg": "0.42 0.35 0.30 1/512 4242\n",
            "/proc/mounts": "".join(f"{m.source} {m.target} {m.fstype} {m.options} 0 0\n" for m in mounts),
        }
        for path, text in wanted.items():
            if self._proc.get(path) != text:
                files.put(path, text)
        self._proc = wanted
