"""The configuration database of pmxcfs: one SQLite file, /var/lib/pve-cluster/config.db.

Schema and row layout as recorded on PVE 8.3; every change raises the version by one.
"""

from __future__ import annotations

import contextlib
import functools
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

T = TypeVar("T")

FILE, DIRECTORY = 8, 4
_GUEST = re.compile(r"nodes/([^/]+)/(qemu-server|lxc)/([1-9][0-9]*)\.conf")

SCHEMA = (
    "CREATE TABLE tree (  inode INTEGER PRIMARY KEY NOT NULL,"
    "  parent INTEGER NOT NULL CHECK(typeof(parent)=='integer'),"
    "  version INTEGER NOT NULL CHECK(typeof(version)=='integer'),"
    "  writer INTEGER NOT NULL CHECK(typeof(writer)=='integer'),"
    "  mtime INTEGER NOT NULL CHECK(typeof(mtime)=='integer'),"
    "  type INTEGER NOT NULL CHECK(typeof(type)=='integer'),"
    "  name TEXT NOT NULL,  data BLOB)"
)


@dataclass(frozen=True)
class Row:
    """One inode: `type` 8 is a file, 4 a directory; `mtime` in Unix seconds."""

    inode: int
    parent: int
    version: int
    writer: int
    mtime: int
    type: int
    name: str
    data: bytes | None


@functools.cache
def is_guest(path: str) -> bool:
    """Whether it is the path of a guest's config."""
    return _GUEST.fullmatch(path) is not None


class Database:
    """The tree in memory while pmxcfs runs, and its file; `open` and `close` are pmxcfs's."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rows: dict[int, Row] = {}
        self.paths: dict[str, int] = {}
        self.generation = 0
        self._made: tuple[int, dict[str, object]] = -1, {}
        """What was made of all rows, and of which generation."""
        self._connection: sqlite3.Connection | None = None

    @property
    def head(self) -> Row:
        """The row __version__: version, writer and time of the newest change."""
        return self.rows[0]

    def open(self) -> None:
        """Load the file, creating an empty database; raises sqlite3.DatabaseError."""
        connection = sqlite3.connect(self.file, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")
            found = connection.execute("SELECT 1 FROM sqlite_master WHERE name='tree'").fetchone()
            if found is None:
                connection.execute(SCHEMA)
                connection.execute("INSERT INTO tree VALUES (0,0,1,0,0,8,'__version__',NULL)")
            rows = [Row(*values) for values in connection.execute("SELECT * FROM tree ORDER BY inode")]
        except sqlite3.Error:
            connection.close()
            raise
        self._connection = connection
        self._load(rows)

    def close(self) -> None:
        """Close the file cleanly: no -wal and -shm stay behind."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self.rows, self.paths = {}, {}
        self.generation += 1

    def _load(self, rows: list[Row]) -> None:
        self.rows = {row.inode: row for row in rows}
        self._index()

    def _index(self) -> None:
        self.paths = {}
        for row in self.rows.values():
            if row.inode:
                self.paths[self._path(row)] = row.inode
        self.generation += 1

    def _path(self, row: Row) -> str:
        return f"{self._path(self.rows[row.parent])}/{row.name}" if row.parent else row.name

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._connection is None:
            raise RuntimeError("the database is not open")
        self._connection.execute("BEGIN")
        yield self._connection
        self._connection.execute("COMMIT")

    # -- reading -----------------------------------------------------------------------------

    def get(self, path: str) -> Row | None:
        """The row of a path such as 'nodes/pve1/lrm_status'."""
        inode = self.paths.get(path)
        return None if inode is None else self.rows[inode]

    def data(self, path: str) -> bytes | None:
        """The bytes of a file, None when there is no such file."""
        row = self.get(path)
        return None if row is None or row.type != FILE else row.data or b""

    def text(self, path: str) -> str:
        """A file as text, empty when there is none."""
        return (self.data(path) or b"").decode(errors="replace")

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` makes of all rows: once for each generation."""
        if self._made[0] != self.generation:
            self._made = self.generation, {}
        made = self._made[1]
        if name not in made:
            made[name] = make()
        return cast(T, made[name])

    def names(self, path: str) -> list[str]:
        """What stands in a directory; '' is the root."""
        return self.once("names", self._names).get(path, [])

    def _names(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self.paths:
            parent, _, name = path.rpartition("/")
            found.setdefault(parent, []).append(name)
        return found

    def guests(self) -> list[tuple[int, str, str, int]]:
        """All guests' configs: vmid, owner, qemu or lxc, version of the config."""
        return self.once("guests", self._guests)

    def _guests(self) -> list[tuple[int, str, str, int]]:
        found = []
        for path, inode in self.paths.items():
            match = _GUEST.fullmatch(path) if is_guest(path) else None
            if match:
                kind = "qemu" if match[2] == "qemu-server" else "lxc"
                found.append((int(match[3]), match[1], kind, self.rows[inode].version))
        return sorted(found)

    # -- changing ----------------------------------------------------------------------------

    def _store(self, row: Row) -> None:
        head = Row(0, 0, row.version, row.writer, row.mtime, FILE, "__version__", None)
        with self._transaction() as connection:
            for item in (row, head):
                connection.execute(
                    "INSERT OR REPLACE INTO tree VALUES (?,?,?,?,?,?,?,?)",
                    (
                        item.inode,
                        item.parent,
                        item.version,
                        item.writer,
                        item.mtime,
                        item.type,
                        item.name,
                        item.data,
                    ),
                )
        self.rows[row.inode] = row
        self.rows[0] = head

    def write(self, path: str, data: bytes, *, writer: int, mtime: int) -> None:
        """Create or replace a file; its directory must exist (KeyError)."""
        self._put(path, FILE, data, writer, mtime)

    def mkdir(self, path: str, *, writer: int, mtime: int) -> None:
        """Create a directory."""
        self._put(path, DIRECTORY, None, writer, mtime)

    def _put(self, path: str, kind: int, data: bytes | None, writer: int, mtime: int) -> None:
        parent, _, name = path.rpartition("/")
        version = self.head.version + 1
        old = self.get(path)
        inode = version if old is None else old.inode
        self._store(Row(inode, self.paths[parent] if parent else 0, version, writer, mtime, kind, name, data))
        self.paths[path] = inode
        self.generation += 1

    def rename(self, old: str, new: str, *, writer: int, mtime: int) -> None:
        """Rename a file or directory, replacing a file of the new name."""
        replaced = self.get(new)
        if replaced is not None:
            self.delete(new, writer=writer, mtime=mtime)
        row = self.rows[self.paths[old]]
        parent, _, name = new.rpartition("/")
        version = self.head.version + 1
        self._store(
            Row(
                row.inode,
                self.paths[parent] if parent else 0,
                version,
                writer,
                mtime,
                row.type,
                name,
                row.data,
            )
        )
        self._index()

    def delete(self, path: str, *, writer: int, mtime: int) -> None:
        """Remove a file or an empty directory."""
        inode = self.paths.pop(path)
        with self._transaction() as connection:
            connection.execute("DELETE FROM tree WHERE inode=?", (inode,))
        del self.rows[inode]
        self._store(Row(0, 0, self.head.version + 1, writer, mtime, FILE, "__version__", None))
        self.generation += 1

    def replace(self, rows: list[Row]) -> None:
        """Take over a leader's tree wholesale, as a joining member does."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM tree")
            connection.executemany(
                "INSERT INTO tree VALUES (?,?,?,?,?,?,?,?)",
                [(r.inode, r.parent, r.version, r.writer, r.mtime, r.type, r.name, r.data) for r in rows],
            )
        self._load(rows)
