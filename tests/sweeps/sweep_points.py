"""At which of a run's changes a sweep strikes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

from sampling import some

PARTS = 2
"""Into how many tests a sweep is divided: one a core."""
STRIDE = 30
"""Every how many points a sample takes: all the sweeps' samples together take ten minutes on two cores."""


WINDOW = [
    ("systemctl", "stop", "pve-cluster.service"),
    ("systemctl", "stop", "corosync.service"),
    ("systemctl", "mask", "--runtime", "pve-cluster.service"),
    ("cp", "-a", "/etc/corosync"),
    ("cp", "-p", "/var/lib/pve-cluster/config.db"),
    ("pmxcfs", "-l"),
    ("rm", "-f", "/etc/pve/corosync.conf"),
    ("rm", "-f", "/etc/corosync/corosync.conf"),
    ("rm", "-rf", "/etc/corosync/qdevice"),
    ("systemctl", "start", "pve-cluster.service"),
    ("systemctl", "unmask", "--runtime", "--no-reload"),
    ("systemctl", "disable", "corosync.service"),
]
"""The window's changes in their order; the authority's window is the only place where it gets them."""

NO_RETURN = WINDOW.index(("systemctl", "start", "pve-cluster.service"))


def some_of(count: int, part: int = 0, parts: int = 1) -> list[int]:
    """This part of the points 1 to ``count``."""
    return some(range(1 + part, count + 1, parts), STRIDE)


def points(stage: Any, part: int, scenario: str = "broken") -> list[int]:
    """This part of the points: out of as many as one undisturbed run has changes."""
    stage.set(scenario)
    status, said = stage.run()
    assert status == 0, said
    return some_of(stage.control.mutating_count(), part, PARTS)


def killed(stage: Any, when: str, point: int, start: Callable[[], subprocess.Popen[str]]) -> tuple[str, list[str]]:
    """A run gets SIGKILL at one of its changes: where that was, and how it ended else."""
    process = start()
    stage.control.fault("kill", when=when, at=point, pid=process.pid)
    status, said = stage.finish(process)
    fired = stage.control.faults_fired()
    where = f"killed {when} change {point}: {fired}"
    return where, [] if fired and status == -9 else [f"{where}: ended with {status}\n{said[-3000:]}"]


def cut_off(stage: Any, when: str, point: int, run: Callable[[], tuple[int, str]]) -> tuple[str, list[str]]:
    """The line is cut at one of a run's changes: where that was, and how the run ended else than with 0."""
    stage.control.fault("cut", when=when, at=point)
    status, said = run()
    fired = stage.control.faults_fired()
    where = f"cut {when} change {point}: {fired}"
    return where, [] if fired and status == 0 else [f"{where}: ended with {status}\n{said[-3000:]}"]
