"""A machine that cannot have a system lab: one reason, seen; no traceback, nothing made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from environment import as_typed

HERE = Path(__file__).parent
AS_NOBODY = """
import os, sys
from pve_system_lab.__main__ import main
os.geteuid() or os.setuid(65534)
for command in ("up", "reset", "run pve1 true", "down", "root"):
    print(command, main([f"--dir={sys.argv[1]}", *command.split()]))
"""


def the_tests(where: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the checks' tests of the system lab with nothing on PATH."""
    command = (sys.executable, "-m", "pytest", "-m", "syslab", "-p", "no:cacheprovider", "test_system_lab_checks.py")
    kept = {k: v for k, v in as_typed().items() if k != "CI"}
    environment = {**kept, "PATH": str(where), **environment}
    return subprocess.run(
        [*command, "-ra"], cwd=HERE, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_they_are_skipped_with_one_reason(tmp_path: Path) -> None:
    """One line for all of them says why."""
    done = the_tests(tmp_path)
    told = [line for line in done.stdout.splitlines() if "a system lab needs" in line]
    assert done.returncode == 0, done.stdout
    assert len(told) == 1 and told[0].startswith("SKIPPED ["), done.stdout


def test_in_ci_that_is_a_failure(tmp_path: Path) -> None:
    """A skip would hide there that nothing was shown."""
    done = the_tests(tmp_path, CI="true")
    assert done.returncode == 1, done.stdout
    assert "ERROR" in done.stdout and "a system lab needs" in done.stdout
    assert "Traceback" not in done.stdout and "SKIPPED" not in done.stdout


def test_without_root_every_command_says_so(tmp_path: Path) -> None:
    """One line each; nothing is looked for that nobody but root may see."""
    folder = tmp_path / "lab"
    argv = (sys.executable, "-c", AS_NOBODY, str(folder))
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ["up 1", "reset 1", "run pve1 true 1", "down 1", "root 1"], done.stderr
    assert done.stderr == "pve_system_lab: a system lab needs root\n" * 5
    assert not folder.exists()
