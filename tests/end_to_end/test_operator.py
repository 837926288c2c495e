"""The operator at a terminal, and gates that users add."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
PROMPT = "anything else to stop:"


def at_a_terminal(lab: Any, tmp_path: Path, answers: list[str]) -> tuple[int, str]:
    """Run the runbook in a pseudo-terminal and type ``answers``, one at each question; (exit status, screen)."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pytest",
            "runbook/",
            *lab.options,
            f"--records={tmp_path}/records",
            "-p",
            "no:cacheprovider",
        ],
        cwd=PROJECT,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    screen, waiting = "", list(answers)
    with os.fdopen(controller, "rb+", buffering=0) as keyboard:
        while True:
            try:
                data = keyboard.read(65536)
            except OSError:
                break
            if not data:
                break
            asked = screen.count(PROMPT)
            screen += data.decode(errors="replace")
            if screen.count(PROMPT) > asked and waiting:
                keyboard.write(waiting.pop(0).encode() + b"\n")
    return process.wait(120), " ".join(screen.split())


def test_names_typed_in_full_take_the_run_to_its_end(start_lab: Callable[..., Any], tmp_path: Path) -> None:
    lab = start_lab()
    answers = ["labcluster", "labcluster", "pve1", "pve3", "pve2", "labcluster"]
    status, screen = at_a_terminal(lab, tmp_path, answers)
    assert status == 0, screen
    assert screen.count(PROMPT) == 6
    assert all(n.standalone for n in lab.control.state().values())


@pytest.mark.parametrize("answer", ["", "no", "yes", "pve1", "LABCLUSTER"])
def test_anything_else_is_no(start_lab: Callable[..., Any], tmp_path: Path, answer: str) -> None:
    lab = start_lab()
    status, screen = at_a_terminal(lab, tmp_path, [answer])
    assert status == 1, screen
    assert f"typed {answer!r} where 'labcluster' was asked for" in screen
    assert lab.mutating() == []


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
