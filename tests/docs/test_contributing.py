"""What CONTRIBUTING.md tells to write works where it is written, and what it shows of the code stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from environment import as_typed
from paper_blocks import ROOT, Block, blocks

PAPER = ROOT / "CONTRIBUTING.md"
BLOCKS = tuple(blocks(PAPER))
SHOWN = tuple(b for b in BLOCKS if b.kind == "from")
WRITTEN = tuple(b for b in BLOCKS if b.kind != "from")
COPIED = ("checks", "plugins", "runbook", "tests")
BOUND = 300  # seconds
LAB = ("--hosts=lab", "--lab-nodes=2")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with all that is to be written in it."""
    leave = shutil.ignore_patterns("__pycache__", "*.egg-info", "transcripts")
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=leave)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for block in WRITTEN:
        block.write(tmp_path)
    return tmp_path


def ran(project: Path, *arguments: str) -> tuple[int, str]:
    """pytest with the copy's own packages: exit status, and what it said as one line."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "-p", "no:cacheprovider"],
        cwd=project,
        env={**as_typed(), "PYTHONPATH": str(project / "plugins")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BOUND,
        check=False,
    )
    return done.returncode, " ".join(done.stdout.split())


def test_no_block_is_overlooked() -> None:
    """Every block of Python and JSON says where it belongs."""
    assert len(BLOCKS) == len(re.findall("^ *```(?:python|json|text)$", PAPER.read_text(), re.M))
    assert len(SHOWN) >= 7 and {b.kind for b in WRITTEN} == {"new", "end", "inside"}


@pytest.mark.parametrize("block", SHOWN, ids=lambda block: f"{block.file}:{block.code.split()[0]}")
def test_what_is_shown_stands_in_the_code(block: Block) -> None:
    assert f"\n{block.code}" in f"\n{(ROOT / block.file).read_text()}"


def test_a_parser_and_a_capture_are_read(project: Path) -> None:
    """The capture by the new probe, to which nothing else of the captures is a surprise."""
    status, said = ran(
        project, "-q", "tests/parsers/test_parsers_name_at_boot.py", "tests/parsers/test_captures_as_data.py"
    )
    assert status == 0, said


@pytest.mark.sweep
def test_a_check_fails_in_the_new_state_and_only_there(project: Path) -> None:
    """Parser, probe, fact, gate and starting state, as one."""
    status, said = ran(project, "checks/test_names.py", "-v", *LAB, "--lab-scenario=renamed")
    assert status == 1, said
    assert "ok pve1 The node has the same name after its next start." in said
    assert "FAILED pve2 required: The node has the same name after its next start. pve2: the node is called" in said
    assert ran(project, "checks/test_names.py", *LAB)[0] == 0


@pytest.mark.sweep
def test_a_step_has_its_place_in_a_run(project: Path) -> None:
    status, said = ran(project, "runbook/", "-v", *LAB, "--approve=all")
    assert status == 0, said
    step = said.index("ok pve1 The guests that this site cannot do without run on the node.")
    assert said.index("PHASE 3") < step < said.index("PHASE 4")
