"""Inside the window: every command fails once, and the node is reset at every change."""

from __future__ import annotations

from typing import Any

import pytest
from sampling import some
from sweep_points import NO_RETURN, WINDOW

pytestmark = pytest.mark.sweep


def authority(stage: Any) -> str:
    """The node that leaves last, by its own log."""
    stage.set()
    status, said = stage.run()
    assert status == 0, said
    return next(h for h in stage.hosts if any(x.argv[:2] == ("pvecm", "expected") for x in stage.control.log(h)))


def test_a_failing_step_puts_the_node_back_or_the_next_run_ends_it(stage: Any) -> None:
    node = authority(stage)
    for index, argv in some(enumerate(WINDOW), 2):
        stage.set()
        stage.control.fault("fail", argv=argv, node=node)
        status, said = stage.run()
        where = f"{' '.join(argv)} failed: {stage.control.faults_fired()}"
        assert stage.control.faults_fired(), where
        # The start past the point of no return is tried again, and succeeds the second time.
        assert status == (0 if index == NO_RETURN else 1), f"{where}\n{said[-3000:]}"
        truth = stage.control.state()[node]
        assert truth.mounted, where
        assert truth.mode == ("cluster" if index < NO_RETURN else "standalone"), where
        if index < NO_RETURN:
            assert "put the node back: it is the cluster member it was" in " ".join(said.split()), where
            assert truth.version == stage.before[node].version, where
            assert truth.units["pve-cluster.service"][0] == "active", where
        assert stage.lost() == [], where
        status, said = stage.run()
        assert status == 0, f"{where}\n{said[-3000:]}"
        assert stage.not_standalone() == [] and stage.lost() == [], where


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reset_at_any_change_is_taken_up_by_the_next_run(stage: Any, when: str) -> None:
    node = authority(stage)
    for argv in some(WINDOW, 2):
        stage.set()
        stage.control.fault("power_cycle", when=when, argv=argv, node=node)
        status, said = stage.run()
        where = f"reset {when} {' '.join(argv)}: {stage.control.faults_fired()}"
        assert stage.control.faults_fired(), where
        assert status in (1, 3), f"{where}\n{said[-3000:]}"
        assert stage.control.state()[node].mounted, where
        assert stage.lost(node) == [], where
        status, said = stage.run()
        assert status == 0, f"{where}\n{said[-3000:]}"
        assert stage.not_standalone() == [] and stage.lost(node) == [], where
