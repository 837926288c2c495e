"""A run is struck at its most telling points; the next one ends the work, and no guest that could run on was lost."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from strikes import COMMANDS, break_program, cut_at, cut_while_unmounted, first_in, intent, mend_program, strike_when
from system_lab_stage import ends

pytestmark = pytest.mark.syslab

KILLED_AT = (
    *("make-folder", "backup-db", "stop-scheduler", "disable-lrm", "stop-crm", "stop-corosync", "expect-own-votes"),
    *("put-keys", "window", "restart-services", "canary-start", "start-scheduler", "release-lock"),
)
CUT_AT = ("stop-corosync", "window", "canary-create")
FAILING = {
    "local mode": ("/usr/bin/pmxcfs", "-l"),
    "the deletion": ("/usr/bin/rm", "/etc/pve/corosync.conf"),
    "the end of local mode": ("/usr/bin/pkill", "-TERM"),
}


@pytest.fixture
def pair(stages: Any) -> Any:
    """A lab of two nodes, broken."""
    stage = stages.of(2)
    stage.set("broken")
    return stage


@pytest.mark.parametrize("action", KILLED_AT)
def test_killed(pair: Any, action: str) -> None:
    """SIGKILL when the journal has the intent: the effect may be there, or not."""
    run = pair.start("runbook/", "--approve=all")
    assert strike_when(run, lambda: intent(pair, action) is not None, run.kill)
    run.communicate(timeout=900)
    ends(pair)


@pytest.mark.parametrize("action", CUT_AT)
def test_cut_off(pair: Any, action: str) -> None:
    """Every SSH session of the node ends: the line comes back, and the run ends the work."""
    cut_at(pair, action)


def test_ssh_is_lost_while_etc_pve_is_unmounted(pair: Any) -> None:
    """No login by the key in /etc/pve is possible at that moment: the second key brings the line back."""
    cut_while_unmounted(pair)


@pytest.mark.parametrize("place", COMMANDS)
def test_power_cycle_in_the_window(pair: Any, place: str) -> None:
    """The node boots with what was on its disk; the next run knows its state."""
    run = pair.start("runbook/", "--approve=all")
    struck: list[Any] = []

    def strike() -> None:
        struck.append(first_in(pair, COMMANDS[place]))
        struck[0].power_cycle()

    assert strike_when(run, lambda: first_in(pair, COMMANDS[place]) is not None, strike)
    said, _ = run.communicate(timeout=900)
    assert run.returncode in (1, 3), said[-4000:]
    ends(pair, struck[0].node.name)


@pytest.mark.parametrize("step", FAILING)
def test_the_window_fails(pair: Any, step: str) -> None:
    """It puts the node back as the member it was; when the cause is gone the next run ends the work."""
    program, argument = FAILING[step]
    for container in pair.lab.each():
        break_program(container, program, argument)
    status, said = pair.run("runbook/", "--approve=all")
    assert status == 1, said[-4000:]
    for container in pair.lab.each():
        mend_program(container, program)
    if step != "the end of local mode":
        assert "put the node back: it is the cluster member it was" in " ".join(said.split())
    ends(pair)


def test_a_frozen_node(pair: Any) -> None:
    """Every process of a node stands still when its window is sent: a clear stop; thawed, the next run ends it."""
    run = pair.start("runbook/", "--approve=all", "-o", "pve_timeout_scale=0.2")
    freeze = partial(intent, pair, "put-window-script")
    assert strike_when(run, lambda: freeze() is not None, lambda: pair.lab.containers[freeze()].freeze(frozen=True))
    frozen = pair.lab.containers[freeze()]
    said, _ = run.communicate(timeout=900)
    assert run.returncode == 3, said[-4000:]
    frozen.freeze(frozen=False)
    ends(pair)
