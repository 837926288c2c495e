"""How the house is built: files and folders stay small, and the layers of pyproject.toml hold."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLUGINS = ROOT / "plugins"
MOST_LINES = 400
MOST_FILES = 25

WRONG = {
    "pve_runbook/parsers/output.py": "from pve_runbook.ssh import sudo",
    "pve_runbook/facts/clocks.py": "from pve_runbook.procedure import window",
    "pve_lab/faults.py": "from pve_runbook.cluster import node",
}
"""File → an import that it must not have."""


def folders() -> Iterator[tuple[Path, list[Path]]]:
    """Every folder of the packages, and the files in it; what Python itself writes there is left out."""
    for package in PLUGINS.glob("pve_*"):
        for folder in (package, *(path for path in package.rglob("*") if path.is_dir())):
            if folder.name != "__pycache__":
                yield folder, [path for path in folder.iterdir() if path.is_file()]


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    lines = {path: len(path.read_text().splitlines()) for _, files in folders() for path in files}
    assert lines and {str(p.relative_to(ROOT)): n for p, n in lines.items() if n > MOST_LINES} == {}


def test_no_folder_has_more_files_than_can_be_seen_at_once() -> None:
    assert {str(f.relative_to(ROOT)): len(files) for f, files in folders() if len(files) > MOST_FILES} == {}


def test_an_import_from_above_is_seen(tmp_path: Path) -> None:
    """The wrong imports stand in a copy, which the linter reads and nobody runs."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(PLUGINS, tmp_path / "plugins", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for file, line in WRONG.items():
        path = tmp_path / "plugins" / file
        path.write_text(f"{path.read_text()}\n\n{line}\n")
    ran = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "plugins"), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    for forbidden in (
        "pve_runbook.parsers.output -> pve_runbook.ssh.sudo",
        "pve_runbook.facts.clocks -> pve_runbook.procedure.window",
        "pve_lab.faults -> pve_runbook.cluster.node",
    ):
        assert forbidden in ran.stdout, ran.stdout
