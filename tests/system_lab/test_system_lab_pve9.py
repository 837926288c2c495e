"""The unchanged runbook on nodes of Debian 13, which stand for PVE 9.1.

Its OpenSSH bars who logs in in vain, and its units that wait for quorum act once there is some.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from differential import STATES, compare_actions, compare_probes
from pve_lab.shapes.booted import EDIT, ZONE
from pve_system_lab import content
from pve_system_lab.container import Container
from pve_system_lab.errors import until
from pve_system_lab.past import SETTLED
from pve_system_lab.scenarios import SCENARIOS
from pve_system_lab.units import COMMITS, RELOADS
from ran import Ran
from strikes import COMMANDS, cut_at, cut_while_unmounted, first_in, strike_when
from system_lab_stage import ended, ends

pytestmark = pytest.mark.syslab

INTERFACES = "/etc/network/interfaces"
BOOTED = 120
"""Seconds until all that a boot starts must have begun: pveproxy's start waits 80 s for quorum."""
ACTED = 30
"""Seconds within which what waited for quorum must have acted once there is some."""
TRIES = 30
"""Logins with a wrong key that must be enough to be barred: OpenSSH notes 5 s for each, and bars from 15 s on."""
WRONG = (
    *("ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"),
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=10"),
)


@pytest.fixture
def stage(stages: Any) -> Any:
    """A lab of three nodes of PVE 9."""
    return stages.of(3, pve=9)


@pytest.fixture
def pair(stages: Any) -> Any:
    """A lab of two nodes of PVE 9, broken."""
    stage = stages.of(2, pve=9)
    stage.set("broken")
    return stage


def put(container: Container, path: str, text: str) -> None:
    """Write a file on the node, as its root."""
    done = container.run("tee", path, stdin=text.encode())
    assert done.returncode == 0, done.stderr


def states(container: Container) -> list[str]:
    """What systemd says of the two units that wait for quorum."""
    return container.run("systemctl", "is-active", *COMMITS).stdout.split()


def reloaded(container: Container) -> bool:
    """Whether the network was reloaded since the node was made: nobody takes such a line away."""
    return (container.upper / RELOADS[1:]).exists()


# -- from broken to standalone ------------------------------------------------------------------


def test_the_nodes_are_of_debian_13(stage: Any) -> None:
    """What the tests of this file are about is there."""
    stage.set("broken")
    container = stage.lab.containers["pve1"]
    assert container.says("pveversion").startswith("pve-manager/9.1.10/")
    assert container.says("systemctl", "--version").startswith("systemd 257 ")
    assert container.run("ssh", "-V").stderr.startswith("OpenSSH_10.")
    assert "version '3.1.9'" in container.says("corosync", "-v")


def test_ends_standalone(stage: Any) -> None:
    """The run ends with 0, every node is standalone, every guest is the same process."""
    stage.set("broken")
    ends(stage)
    assert [c.node.name for c in stage.lab.each() if reloaded(c)] == []


@pytest.mark.parametrize("state", STATES)
def test_every_probe_says_the_same(stage: Any, tmp_path: Path, state: str) -> None:
    """The embedded lab's PVE 9 agrees with these nodes."""
    compare_probes(stage, tmp_path, state)


def test_every_action_does_the_same(stage: Any, tmp_path: Path) -> None:
    """And is changed in the same way."""
    compare_actions(stage, tmp_path)


# -- what waits for quorum ----------------------------------------------------------------------


def booted_without_quorum(stage: Any) -> Container:
    """pve2 was reset without quorum; SDN changes are pending, and an edit of its interfaces."""
    stage.set("quorate")
    second: Container = stage.lab.containers["pve2"]
    put(second, "/etc/pve/sdn/zones.cfg", ZONE)
    SCENARIOS["broken"].shape(stage.lab)
    second.power_cycle()
    stage.lab.wait_read_only()
    until(lambda: states(second) == ["activating", "activating"], BOOTED, "nothing waits for quorum")
    edited = second.says("cat", INTERFACES) + EDIT
    put(second, INTERFACES, edited)
    put(second, f"{INTERFACES}.new", edited)
    stage.lab.is_earlier(SETTLED)
    return second


