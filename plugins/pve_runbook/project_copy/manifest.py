"""The file in a copy that says which version wrote it, and the hash of every file that was written."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path, PurePosixPath

from msgspec import Struct, field

MANIFEST = ".pve-runbook.json"

_NO_MANIFEST = "{folder} holds no copy of the runbook ({name} is not there): `pve-runbook init` writes one"
_BROKEN = "{path} cannot be read ({why}): write a new copy into another folder"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class CopyError(Exception):
    """What stands against writing, updating or judging a copy, in one line for the user."""


class Manifest(Struct, frozen=True):
    """``files``: name → SHA-256 in hex of what ``version`` wrote."""

    version: str
    files: dict[str, str]
    complete: bool = True
    """False while files are written: some may be missing, and some be still as before."""
    before: dict[str, list[str]] = field(default_factory=dict)
    """Name → the hashes that it may still have while the copy is not complete."""

    def known(self, name: str) -> set[str]:
        """The hashes of all that we wrote under this name."""
        return {*self.before.get(name, ()), *([self.files[name]] if name in self.files else [])}

    @property
    def names(self) -> set[str]:
        """Every file that we wrote."""
        return {*self.files, *self.before}

    def dump(self) -> bytes:
        """As it stands in the folder."""
        data = {"version": self.version, "complete": self.complete, "files": self.files, "before": self.before}
        return (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()


def sha256(content: bytes) -> str:
    """In hex."""
    return hashlib.sha256(content).hexdigest()


def read(folder: Path) -> Manifest:
    """The manifest of a copy. Raises CopyError where there is none, or none that can be read."""
    path = folder / MANIFEST
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise CopyError(_NO_MANIFEST.format(folder=folder, name=MANIFEST)) from None
    except OSError as error:
        raise CopyError(_BROKEN.format(path=path, why=error.strerror)) from None
    except (ValueError, RecursionError):
        raise CopyError(_BROKEN.format(path=path, why="it is not as pve-runbook writes it")) from None


def _parse(data: object) -> Manifest:
    """Raises ValueError."""
    match data:
        case {"version": str(version), "complete": bool(complete), "files": dict(files), "before": dict(before)}:
            hashes = [*files.values(), *(one for several in before.values() for one in _listed(several))]
            if all(map(_is_name, [*files, *before])) and all(map(_is_hash, hashes)):
                return Manifest(version, files, complete, before)
    raise ValueError("no manifest")


def _listed(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError("no list")
    return value


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_name(name: str) -> bool:
    """Whether it names a file below the folder, in the one way to write it."""
    path = PurePosixPath(name)
    return str(path) == name and bool(path.parts) and not path.is_absolute() and ".." not in path.parts
