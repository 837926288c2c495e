"""The operator at a terminal, and gates that users add."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
PROMPT = "anything else to stop:"


CTRL_C, CTRL_D = b"\x03", b"\x04"


def at_a_terminal(lab: Any, tmp_path: Path, answers: list[str | bytes], *options: str) -> tuple[int, str]:
    """Run the runbook in a pseudo-terminal and type ``answers``, one at each question; (exit status, screen).

    Text is typed with a return after it, bytes as they are.
    """
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pytest",
            "runbook/",
            *lab.options,
            *options,
            f"--records={tmp_path}/records",
            "-p",
            "no:cacheprovider",
        ],
        cwd=PROJECT,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal
    )
    os.close(terminal)
    screen, waiting = "", [a.encode() + b"\n" if isinstance(a, str) else a for a in answers]
    typed = b""
    with os.fdopen(controller, "rb+", buffering=0) as keyboard:
        while True:
            while typed == CTRL_C and not select.select([keyboard], [], [], 10)[0]:
                if not approvals(tmp_path):  # a second one would interrupt the record
                    keyboard.write(CTRL_C)  # Python misses one that comes between the prompt and its wait for a key
            try:
                data = keyboard.read(65536)
            except OSError:
                break
            if not data:
                break
            asked = screen.count(PROMPT)
            screen += data.decode(errors="replace")
            if screen.count(PROMPT) > asked and waiting:
                typed = waiting.pop(0)
                keyboard.write(typed)
    return process.wait(300), " ".join(screen.split())


def approvals(tmp_path: Path) -> list[dict[str, Any]]:
    """The approvals in the newest journal."""
    newest = max((tmp_path / "records").glob("*/journal.jsonl"))
    events = [json.loads(line) for line in newest.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return [e for e in events if e["kind"] == "approval"]


def test_names_typed_in_full_take_the_run_to_its_end(start_lab: Callable[..., Any], tmp_path: Path) -> None:
    lab = start_lab()
    answers = ["labcluster", "labcluster", "pve1", "pve3", "pve2", "labcluster"]
    status, screen = at_a_terminal(lab, tmp_path, [*answers])
    assert status == 0, screen
    assert screen.count(PROMPT) == 6
    assert all(n.standalone for n in lab.control.state().values())
    told = re.findall(r"Plan ([0-9a-f]{12}): (\d+) commands are left to be sent", screen)
    given = approvals(tmp_path)
    assert [h for h, _ in told] == [a["plan"] for a in given], "every approval names the plan that was shown"
    left = [int(n) for _, n in told]
    assert left == sorted(left, reverse=True) and len(set(left)) == 6
    assert "has CHANGED" not in screen
    assert [(a["subject"], a["answer"], a["how"]) for a in given] == [(a, "approved", "typed") for a in answers]
    assert all(a["by"] == getpass.getuser() and a["at"] for a in given)


@pytest.mark.parametrize("some", [["", "no", CTRL_D, CTRL_C], ["yes", "pve1", "LABCLUSTER"]])
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
