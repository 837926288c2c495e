"""The operator at a terminal, and gates that users add."""

from __future__ import annotations

import getpass
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from at_a_terminal import CTRL_C, CTRL_D, PROJECT, PROMPT, approvals, at_a_terminal


def test_names_typed_in_full_take_the_run_to_its_end(start_lab: Callable[..., Any], tmp_path: Path) -> None:
    lab = start_lab()
    answers = ["labcluster", "labcluster", "pve1", "pve3", "pve2", "labcluster"]
    status, screen = at_a_terminal(lab, tmp_path, [*answers])
    assert status == 0, screen
    assert screen.count(PROMPT) == 6
    assert all(n.standalone for n in lab.control.state().values())
    told = re.findall(r"Plan ([0-9a-f]{12}): (?:\d+ commands until the next question, )?(\d+) (?:in all|co)", screen)
    assert screen.count("commands, and no question after this one") == 1
    given = approvals(tmp_path)
    assert [h for h, _ in told] == [a["plan"] for a in given], "every approval names the plan that was shown"
    left = [int(n) for _, n in told]
    assert left == sorted(left, reverse=True) and len(set(left)) == 6
    assert "has CHANGED" not in screen
    assert [(a["subject"], a["answer"], a["how"]) for a in given] == [(a, "approved", "typed") for a in answers]
    assert all(a["by"] == getpass.getuser() and a["at"] for a in given)


@pytest.mark.parametrize(
    "some", [["", "no", CTRL_D, CTRL_C], pytest.param(["yes", "pve1", "LABCLUSTER"], marks=pytest.mark.sweep)]
)
def test_anything_else_is_no(start_lab: Callable[..., Any], tmp_path: Path, some: list[str | bytes]) -> None:
    """It is a failed step in the record, not a crash; Ctrl-C interrupts the run, and is recorded as a no too."""
    lab = start_lab(nodes=2)
    for number, answer in enumerate(some):
        folder = tmp_path / str(number)
        folder.mkdir()
        status, screen = at_a_terminal(lab, folder, [answer])
        typed = "" if answer == CTRL_D else answer
        assert status == (2 if answer == CTRL_C else 1), screen
        [given] = approvals(folder)
        how = "interrupted" if answer == CTRL_C else "typed"
        assert (given["answer"], given["how"], given["by"]) == ("refused", how, getpass.getuser())
        if answer != CTRL_C:
            assert f"typed {typed!r} where 'labcluster' was asked for" in screen
        assert "Traceback" not in screen
    assert lab.mutating() == []


def test_what_was_typed_before_a_question_does_not_answer_it(start_lab: Callable[..., Any], tmp_path: Path) -> None:
    """The same name is asked for twice; typed twice at once it approves what was seen, and that alone."""
    status, screen = at_a_terminal(start_lab(nodes=2), tmp_path, [b"labcluster\nlabcluster\n", "no"])
    assert status == 1, screen
    assert [(a["subject"], a["answer"]) for a in approvals(tmp_path)] == [
        ("labcluster", "approved"),
        ("labcluster", "refused"),
    ]


def test_a_change_since_the_last_approval_is_shown_and_asked_again(
    start_lab: Callable[..., Any], tmp_path: Path
) -> None:
    """Somebody stops corosync on a peer after the freeze: the next question names the command that is not needed."""
    lab = start_lab(nodes=2)
    last = ("systemctl", "disable", "pve-ha-crm.service")
    for node in lab.hosts:
        command = "systemctl stop corosync"
        lab.control.fault("run", when="after", argv=last, node=node, command=command)
    status, screen = at_a_terminal(lab, tmp_path, ["labcluster", "no"])
    assert status == 1
    assert "SINCE THE LAST APPROVAL what is to be sent has CHANGED" in screen
    assert "- phase 2" in screen and "systemctl stop corosync.service" in screen
    assert [a["answer"] for a in approvals(tmp_path)] == ["approved", "refused"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the runbook and the checks that a user may change."""
    folder = tmp_path / "project"
    for name in ("runbook", "checks"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(PROJECT / name, folder / name)
    return folder


USER_GATE = '''

def test_a_gate_that_a_user_added(host):
    """The user's own gate holds."""
    assert host.service("pve-cluster").is_running
    assert host.file("/etc/pve/local").exists
    assert host.run("hostname").stdout.strip() == host.pve.hostname
'''


def test_testinfras_own_modules_work_in_gates_of_the_runbook(
    start_lab: Callable[..., Any], run: Callable[..., Any], project: Path
) -> None:
    lab = start_lab()
    phase = project / "runbook" / "test_phase1_authority.py"
    phase.write_text(phase.read_text() + USER_GATE)
    ran = run("runbook/", *lab.options, "--approve=all", project=project)
    assert ran.status == 0, ran.text
    assert any(e["kind"] == "testinfra" for e in ran.journal())


NOTHING_TO_JUDGE = '''

def test_a_gate_of_a_database_that_is_not_here(host):
    """The user's database listens."""
    raise NotApplicable("no database is here")
'''
SKIPPED = '''

def test_a_gate_that_was_not_asked(host):
    """The user's other gate holds."""
    pytest.skip("not today")
'''


def test_a_gate_with_nothing_to_judge_holds_nothing_back_and_one_that_was_skipped_does(
    start_lab: Callable[..., Any], run: Callable[..., Any], project: Path
) -> None:
    lab = start_lab(nodes=1)
    phase = project / "runbook" / "test_phase0_freeze.py"
    phase.write_text(phase.read_text() + NOTHING_TO_JUDGE + SKIPPED)
    ran = run("runbook/", *lab.options, "--approve=all", "--anyway=a test", project=project)
    assert ran.status == 3, ran.text
    outcome = {e["title"]: e["outcome"] for e in ran.journal() if e["kind"] == "step"}
    assert outcome["The user's database listens."] == "not evaluated"
    assert outcome["The user's other gate holds."] == "blocked"
    after = [e["outcome"] for e in ran.journal() if e["kind"] == "step" and e["phase"] > 0]
    assert set(after) == {"blocked"}


def test_a_scheduler_that_was_off_stays_off_and_is_not_left_masked(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    """cron's file comes back on every node all the same, and that is asked."""
    lab = start_lab(nodes=2)
    for node in lab.hosts:
        assert lab.control.run(node, "systemctl stop pvescheduler").exit_status == 0
    ran = run("runbook/", *lab.options, "--approve=all")
    assert ran.status == 0, ran.text
    thaw = [e for e in ran.journal() if e["kind"] == "approval"][-1]
    assert thaw["phase"] == 7 and "pve1: its scheduler did not run before the first change" in thaw["text"]
    for node in lab.hosts:
        assert lab.control.state()[node].units["pvescheduler.service"] == ("inactive", "enabled")
        assert lab.control.run(node, "ls -l /etc/cron.d/vzdump").exit_status == 0
