"""Whether the copy that runs is the one that was distributed."""

from __future__ import annotations

import base64
import hashlib
import shlex
from importlib.metadata import PackageNotFoundError, PackagePath, distribution
from pathlib import Path

from pve_runbook.project_copy.carried import FOLDERS
from pve_runbook.project_copy.manifest import MANIFEST, CopyError, Manifest, read, sha256

CUT_SHORT = "{folder}: the writing of this copy was cut short; to end it: pve-runbook init --update {quoted}"

WORKING_TREE = "; the plugin is a working tree's"


def is_copy(root: Path) -> bool:
    """Whether `pve-runbook init` wrote into this folder."""
    return (root / MANIFEST).is_file()


def half_written(root: Path) -> str:
    """Why nothing of this copy may run, "" where it may: a phase may be missing, or be another version's."""
    try:
        complete = read(root).complete
    except CopyError:
        return ""
    return "" if complete else CUT_SHORT.format(folder=root, quoted=shlex.quote(str(root)))


def describe(root: Path) -> str:
    """``pve-runbook 0.1.0, as distributed``, or what of it was changed, added or removed, the installed plugin too.

    Raises CopyError where the manifest cannot be read.
    """
    manifest = read(root)
    changed, added, removed = _differences(root, manifest)
    recorded = _recorded()
    parts = [("changed", [*changed, *_changed(recorded)]), ("added", added), ("removed", removed)]
    told = "; ".join(f"{how}: {', '.join(names)}" for how, names in parts if names) or "as distributed"
    return f"pve-runbook {manifest.version}, {told}{'' if recorded else WORKING_TREE}"


def _differences(root: Path, manifest: Manifest) -> tuple[list[str], list[str], list[str]]:
    """(changed, added, removed) names of files."""
    changed, removed = [], []
    for name, expected in sorted(manifest.files.items()):
        try:
            if sha256((root / name).read_bytes()) != expected:
                changed.append(name)
        except FileNotFoundError:
            removed.append(name)
        except OSError:
            changed.append(name)
    there = (path.relative_to(root).as_posix() for folder in FOLDERS for path in (root / folder).rglob("*.py"))
    return changed, sorted(set(there) - set(manifest.files)), removed


def _recorded() -> list[PackagePath]:
    """The installed plugin's files that the installer recorded with their hashes; of an editable install none."""
    try:
        files = distribution("pytest-pve-runbook").files or []
    except PackageNotFoundError:
        return []
    return [f for f in files if f.parts[0] == "pve_runbook" and f.hash is not None and f.hash.mode == "sha256"]


def _changed(recorded: list[PackagePath]) -> list[str]:
    changed = []
    for file in recorded:
        try:
            digest = hashlib.sha256(Path(str(file.locate())).read_bytes()).digest()
        except OSError:
            digest = b""
        assert file.hash is not None
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            changed.append(str(file))
    return changed
