"""SIGKILL, a cut line, a frozen node: at every change that is sent, before its effect and after it."""

from __future__ import annotations

from typing import Any

import pytest

PARTS = 8


def points(stage: Any, part: int) -> range:
    """This part of all points: as many as one undisturbed run has changes."""
    stage.set()
    status, said = stage.run()
    assert status == 0, said
    return range(1 + part, stage.control.mutating_count() + 1, PARTS)


def converges(stage: Any, where: str) -> None:
    """The same command line ends the work."""
    status, said = stage.run()
    assert status == 0, f"{where}\n{said[-4000:]}"
    assert stage.not_standalone() == [], where
    assert stage.lost() == [], where
    assert stage.sent_again() == [], where


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_change(stage: Any, when: str, part: int) -> None:
    """The control process gets SIGKILL at every change: after its intent was written, and after its effect."""
    for point in points(stage, part):
        stage.set()
        process = stage.start()
        stage.control.fault("kill", when=when, at=point, pid=process.pid)
        status, said = stage.finish(process)
        fired = stage.control.faults_fired()
        where = f"killed {when} change {point}: {fired}"
        assert fired and status == -9, f"{where}\n{said[-4000:]}"
        assert stage.lost() == [], where
        converges(stage, where)
