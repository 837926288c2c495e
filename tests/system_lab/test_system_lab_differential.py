"""The embedded lab agrees with the system lab: every probe and every action, in the same state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asked import (
    NEEDS_A_QDEVICE,
    NODE,
    OF_ITS_NATURE,
    ORDER,
    RUN,
    VALUES,
    VOLATILE,
    questions,
    stdin_of,
    unprepared,
)
from differential import Model, parsed, real, without
from pve_lab import shapes
from pve_lab.model.cluster import Cluster
from pve_runbook.actions import registry as actions
from pve_runbook.probes import registry as probes
from pve_runbook.probes.probe import BACKUP_ROOT
from pve_system_lab.errors import SystemLabError, until

pytestmark = pytest.mark.syslab

STATES: dict[str, Callable[[Cluster], None]] = {
    "broken": shapes.broken,
    "quorate": shapes.quorate,
    "half-dismantled": shapes.half_dismantled,
    "standalone": shapes.standalone,
}


def pid_of(answer: Any) -> str:
    """The pid of guest 101."""
    return str(answer["101"]["pid"])


def told_apart(name: str, seen: Any, modelled: Any) -> str:
    """The parts that differ."""
    if isinstance(seen, dict) and isinstance(modelled, dict):
        keys = [k for k in seen.keys() | modelled.keys() if seen.get(k) != modelled.get(k)]
        seen, modelled = ({k: side.get(k) for k in keys} for side in (seen, modelled))
    return f"{name}:\n  real  {seen}\n  model {modelled}"


@pytest.mark.parametrize("state", STATES)
def test_every_probe_says_the_same(stage: Any, tmp_path: Path, state: str) -> None:
    """Parsed alike; what differs by its nature is at least readable in both labs."""
    assert unprepared() == []
    stage.set(state)
    container = stage.lab.containers[NODE]
    model = Model(tmp_path / "model", stage.lab, STATES[state])
    try:
        processes = probes.GUEST_PROCESSES
        ours = pid_of(parsed(processes.parse, real(container, processes.argv)))
        theirs = pid_of(parsed(processes.parse, model.ask(NODE, processes.argv)))
        differences = []
        for (name, parse, asked), (_, _, also) in zip(questions(ours), questions(theirs), strict=True):
            seen, modelled = parsed(parse, real(container, asked)), parsed(parse, model.ask(NODE, also))
            if name in OF_ITS_NATURE:
                same = ("unknown" in str(seen)[:12]) == ("unknown" in str(modelled)[:12])
            else:
                same = without(seen, VOLATILE) == without(modelled, VOLATILE)
            if not same:
                differences.append(told_apart(name, seen, modelled))
    finally:
        model.close()
    assert not differences, "\n".join(differences)


AFTER = (
    *(probes.UNIT_STATES, probes.JOBS, probes.PVE_MOUNT, probes.PVE_MODE, probes.PVECM, probes.PVE_COROSYNC_CONF),
    *(probes.ETC_COROSYNC_CONF, probes.COROSYNC_DIRS, probes.PMXCFS_PROCESS, probes.COROSYNC_PROCESS, probes.LOCK),
    *(probes.QM_LIST, probes.SECOND_KEYS, probes.API_STATUS),
)
"""What is looked at after every action."""
SETTLED = 20
"""Seconds within which both labs have to agree after an action."""


def test_every_action_does_the_same(stage: Any, tmp_path: Path) -> None:
    """The same exit status, and the same state of the node a moment later."""
    assert unprepared() == []
    stage.set("broken")
    container = stage.lab.containers[NODE]
    model = Model(tmp_path / "model", stage.lab, shapes.broken)

    def real_file(name: str) -> bytes:
        return bytes((container.root / f"{BACKUP_ROOT[1:]}/{RUN}/{name}").read_bytes())

    def model_file(name: str) -> bytes:
        return bytes(model.cluster.nodes[NODE].files.read(f"{BACKUP_ROOT}/{RUN}/{name}"))

    def differences() -> dict[str, str]:
        model.cluster.clock.advance(1.0)
        found = {}
        for probe in AFTER:
            seen = without(parsed(probe.parse, real(container, probe.argv)), VOLATILE)
            modelled = without(parsed(probe.parse, model.ask(NODE, probe.argv)), VOLATILE)
            if seen != modelled:
                found[probe.name] = told_apart(probe.name, seen, modelled)
        return found

    wrong: list[str] = []
    told: set[str] = set()

    def agreed() -> bool:
        return not differences().keys() - told

    try:
        for name in (n for n in ORDER if n not in NEEDS_A_QDEVICE):
            action = actions.registry()[name].bind(**VALUES)
            seen = real(container, action.argv, stdin_of(name, real_file))
            modelled = model.ask(NODE, action.argv, stdin_of(name, model_file))
            if seen.exit_status != modelled.exit_status:
                wrong.append(f"{name}: real {seen}\n  model {modelled}")
            try:
                until(agreed, SETTLED, name)
            except SystemLabError:
                new = {k: v for k, v in differences().items() if k not in told}
                told.update(new)  # one that stays is told once
                wrong += [f"after {name}: {text}" for text in new.values()]
    finally:
        model.close()
    assert not wrong, "\n".join(wrong)
