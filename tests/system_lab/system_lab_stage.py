"""A system lab on a stage: starting states, runs against it, and its guests as this machine sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from environment import as_typed
from pve_system_lab import truth
from pve_system_lab.cluster import SystemLab
from pve_system_lab.container import Container
from pve_system_lab.scenarios import SCENARIOS

PROJECT = Path(__file__).parents[2]
BOUND = 900
"""Seconds that one run may take on a loaded machine."""


class Stage:
    """A system lab of some size, and pytest against it."""

    def __init__(self, lab: SystemLab, records: Path) -> None:
        self.lab = lab
        self._records = records
        self._point = 0
        self._fresh = True
        self.before: dict[int, truth.GuestProcess] = {}

    @property
    def records(self) -> Path:
        """Where the records of this state's runs are."""
        return self._records / str(self._point)

    def set(self, scenario: str) -> None:
        """A starting state, with all guests of the inventory running."""
        self._point += 1
        if not self._fresh:
            self.lab.reset()
        self._fresh = False
        self.before = self.guests()
        SCENARIOS[scenario].shape(self.lab)
        assert self.guests() == self.before

    def guests(self) -> dict[int, truth.GuestProcess]:
        """The guests' processes as this machine sees them."""
        return truth.guests(list(self.lab.each()))

    def start(self, suite: str, *more: str) -> subprocess.Popen[str]:
        """Start checks/ or runbook/."""
        options = self.lab.options.split()
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", suite, "-p", "no:cacheprovider", *options),
                *(f"--records={self.records}", *more),
            ],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=as_typed(),
        )

    def run(self, suite: str, *more: str) -> tuple[int, str]:
        """Run checks/ or runbook/ to its end: exit status and what it said."""
        process = self.start(suite, *more)
        said, _ = process.communicate(timeout=BOUND)
        return process.returncode, said


class Stages:
    """One lab at a time, of the size and the release that are asked for."""

    def __init__(self, records: Path) -> None:
        self._records = records
        self._begun = 0
        self._stage: Stage | None = None

    def of(self, nodes: int, pve: int = 8) -> Stage:
        """A lab of so many nodes, which stand for that release of PVE."""
        if self._stage is None or (len(self._stage.lab.nodes), self._stage.lab.pve) != (nodes, pve):
            self.end()
            self._begun += 1
            self._stage = Stage(SystemLab.up(nodes, pve=pve), self._records / f"{self._begun}-of-{nodes}")
        return self._stage

    def end(self) -> None:
        """The lab is ended."""
        if self._stage is not None:
            self._stage.lab.down()
        self._stage = None


def standalone(container: Container) -> bool:
    """Whether the node is what it should be in the end, by its own files and processes."""
    mode = container.says("stat", "-c", "%a", "/etc/pve/local").strip()
    conf = container.run("test", "-e", "/etc/pve/corosync.conf").returncode
    corosync = container.run("pgrep", "-x", "corosync").returncode
    kept = container.says("ls", "-A", "/etc/corosync").split()
    return (mode, conf, corosync) == ("755", 1, 1) and set(kept) <= {"uidgid.d"}


def ended(stage: Stage, run: subprocess.Popen[str], *rebooted: str) -> str:
    """The run that was started has ended the work; guests of nodes that were not reset are the same processes. What it
    said."""
    said, _ = run.communicate(timeout=BOUND)
    assert run.returncode == 0, said[-4000:]
    assert [c.node.name for c in stage.lab.each() if not standalone(c)] == []
    before = {v: p for v, p in stage.before.items() if p.node not in rebooted}
    assert {v: p for v, p in stage.guests().items() if p.node not in rebooted} == before
    return said


def ends(stage: Stage, *rebooted: str) -> str:
    """The command line ends the work, as above."""
    return ended(stage, stage.start("runbook/", "--approve=all"), *rebooted)
