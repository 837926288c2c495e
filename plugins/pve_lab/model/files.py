"""The file tree of one node: an in-memory root, the mounts over it, and what is wrong with them."""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bashkit import FileSystem

from pve_lab.model.file_answers import ConfigView, Hung, Stat, no_such_file, os_error

CONFIG_MOUNT = "/etc/pve"
DATABASE_MOUNT = "/var/lib/pve-cluster"


@dataclass
class Remembered:
    """What holds while nothing but probes ran on the node: answers of lstat."""

    stats: dict[str, Stat] = field(default_factory=dict)


class NodeFiles:
    """Path operations as a process of the node sees them."""

    def __init__(self, database_directory: Path) -> None:
        self.root = FileSystem()
        self.config = FileSystem()
        for file_system in (self.root, self.config):
            for entry in file_system.read_dir("/"):
                file_system.remove(f"/{entry['name']}", recursive=True)
        self.database = FileSystem.real(str(database_directory), writable=True)
        self.database_directory = database_directory
        self.view: ConfigView | None = None
        """/etc/pve while pmxcfs has it mounted; paths there are relative to the mount, "" is its root."""
        self.hung: set[str] = set()
        self.dead_mounts = 0
        """File systems still mounted on /etc/pve whose server is gone."""
        self.space: Callable[[str], int | None] = lambda _path: None
        self.remembered: Remembered | None = None
        """While nothing but probes runs: every question crosses into the file system's own thread."""
        self.read_only: Callable[[str], bool] = lambda _path: False
        self._directories: set[str] = set()
        """Paths of the root file system that were found to be directories, and have not been removed since."""
        self._parents: set[str] = set()
        """The same, or links to such: files can be put there."""
        self.sockets: set[str] = set()
        self.modes: dict[str, int] = {}
        self.root.mkdir(CONFIG_MOUNT, recursive=True)
        self.root.mkdir(DATABASE_MOUNT, recursive=True)

    # -- where a path lives ------------------------------------------------------------------

    def release(self) -> None:
        """Give the trees back at once: each holds descriptors, and a node is part of circles that go late."""
        del self.root, self.config, self.database

    def _where(self, path: str) -> tuple[FileSystem, str]:
        for mount, file_system in ((CONFIG_MOUNT, self.config), (DATABASE_MOUNT, self.database)):
            if path == mount or path.startswith(mount + "/"):
                return file_system, path[len(mount) :] or "/"
        return self.root, path

    def _in_view(self, path: str) -> str | None:
        if self.view is None or not self.view.mounted:
            return None
        if path == CONFIG_MOUNT:
            return ""
        return path[len(CONFIG_MOUNT) + 1 :] if path.startswith(CONFIG_MOUNT + "/") else None

    def _check_hung(self, path: str) -> None:
        for prefix in self.hung:
            if path == prefix or path.startswith(prefix + "/"):
                raise Hung(path)

    def _raw_lstat(self, path: str) -> Stat:
        self._check_hung(path)
        if self.remembered is None:
            return self._ask_lstat(path)
        known = self.remembered.stats.get(path)
        if known is None:
            known = self.remembered.stats[path] = self._ask_lstat(path)
        return known

    def _ask_lstat(self, path: str) -> Stat:
        inside = self._in_view(path)
        if inside is not None and self.view is not None:
            return self.view.lstat(inside)
        file_system, inner = self._where(path)
        if self.dead_mounts and file_system is self.config:
            raise os_error(errno.ENOTCONN, path)
        try:
            data = file_system.stat(inner)
        except RuntimeError:
            raise no_such_file(path) from None
        kind = "socket" if path in self.sockets else str(data["file_type"])
        mode = self.modes.get(path, 0o777 if kind == "symlink" else int(data["mode"]))
        target = file_system.read_link(inner) if kind == "symlink" else ""
        return Stat(kind, int(data["size"]), mode, float(data["modified"]), target)

    def resolve(self, path: str, *, follow: bool = True) -> str:
        """The absolute path without symbolic links; the last component may be missing.

        Raises FileNotFoundError for a missing directory on the way, NotADirectoryError, ELOOP.
        """
        pending = [part for part in path.split("/") if part]
        current = "/"
        links = 0
        while pending:
            part = pending.pop(0)
            if part == ".":
                continue
            if part == "..":
                current = posixpath.dirname(current)
                continue
            step = f"{current}/{part}" if current != "/" else f"/{part}"
            if step in self._directories and not self.hung:
                current = step
                continue
            if pending or follow:
                try:
                    stat = self._raw_lstat(step)
                except FileNotFoundError:
                    if pending:
                        raise no_such_file(path) from None
                    return step
                if stat.kind == "symlink":
                    links += 1
                    if links > 40:
                        raise os_error(errno.ELOOP, path)
                    if stat.target.startswith("/"):
                        current = "/"
                    pending = [p for p in stat.target.split("/") if p] + pending
                    continue
                if stat.kind == "directory":
                    if self._where(step)[0] is self.root:
                        self._directories.add(step)
                elif pending:
                    raise os_error(errno.ENOTDIR, path)
            current = step
        return current

    # -- reading -----------------------------------------------------------------------------

    def lstat(self, path: str) -> Stat:
        """What is at the path itself; raises FileNotFoundError."""
        return self._raw_lstat(self.resolve(path, follow=False))

    def stat(self, path: str) -> Stat:
        """What the path leads to; raises FileNotFoundError."""
        return self._raw_lstat(self.resolve(path))

    def exists(self, path: str) -> bool:
        """Whether the path leads to something."""
        try:
            self.stat(path)
        except OSError:
            return False
        return True

    def lexists(self, path: str) -> bool:
        """Whether there is an entry, be it a dangling link."""
        try:
            self.lstat(path)
        except OSError:
            return False
        return True

    def is_directory(self, path: str) -> bool:
        """Whether the path leads to a directory."""
        try:
            return self.stat(path).kind == "directory"
        except OSError:
            return False

    def read(self, path: str) -> bytes:
        """The bytes of a file; raises FileNotFoundError or IsADirectoryError."""
        real = self.resolve(path)
        if self._raw_lstat(real).kind == "directory":
            raise os_error(errno.EISDIR, path)
        inside = self._in_view(real)
        if inside is not None and self.view is not None:
            return self.view.read(inside)
        file_system, inner = self._where(real)
        return bytes(file_system.read_file(inner))

    def text(self, path: str) -> str:
        """A file as text; raises as `read` does."""
        return self.read(path).decode(errors="replace")

    def names(self, path: str) -> list[str]:
        """The names in a directory, sorted; raises FileNotFoundError or NotADirectoryError."""
        return self._names_in(self._directory(path))

    def entries(self, path: str) -> list[tuple[str, Stat]]:
        """The names in a directory with what lstat says of each; raises as `names` does."""
        real = self._directory(path)
        return [(name, self._raw_lstat(f"{real.rstrip('/')}/{name}")) for name in self._names_in(real)]

    def _directory(self, path: str) -> str:
        real = self.resolve(path)
        if self._raw_lstat(real).kind != "directory":
            raise os_error(errno.ENOTDIR, path)
        return real

    def _names_in(self, real: str) -> list[str]:
        inside = self._in_view(real)
        if inside is not None and self.view is not None:
            return self.view.names(inside)
        file_system, inner = self._where(real)
        return sorted(str(entry["name"]) for entry in file_system.read_dir(inner))

    # -- changing ----------------------------------------------------------------------------

    def _writable(self, path: str) -> str:
        real = self.resolve(path)
        self._check_parent(real, path)
        return real

    def _check_parent(self, real: str, path: str) -> None:
        parent = self._raw_lstat(posixpath.dirname(real))
        if parent.kind != "directory":
            raise os_error(errno.ENOTDIR, path)
        if self.read_only(real):
            raise os_error(errno.EROFS, path)

    def write(self, path: str, data: bytes, mode: int | None = None) -> None:
        """Create or replace a file; the directory must exist."""
        real = self._writable(path)
        inside = self._in_view(real)
        if inside is not None and self.view is not None:
            self.view.write(inside, data)
            return
        space = self.space(real)
        if space is not None and len(data) > space:
            raise os_error(errno.ENOSPC, path)
        file_system, inner = self._where(real)
        file_system.write_file(inner, data)
        if mode is not None:
            file_system.chmod(inner, mode)

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """Create one directory; raises FileExistsError."""
        real = self.resolve(path, follow=False)
        if self.lexists(real):
            raise os_error(errno.EEXIST, path)
        self._check_parent(real, path)
        inside = self._in_view(real)
        if inside is not None and self.view is not None:
            self.view.mkdir(inside)
            return
        file_system, inner = self._where(real)
        file_system.mkdir(inner)
        file_system.chmod(inner, mode)

    def remove(self, path: str) -> None:
        """Remove a file, a link or an empty directory; raises FileNotFoundError, ENOTEMPTY."""
        real = self.resolve(path, follow=False)
        stat = self._raw_lstat(real)
        self._check_parent(real, path)
        if real in (CONFIG_MOUNT, DATABASE_MOUNT):
            raise os_error(errno.EBUSY, path)
        inside = self._in_view(real)
        if stat.kind == "directory" and self.names(real):
            raise os_error(errno.ENOTEMPTY, path)
        if inside is not None and self.view is not None:
            self.view.remove(inside)
            return
        file_system, inner = self._where(real)
        file_system.remove(inner, recursive=stat.kind == "directory")
        for known in (self._directories, self._parents):
            known.discard(real)
        self.sockets.discard(real)
        self.modes.pop(real, None)

    def rename(self, old: str, new: str) -> None:
        """Move an entry to a new path; between file systems it is copied and removed."""
        source = self.resolve(old, follow=False)
        target = self.resolve(new, follow=False)
        stat = self._raw_lstat(source)
        self._check_parent(source, old)
        self._check_parent(target, new)
        inside, beside = self._in_view(source), self._in_view(target)
        if inside is not None and beside is not None and self.view is not None:
            self.view.rename(inside, beside)
            return
        if stat.kind == "symlink":
            self.symlink(stat.target, target, replace=True)
        elif stat.kind == "directory":
            self.mkdir(target, stat.mode)
            for name in self.names(source):
                self.rename(f"{source}/{name}", f"{target}/{name}")
        else:
            self.write(target, self.read(source), stat.mode)
        self.remove(source)

    def symlink(self, target: str, path: str, *, replace: bool = False) -> None:
        """Create a symbolic link; raises EEXIST as symlink(2) does, unless an entry is to be replaced."""
        real = self.resolve(path, follow=False)
        self._check_parent(real, path)
        if replace and self.lexists(real):
            self.remove(real)
        if self.lexists(real):
            raise os_error(errno.EEXIST, path)
        if self._in_view(real) is not None:
            raise os_error(errno.EPERM, path)
        file_system, inner = self._where(real)
        file_system.symlink(target, inner)

    def chmod(self, path: str, mode: int) -> None:
        """Set the permission bits."""
        real = self.resolve(path)
        self._raw_lstat(real)
        if self._in_view(real) is not None:
            raise os_error(errno.EPERM, path)
        file_system, inner = self._where(real)
        file_system.chmod(inner, mode)

    def touch(self, path: str) -> None:
        """Create an empty file or set the time of one."""
        real = self._writable(path)
        inside = self._in_view(real)
        if inside is not None and self.view is not None:
            self.view.touch(inside)
        elif not self.exists(real):
            self.write(real, b"")

    def may_write(self, path: str) -> None:
        """Raise what a write to the path would raise, without writing."""
        real = self._writable(path)
        inside = self._in_view(real)
        if inside is not None and self.view is not None:
            self.view.may_write(inside)

    # -- for the model itself: no permission asked ---------------------------------------------

    def make_directories(self, path: str, mode: int = 0o755) -> None:
        """Create a directory with its parents on the root file system."""
        file_system, inner = self._where(path)
        if not file_system.exists(inner):
            file_system.mkdir(inner, recursive=True)
            file_system.chmod(inner, mode)

    def put(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        """Write a file of the root file system, with its directories."""
        file_system, inner = self._where(path)
        parent = inner.rpartition("/")[0] or "/"
        if file_system is not self.root or parent not in self._parents:
            if not file_system.exists(parent):
                file_system.mkdir(parent, recursive=True)
            if file_system is self.root:
                self._parents.add(parent)
        file_system.write_file(inner, data.encode() if isinstance(data, str) else data)
        if mode != 0o644:
            file_system.chmod(inner, mode)

    def put_link(self, target: str, path: str) -> None:
        """Create or replace a symbolic link of the root file system."""
        self.discard(path)
        self.make_directories(posixpath.dirname(path))
        self._where(path)[0].symlink(target, self._where(path)[1])

    def discard(self, path: str) -> None:
        """Remove a file or a whole directory of the root file system, if it is there."""
        file_system, inner = self._where(path)
        try:
            file_system.stat(inner)
        except RuntimeError:
            return
        file_system.remove(inner, recursive=True)
        for known in (self._directories, self._parents):
            known.clear()
        self.sockets = {s for s in self.sockets if s != path and not s.startswith(path + "/")}
