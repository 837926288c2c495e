"""The system lab: real OpenSSH, systemd, corosync and QEMU, as root on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pve_runbook.syslab import truth
from pve_runbook.syslab.cluster import SystemLab, alone, missing
from pve_runbook.syslab.scenarios import SCENARIOS

PROJECT = Path(__file__).parents[2]
REQUIRED = "PVE_RUNBOOK_SYSLAB_REQUIRED"
"""Set where the lab must work: a machine that cannot have one is a failure then, not a skip."""
BOUND = 900
"""Seconds that one run may take on a loaded machine."""


class Stage:
    """A system lab of some size, and pytest against it."""

    def __init__(self, lab: SystemLab, records: Path) -> None:
        self.lab = lab
        self._records = records
        self._point = 0
        self.before: dict[int, truth.GuestProcess] = {}

    @property
    def records(self) -> Path:
        """Where the records of this state's runs are."""
        return self._records / str(self._point)

    def set(self, scenario: str) -> None:
        """A starting state, with all guests of the inventory running."""
        self._point += 1
        self.lab.reset()
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
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
        )

    def run(self, suite: str, *more: str) -> tuple[int, str]:
        """Run checks/ or runbook/ to its end: exit status and what it said."""
        process = self.start(suite, *more)
        said, _ = process.communicate(timeout=BOUND)
        return process.returncode, said


class Stages:
    """One lab at a time, of the size that is asked for."""

    def __init__(self, records: Path) -> None:
        self._records = records
        self._stage: Stage | None = None

    def of(self, nodes: int) -> Stage:
        """A lab of so many nodes."""
        if self._stage is None or len(self._stage.lab.nodes) != nodes:
            self.end()
            self._stage = Stage(SystemLab.up(nodes), self._records / str(nodes))
        return self._stage

    def end(self) -> None:
        """The lab is ended."""
        if self._stage is not None:
            self._stage.lab.down()
        self._stage = None


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    """Labs of any size, one at a time."""
    why_not = missing()
    if why_not is not None:
        if os.environ.get(REQUIRED):
            pytest.fail(why_not)
        pytest.skip(why_not)
    with alone():
        found = Stages(tmp_path_factory.mktemp("records"))
        try:
            yield found
        finally:
            found.end()


@pytest.fixture
def stage(stages: Stages) -> Stage:
    """A lab of three nodes."""
    return stages.of(3)
