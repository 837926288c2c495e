"""SIGKILL, a cut line, a frozen node: at every change that is sent, before its effect and after it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sampling import EVERYTHING
from sweep_points import PARTS, cut_off, killed, points

pytestmark = pytest.mark.sweep


READS = 8
"""How many of the run's round trips are tried."""


def ended_well(stage: Any) -> list[str]:
    """What is not as a run that ended with 0 leaves it."""
    standalone = [f"not standalone: {n}" for n in stage.not_standalone()]
    return standalone + stage.lost() + stage.sent_again() + stage.not_thawed()


def converges(stage: Any, where: str) -> list[str]:
    """The same command line ends the work; what did not hold."""
    status, said = stage.run()
    if status != 0:
        return [f"{where}: the next run ended with {status}\n{said[-3000:]}"]
    return [f"{where}: {w}" for w in ended_well(stage)]


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_change(stage: Any, when: str, part: int) -> None:
    """The control process gets SIGKILL at every change: after its intent was written, and after its effect."""
    wrong = []
    for point in points(stage, part):
        stage.set()
        where, otherwise = killed(stage, when, point, stage.start)
        wrong += otherwise + converges(stage, where)
    assert not wrong, "\n".join(wrong)


def test_killed_at_some_reads(stage: Any) -> None:
    """The control process gets SIGKILL while it only reads, at a seeded sample of the round trips."""
    stage.set()
    status, said = stage.run()
    assert status == 0, said
    wrong, killed = [], 0
    for point in sorted(random.Random(2026).sample(range(1, stage.control.read_count() + 1), READS)):
        stage.set()
        process = stage.start()
        stage.control.fault("kill", at_read=point, pid=process.pid)
        status, said = stage.finish(process)
        fired = stage.control.faults_fired()
        where = f"killed at read {point}: {fired}"
        # How often a node is asked whether it is there yet differs from run to run: a late point may not be reached.
        if status != (-9 if fired else 0):
            wrong.append(f"{where}: ended with {status}\n{said[-3000:]}")
        killed += bool(fired)
        wrong += converges(stage, where)
    assert not wrong, "\n".join(wrong)
    assert killed >= READS - 2


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("when", ["before", "after"])
def test_cut_off_at_every_change(stage: Any, when: str, part: int) -> None:
    """The SSH connection is cut at every change: it comes back, what was under way is settled, the run ends well."""
    wrong = []
    for point in points(stage, part):
        stage.set()
        where, otherwise = cut_off(stage, when, point, stage.run)
        wrong += otherwise + [f"{where}: {w}" for w in ended_well(stage)]
    assert not wrong, "\n".join(wrong)


def test_frozen_at_some_changes(stage: Any) -> None:
    """A node accepts and never answers any more: one bound is waited for, then a clear stop; thawed, it converges."""
    stage.set()
    status, said = stage.run()
    assert status == 0, said
    count = stage.control.mutating_count()
    wrong = []
    for point in sorted(random.Random(2026).sample(range(1, count + 1), count if EVERYTHING else 3)):
        stage.set()
        stage.control.fault("freeze", when="after", at=point)
        status, said = stage.run("-o", "pve_timeout_scale=0.05")
        fired = stage.control.faults_fired()
        where = f"frozen at change {point}: {fired}"
        if not fired or status != 3:
            wrong.append(f"{where}: ended with {status}\n{said[-3000:]}")
        stage.control.thaw(fired[0].node)
        wrong += converges(stage, where)
    assert not wrong, "\n".join(wrong)
