"""Read-only, proven: in every starting state all checks are run, and no node is other than it was.

One runs always; the others with ``-m sweep``: every fifth, or with PVE_RUNBOOK_SWEEP=all every one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bounded import first_line
from pve_lab.control import LabControl
from pve_lab.scenarios import SCENARIOS
from sampling import some

ALWAYS = ("broken",)
CHOSEN = some((s for s in SCENARIOS if s not in ALWAYS), 5)
BOUND = 120  # seconds


class Stage:
    """One lab for all of them."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self.control = LabControl(ready["control"])
        self.ssh_config = ready["ssh_config"]

    def set(self, scenario: str) -> list[str]:
        """The starting state; the options that name the nodes that have power."""
        self.control.reset(scenario)
        powered = [name for name, node in self.control.state().items() if node.powered]
        return [f"--hosts={','.join(powered)}", f"--ssh-config={self.ssh_config}"]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A lab of three nodes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pve_lab", "--until-eof"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    found = Stage(json.loads(first_line(process.stdout)))
    yield found
    unknown = found.control.unsimulated()
    process.stdin.close()
    process.wait(BOUND)
    process.stdout.close()
    assert unknown == []


@pytest.mark.parametrize("scenario", [*ALWAYS, *(pytest.param(s, marks=pytest.mark.sweep) for s in CHOSEN)])
def test_checks_leave_every_node_as_it_was(stage: Stage, run: Callable[..., Any], scenario: str) -> None:
    options = stage.set(scenario)
    before = stage.control.fingerprint()
    ran = run("checks/", *options, "-o", "pve_timeout_scale=0.2")
    after = stage.control.fingerprint()
    assert ran.status in (0, 1, 3) and sum(ran.outcomes().values()) > 50, ran.text
    for node, was in before.items():
        assert len(was) > 80  # a node without power has no /etc/pve
        changed = {k: (was.get(k), after[node].get(k)) for k in was | after[node] if was.get(k) != after[node].get(k)}
        assert changed == {}, node
    sent = json.loads((ran.record / "record.json").read_text())["sent"]
    assert sent["probes"] > 50 and sent["others"] == sent["changes"] == sent["refused"] == 0
