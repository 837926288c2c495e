"""Who ran what: the operator, the tool's version, the revision of the runbook, and the program as it was typed."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pve_runbook.project_copy import compare
from pve_runbook.project_copy.manifest import CopyError


def operator() -> str:
    """user@host of this control host, in letters that a lock may carry."""
    return re.sub(r"[^A-Za-z0-9._@-]", "_", f"{getpass.getuser()}@{socket.gethostname()}")


def program() -> str:
    """pytest as it was typed: by its path below this folder, or by its name."""
    typed = Path(sys.argv[0])
    if typed.name == "__main__.py":
        return "pytest"
    near = os.path.relpath(typed)
    return typed.name if near.startswith("..") else near


def tool_version() -> str:
    """Of the installed distribution."""
    return version("pytest-pve-runbook")


def code_revision(root: Path) -> str:
    """Of a copy that `pve-runbook init` wrote, its version and what was changed; else ``git REVISION`` of the runbook
    that runs, ``-dirty`` when it was changed; without git a hash of it.
    """
    if compare.is_copy(root):
        try:
            return compare.describe(root)
        except CopyError:
            return _tree(root)
    try:
        said = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
        return f"git {said.stdout.strip()}"
    except (OSError, subprocess.SubprocessError):
        return _tree(root)


def _tree(root: Path) -> str:
    digest = hashlib.sha256()
    for folder in ("runbook", "checks"):
        for path in sorted((root / folder).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    digest.update(_of_the_tool())
    return f"tree sha256 {digest.hexdigest()[:16]}"


@cache
def _of_the_tool() -> bytes:
    """A hash of the tool's own code, which a process loads once."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.digest()
