"""What the papers tell to type is typed: in a copy of the project, in a shell whose ~/.ssh/config leads to a lab.

The line that runs the tests is run by .ci/run; what installs, by tests/distribution.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from at_a_terminal import Answer, typed_in
from environment import as_typed
from lab_stage import Stage, a_lab
from paper_blocks import ROOT

_SHELL = re.compile(r"^ *```sh\n(.*?)^ *```$", re.M | re.S)
ELSEWHERE = ("python3 -m venv .venv", ".venv/bin/pip ", ".venv/bin/pytest -n auto ", ".venv/bin/pve-runbook init")
"""How a part of a line begins that another test types."""
NAMES: list[Answer] = ["labcluster", "labcluster", "pve1", "pve3", "pve2", "labcluster"]
README: list[tuple[str, int, list[Answer]]] = [
    (".venv/bin/pytest checks/ --hosts=pve1,pve2,pve3", 1, []),
    (".venv/bin/pytest runbook/ --hosts=pve1,pve2,pve3 --plan", 0, []),
    (".venv/bin/pytest runbook/ --hosts=pve1,pve2,pve3", 1, ["no"]),
    (".venv/bin/pytest runbook/ --hosts=pve1,pve2,pve3 --ticket=CHG-1042", 0, NAMES),
    (".venv/bin/pytest runbook/ --hosts=lab --approve=all", 0, []),
]
"""What the README tells to type, in an order that makes sense on one cluster; the exit status; what is answered."""


def told(paper: str) -> set[str]:
    """The commands of a paper, those that another test types left out."""
    lines = [line.strip() for block in _SHELL.findall((ROOT / paper).read_text()) for line in block.splitlines()]
    parts = {part for line in lines for part in line.split(" && ")}
    return {part for part in parts if not part.startswith(ELSEWHERE)}


def test_every_command_of_the_readme_is_typed() -> None:
    assert told("README.md") == {command for command, _, _ in README}


def test_the_readme_is_short_and_begins_with_the_fault() -> None:
    """In the first screen: what it does, how it is used, the picture."""
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 180
    first = "\n".join(lines[:45])
    assert "lost quorum" in first and "checks/ --hosts=" in first and "](docs/" in first


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A lab of three nodes without quorum."""
    yield from a_lab(3, tmp_path_factory.mktemp("records"))


@pytest.mark.sweep
def test_the_commands_of_the_readme_take_a_cluster_apart(stage: Stage, tmp_path: Path) -> None:
    for folder in ("runbook", "checks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    shutil.copy(stage.ssh_config, home / ".ssh" / "config")
    stage.set()
    for command, expected, answers in README:
        env = as_typed() | {"HOME": str(home)}
        status, screen = typed_in(["bash", "-c", command], tmp_path / "records", answers, cwd=tmp_path, env=env)
        assert status == expected, f"{command}\n{screen}"
    assert stage.not_standalone() == [] and stage.lost() == []
