"""Rollback after every action of the plan, and a rollback that is killed at every change of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sampling import some
from sweep_points import PARTS, killed, points, some_of

pytestmark = pytest.mark.sweep


def not_as_before(stage: Any, *rebooted: str) -> list[str]:
    """What is not the cluster member that it was, to the database's version and its files' hashes."""
    wrong = []
    for name, node in stage.control.state().items():
        was = stage.before[name]
        if (node.mode, node.version, set(node.corosync_files)) != (was.mode, was.version, set(was.corosync_files)):
            wrong.append(f"{name}: {node.mode}, version {node.version}, {node.corosync_files}")
        if {v: g.sha256 for v, g in node.guests.items()} != {v: g.sha256 for v, g in was.guests.items()}:
            wrong.append(f"{name}: not the configs of the baseline")
        if node.units["corosync.service"] != was.units["corosync.service"]:
            wrong.append(f"{name}: corosync is {node.units['corosync.service']}")
    return wrong + stage.lost(*rebooted)


def record(stage: Any) -> Path:
    """The newest record."""
    found: Path = max(stage.records.iterdir())
    return found


@pytest.mark.parametrize("part", range(PARTS))
def test_rolled_back_after_every_change(stage: Any, part: int) -> None:
    wrong = []
    for point in points(stage, part, "quorate"):
        stage.set("quorate")
        where, otherwise = killed(stage, "after", point, stage.start)
        wrong += otherwise
        status, said = stage.run(f"--rollback={record(stage)}")
        if status != 0:
            wrong.append(f"{where}: the rollback ended with {status}\n{said[-3000:]}")
        wrong += [f"{where}: {w}" for w in not_as_before(stage)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rollback_that_was_killed_is_ended_by_the_next_one(stage: Any, when: str) -> None:
    stage.set("quorate")
    assert stage.run()[0] == 0
    first = record(stage)
    done = stage.control.mutating_count()
    status, said = stage.run(f"--rollback={first}")
    assert status == 0, said
    wrong = []
    for point in some_of(stage.control.mutating_count() - done):
        stage.set("quorate")
        assert stage.run()[0] == 0
        first = record(stage)
        where, otherwise = killed(stage, when, point, lambda back=f"--rollback={first}": stage.start(back))
        where = f"rollback {where}"
        wrong += otherwise
        status, said = stage.run(f"--rollback={first}")
        if status != 0:
            wrong.append(f"{where}: the next one ended with {status}\n{said[-3000:]}")
        wrong += [f"{where}: {w}" for w in not_as_before(stage)]
    assert not wrong, "\n".join(wrong)


FAILING = [
    ("systemctl", "stop", "pve-cluster.service"),
    ("systemctl", "stop", "corosync.service"),
    ("systemctl", "mask", "--runtime", "pve-cluster.service", "corosync.service"),
    ("systemctl", "stop", "pve-cluster.service", "corosync.service"),
    ("cp", "-a", "/etc/corosync"),
    ("cp", "-p", "/var/lib/pve-cluster/config.db"),
    ("rm", "-f", "/var/lib/pve-cluster/config.db-wal"),
    ("install", "-m", "0600"),
    ("mv", "-f", "/var/lib/pve-cluster/config.db.new"),
    ("tar", "-C", "/", "-xzf"),
]
"""The way back's changes in their order, up to the start of pve-cluster."""


@pytest.mark.parametrize("what", ["fail", "power_cycle"])
def test_a_way_back_that_fails_leaves_the_node_as_it_was_or_half_way_and_known(stage: Any, what: str) -> None:
    wrong = []
    for argv in some(FAILING, 2):
        stage.set("quorate")
        assert stage.run()[0] == 0
        first = record(stage)
        stage.control.fault(what, argv=argv, node="pve2", skip=_earlier(stage, argv))
        status, said = stage.run(f"--rollback={first}")
        fired = stage.control.faults_fired()
        where = f"{what} at {' '.join(argv)}: {fired}"
        truth = stage.control.state()["pve2"]
        reset = ["pve2"] if what == "power_cycle" else []
        if not fired or status not in (1, 3) or not truth.mounted:
            wrong.append(f"{where}: ended with {status}, mounted: {truth.mounted}\n{said[-3000:]}")
        if what == "fail" and not truth.standalone:
            wrong.append(f"{where}: {truth.mode}, {truth.corosync_files}")
        wrong += [f"{where}: {w}" for w in stage.lost(*reset)]
        status, said = stage.run(f"--rollback={first}")
        if status != 0:
            wrong.append(f"{where}: the next one ended with {status}\n{said[-3000:]}")
        wrong += [f"{where}: {w}" for w in not_as_before(stage, *reset)]
    assert not wrong, "\n".join(wrong)


def _earlier(stage: Any, argv: tuple[str, ...]) -> int:
    """How often such a command is sent to the node by the rollback before its own script: the files it is given."""
    return 3 if argv == ("install", "-m", "0600") else 0
