"""The line to the nodes as an operator meets it: cut, barred by OpenSSH 10, refused while /etc/pve is not mounted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from at_a_terminal import at_a_terminal
from pve_lab.server import PASSWORD

StartLab = Callable[..., Any]
Run = Callable[..., Any]
AWAY = "systemctl stop pve-cluster corosync"
"""What leaves a node without /etc/pve, and without root's authorized_keys."""


def test_a_run_whose_lines_are_cut_ends_well_and_the_record_says_so(start_lab: StartLab, run: Run) -> None:
    """While it reads, before and after a change, and while a window lasts, from which only the second key gets in."""
    lab = start_lab("pve9", nodes=2)
    lab.control.fault("cut", at_read=3)
    lab.control.fault("cut", argv=("systemctl", "mask", "--runtime", "corosync.service"), when="before")
    lab.control.fault("cut", argv=("install", "-m", "0700"), when="after")
    lab.control.fault("cut", argv=("pmxcfs", "-l"), when="before")
    ran = run("runbook/", *lab.options, "--approve=all")
    assert ran.status == 0, ran.text
    assert len(lab.control.faults_fired()) == 4
    notes = [str(e["text"]) for e in ran.journal() if e["kind"] == "note" and "is back after" in str(e["text"])]
    assert len(notes) == 4 and notes[-1].endswith("by the second key"), notes
    assert "the connection was lost; it is tried again for 60 s" in ran.text
    assert lab.changed_guests() == {} and all(n.standalone for n in lab.control.state().values())


def test_a_node_that_is_reset_under_a_command_is_not_taken_for_the_one_it_was(start_lab: StartLab, run: Run) -> None:
    lab = start_lab(nodes=2)
    lab.control.fault("power_cycle", argv=("systemctl", "stop", "pvescheduler.service"))
    ran = run("runbook/", *lab.options, "--approve=all")
    assert ran.status == 3
    assert "the connection was lost, and did not come back: it was rebooted meanwhile" in ran.text


def test_a_barred_address_is_waited_out_with_the_seconds(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("pve9", nodes=2)
    lab.control.bar("pve2", 4)
    ran = run("checks/", *lab.options, "-o", "pve_timeout_scale=0.5")
    assert ran.status == 1, ran.text
    assert "pve2 it is up, and its SSH server drops connections: after failed logins OpenSSH 10 bars" in ran.text
    assert "pve2 its SSH server dropped connections for " in ran.text
    assert "Not reached" not in ran.text


def test_a_node_that_refuses_the_key_which_the_others_take_is_said_as_exactly_that(
    start_lab: StartLab, run: Run
) -> None:
    lab = start_lab("pve9")
    lab.control.run("pve2", AWAY)
    for suite, more in (("checks/", ()), ("runbook/", ("--approve=all",))):
        ran = run(suite, *lab.options, *more)
        assert ran.status == 4
        assert "it refuses the key that pve1, pve3 took; root's authorized_keys lies in /etc/pve" in ran.text
        assert "--ask-password, which is asked for only where the key is refused" in ran.text
        assert "bars this address for 15 s and more" in ran.text
    asked = run("checks/", *lab.options, "--ask-password")
    assert asked.status == 4 and "the password of pve2 can only be typed at a terminal" in asked.text
    assert [node for node, _ in lab.mutating()] == ["pve2"], "by that other hand alone"


@pytest.mark.parametrize("password", ["wrong", PASSWORD])
def test_the_password_is_asked_for_only_where_the_key_is_refused_and_is_the_way_on(
    start_lab: StartLab, tmp_path: Path, password: str
) -> None:
    lab = start_lab("pve9", nodes=2)
    ask = {"suite": "checks/", "prompt": "SSH password"}
    status, screen = at_a_terminal(lab, tmp_path, [], "--ask-password", **ask)
    assert status == 1 and "SSH password" not in screen
    lab.control.run("pve2", AWAY)
    status, screen = at_a_terminal(lab, tmp_path, [password], "--ask-password", **ask)
    assert "SSH password for pve2:" in screen
    if password == "wrong":
        assert status == 4 and "it refuses the key that pve1 took, and the password; root's" in screen
        return
    assert status in (1, 3) and "Not reached" not in screen
    status, screen = at_a_terminal(
        lab, tmp_path, [password], "--ask-password", "--approve=all", "--anyway=a test", prompt="SSH password"
    )
    assert status == 0, screen
    assert lab.changed_guests() == {} and all(n.standalone for n in lab.control.state().values())


def test_only_the_key_of_the_run_that_holds_the_nodes_is_tried(start_lab: StartLab, run: Run, tmp_path: Path) -> None:
    """Four other keys lie in records/; a login with each would have the right one barred."""
    lab = start_lab("pve9", nodes=2)
    lab.control.fault("fail", argv=("pmxcfs", "-l"))
    assert run("runbook/", *lab.options, "--approve=all").status == 1
    for number in range(4):
        access = tmp_path / "records" / f"2099-01-0{number + 1}T000000Z-other" / "access"
        access.mkdir(parents=True)
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(access / "second-way-in")
    lab.control.run("pve2", AWAY)
    ran = run("runbook/", *lab.options, "--approve=all")
    assert ran.status == 0, ran.text
    notes = [str(e["text"]) for e in ran.journal() if e["kind"] == "note" and e["topic"] == "access"]
    [by_key] = [note for note in notes if note.startswith("logged in by the key of ")]
    assert "2099" not in by_key
    assert "drops connections" not in ran.text