def test_without_that_forced_quorum_reloads_the_network(stage: Any) -> None:
    """What this lab has to know, or nothing below would be worth anything (recorded on PVE 9.1)."""
    second = booted_without_quorum(stage)
    assert not reloaded(second)
    assert second.run("pvecm", "expected", "1").returncode == 0
    until(lambda: states(second) == ["active", "active"], ACTED, "what waited for quorum does not act")
    assert reloaded(second)
    assert '"lan"' in second.says("cat", "/etc/pve/sdn/.running-config")


def test_the_network_is_not_reloaded_at_any_moment_of_a_run(stage: Any) -> None:
    """What waits is named in plan and question, and stopped; what it would have done is done by its start alone."""
    second = booted_without_quorum(stage)
    status, said = stage.run("runbook/", "--plan")
    assert status == 0, said[-4000:]
    [plan] = stage.records.glob("*/plan.md")
    planned = " ".join(plan.read_text().replace("\n  > ", " ").split())
    assert all(f"systemctl stop {name}.service" in planned for name in COMMITS)
    assert "reload the network there (`ifreload -a`) under running guests" in planned
    said = ends(stage, "pve2")
    assert [c.node.name for c in stage.lab.each() if reloaded(c)] == []
    assert states(second) == ["failed", "failed"]  # so systemd calls a oneshot that was stopped before its end
    asked = " ".join(str(e["text"]) for e in Ran(stage).events if e["kind"] == "approval")
    assert all(f"{name} waits for quorum on pve2, and is stopped" in asked for name in COMMITS)
    assert f"{INTERFACES}.new" in said
    meant = {vmid for vmid, guest in content.guests(second.node) if guest.onboot}
    assert {vmid for vmid, process in stage.guests().items() if process.node == "pve2"} == meant
    second.run("systemctl", "start", COMMITS[0])
    assert reloaded(second)


# -- pve-cluster masked in the window -----------------------------------------------------------


MASKED = {
    "unmounted": "systemctl mask --runtime pve-cluster.service corosync.service",
    "local mode": COMMANDS["local mode"],
}


def file_state(container: Container) -> str:
    """What systemd says of pve-cluster's unit file."""
    return container.run("systemctl", "is-enabled", "pve-cluster").stdout.strip()


@pytest.mark.parametrize("place", MASKED)
def test_a_power_cut_in_the_window_leaves_no_mask(pair: Any, place: str) -> None:
    """pve-cluster is masked there, for the run time alone; the next run knows the node, and ends the work."""

    def masked() -> bool:
        found = first_in(pair, MASKED[place])
        return found is not None and file_state(found) == "masked-runtime"

    run = pair.start("runbook/", "--approve=all")
    assert strike_when(run, masked, lambda: first_in(pair, MASKED[place]).power_cycle())
    struck = first_in(pair, MASKED[place])
    said, _ = run.communicate(timeout=900)
    assert run.returncode in (1, 3), said[-4000:]
    assert file_state(struck) == "enabled"
    ends(pair, struck.node.name)


# -- OpenSSH 10 ---------------------------------------------------------------------------------


def test_who_is_barred_after_a_wrong_key_waits_it_out(pair: Any, tmp_path: Path) -> None:
    """Somebody tried a wrong key on one node until its SSH server dropped them: the run waits, and ends the work."""
    wrong, address = tmp_path / "wrong", pair.lab.nodes[1].address
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(wrong)], check=True)
    command = [*WRONG, "-i", str(wrong), f"root@{address}", "true"]
    for _ in range(TRIES):
        tried = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert tried.returncode == 255
        if "Permission denied" not in tried.stderr:
            break
    assert "kex_exchange_identification" in tried.stderr or "reset by peer" in tried.stderr, tried.stderr
    said = ended(pair, pair.start("runbook/", "--approve=all"))
    assert "its SSH server drops connections" in " ".join(said.split()), said


@pytest.mark.parametrize("action", ["stop-corosync", "window"])
def test_a_line_that_is_cut_comes_back_within_the_run(pair: Any, action: str) -> None:
    """Every SSH session of the node ends at that moment."""
    cut_at(pair, action)


def test_a_line_that_is_cut_while_every_key_is_refused_comes_back(pair: Any) -> None:
    """/etc/pve is not mounted, and root's keys lie in it: no login is tried that would bar us."""
    cut_while_unmounted(pair)
