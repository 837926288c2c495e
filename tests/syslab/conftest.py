"""The system lab: real OpenSSH, systemd, corosync and QEMU, as root on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
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


@pytest.fixture(scope="module")
def make_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Stage]]:
    """Makes a lab of some nodes, ended with the module; one at a time."""
    why_not = missing()
    if why_not is not None:
        if os.environ.get(REQUIRED):
            pytest.fail(why_not)
        pytest.skip(why_not)
    with ExitStack() as stack:
        stack.enter_context(alone())
        made: list[SystemLab] = []

        def make(nodes: int) -> Stage:
            if made:
                made.pop().down()
            made.append(SystemLab.up(nodes))
            return Stage(made[0], tmp_path_factory.mktemp("records"))

        stack.callback(lambda: [lab.down() for lab in made])
        yield make


@pytest.fixture(scope="module")
def stage(make_stage: Callable[[int], Stage]) -> Stage:
    """A lab of three nodes."""
    return make_stage(3)
