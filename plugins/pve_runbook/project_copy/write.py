"""Write a copy into a folder, and bring an unchanged one to this version.

A file is replaced in one step, and the manifest names old and new hashes until the last one is: whoever comes after a
writing that was cut short can tell our files from the user's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pve_runbook.project_copy.carried import carried
from pve_runbook.project_copy.manifest import MANIFEST, CopyError, Manifest, read, sha256

STAGING = ".pve-runbook.part"
"""Where a file is written before it takes its place."""

IN_THE_WAY = "{folder} has {names} already; nothing was written"
A_COPY_ALREADY = (
    "{folder} holds a copy of the runbook already, of version {version}; nothing was written. "
    "To bring it to this version: {update}"
)
HALF_WRITTEN = "{folder} holds a copy whose writing was cut short; nothing was written. To end it: {update}"
NOT_OURS = "{what}; nothing was written. Move these files out of the way, then type it again"
NOT_A_FOLDER = "{folder} is not a folder"
CUT_SHORT = "{folder}: {why}. The copy is half-written; to end it: {update}"


class Updated(Struct, frozen=True):
    """What an update did; nothing at all where the copy was as in this version."""

    before: str
    """The version that wrote the copy."""
    written: tuple[str, ...]
    removed: tuple[str, ...]


def write_new(folder: Path, version: str, again: str) -> tuple[str, ...]:
    """Write a copy where nothing is in its way; return the names of its files.

    ``again`` is the command line that brings the folder to this version. Raises CopyError, and nothing was written
    then, or what was can be ended by that line.
    """
    _refuse_no_folder(folder)
    if os.path.lexists(folder / MANIFEST):
        found = read(folder)
        text = A_COPY_ALREADY if found.complete else HALF_WRITTEN
        raise CopyError(text.format(folder=folder, version=found.version, update=again))
    contents = carried()
    tops = dict.fromkeys(name.partition("/")[0] for name in contents)
    if there := [name for name in tops if os.path.lexists(folder / name)]:
        raise CopyError(IN_THE_WAY.format(folder=folder, names=", ".join(there)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CopyError(f"{folder}: {error.strerror}") from None
    _put_all(folder, Manifest(version, _hashes(contents)), contents, (), again)
    return tuple(contents)


def update(folder: Path, version: str, again: str) -> Updated:
    """Bring an unchanged copy to this version; what the user added stays. Raises CopyError as ``write_new`` does."""
    _refuse_no_folder(folder)
    old, contents = read(folder), carried()
    new = Manifest(version, _hashes(contents))
    names = sorted(old.names | new.names)
    try:
        present = {name: _hash(folder / name) for name in names if os.path.lexists(folder / name)}
    except OSError as error:
        raise CopyError(f"{error.filename}: {error.strerror}") from None
    foreign = [name for name in present if present[name] not in old.known(name) | new.known(name)]
    if foreign:
        changed = [name for name in foreign if name in old.names]
        in_the_way = [name for name in foreign if name not in old.names]
        parts = [("changed", changed), ("in the way, and not written by pve-runbook", in_the_way)]
        what = "; ".join(f"{how}: {', '.join(which)}" for how, which in parts if which)
        raise CopyError(NOT_OURS.format(what=f"{folder}: {what}"))
    written = tuple(name for name in contents if present.get(name) != new.files[name])
    removed = tuple(name for name in present if name not in contents)
    if written or removed or old != new:
        before = {name: sorted(old.known(name) - new.known(name)) for name in sorted(old.names)}
        unfinished = replace(new, before={name: hashes for name, hashes in before.items() if hashes})
        _put_all(folder, unfinished, {name: contents[name] for name in written}, removed, again)
    return Updated(old.version, written, removed)


def _refuse_no_folder(folder: Path) -> None:
    if os.path.lexists(folder) and not folder.is_dir():
        raise CopyError(NOT_A_FOLDER.format(folder=folder))


def _hashes(contents: dict[str, bytes]) -> dict[str, str]:
    return {name: sha256(content) for name, content in contents.items()}


def _hash(path: Path) -> str:
    """Of a file's content; "" for what is no file. Raises OSError."""
    return sha256(path.read_bytes()) if path.is_file() else ""


def _put_all(folder: Path, manifest: Manifest, contents: dict[str, bytes], removed: Iterable[str], again: str) -> None:
    """Raises CopyError."""
    staging = folder / STAGING
    try:
        shutil.rmtree(staging, ignore_errors=True)  # of a writing that was cut short
        staging.mkdir()
    except OSError as error:
        raise CopyError(f"{folder}: {error.strerror}") from None
    begun = False
    try:
        _put(folder, MANIFEST, replace(manifest, complete=False).dump())
        begun = True
        for name, content in contents.items():
            _put(folder, name, content)
        for name in removed:
            (folder / name).unlink()
        _put(folder, MANIFEST, replace(manifest, before={}).dump())
    except OSError as error:
        text = CUT_SHORT if begun else "{folder}: {why}; nothing was written"
        raise CopyError(text.format(folder=folder, why=error.strerror, update=again)) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _put(folder: Path, name: str, content: bytes) -> None:
    """Write a file to the disk, then let it take its place. Raises OSError."""
    part, target = folder / STAGING / "part", folder / name
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
