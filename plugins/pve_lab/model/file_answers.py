"""What operations on files say: what is at a path, and that something cannot be done."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Protocol


class Hung(Exception):
    """The call never returns: the storage behind the path does not answer."""


def os_error(code: int, path: str) -> OSError:
    """An OSError (PermissionError, FileNotFoundError, ...) with the text that coreutils print."""
    text = "Transport endpoint is not connected" if code == errno.ENOTCONN else os.strerror(code)
    return OSError(code, text, path)


def no_such_file(path: str) -> OSError:
    """ENOENT for a path."""
    return os_error(errno.ENOENT, path)


@dataclass(frozen=True)
class Stat:
    """What lstat says: `kind` is file, directory, symlink or socket."""

    kind: str
    size: int
    mode: int
    mtime: float
    target: str = ""


class ConfigView(Protocol):
    """/etc/pve while pmxcfs has it mounted; paths are relative to the mount, '' is its root."""

    @property
    def mounted(self) -> bool:
        """Whether the file system is mounted."""

    def lstat(self, path: str) -> Stat:
        """Raise FileNotFoundError when there is no such entry."""

    def read(self, path: str) -> bytes:
        """The bytes of a file."""

    def names(self, path: str) -> list[str]:
        """The names in a directory."""

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file; raise PermissionError without quorum."""

    def mkdir(self, path: str) -> None:
        """Create a directory."""

    def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""

    def rename(self, old: str, new: str) -> None:
        """Rename within the file system."""

    def touch(self, path: str) -> None:
        """Set the time of a file, or create it."""

    def may_write(self, path: str) -> None:
        """Raise PermissionError or EBUSY when a write would be refused."""
