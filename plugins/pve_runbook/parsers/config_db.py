"""The files of /etc/pve as config.db holds them, read with sqlite3 whether pmxcfs runs or not."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from functools import cached_property, lru_cache
from types import MappingProxyType

from msgspec import Struct

from pve_runbook.parsers.guests import FOLDERS, GuestConfig, GuestKind, parse_guest_config
from pve_runbook.parsers.output import Damaged, Output, ParseError, excerpt, lines_of, stdout_of

_GUEST = re.compile(r"nodes/(?P<node>[^/]+)/(?P<folder>qemu-server|lxc)/(?P<vmid>[1-9]\d*)\.conf")
_BROKEN = ("file is not a database", "database disk image is malformed")
_KIND: dict[str, GuestKind] = {folder: kind for kind, folder in FOLDERS.items()}


class ConfigTree(Struct, frozen=True, dict=True):
    """The database: `version` grows with every write and decides which node's copy wins when nodes meet;
    `mtime` is in seconds since 1970; `writer` is the id of the node that wrote last; `files` are by path
    below /etc/pve, the ones under priv/ never among them."""

    version: int
    mtime: int
    writer: int
    files: dict[str, bytes]

    def text(self, path: str) -> str | None:
        """The text of one file; None if the database has no such file."""
        data = self.files.get(path)
        return None if data is None else data.decode(errors="replace")

    @cached_property
    def guests(self) -> Mapping[int, GuestConfig]:
        """All guests of all nodes, by id. Raises ParseError on a configuration that cannot be read."""
        found = {
            vmid: parse_guest_config(vmid, node, kind, self.files[path])
            for vmid, (node, kind, path) in guest_conf_paths(self).items()
        }
        return MappingProxyType(found)

    @cached_property
    def guests_by_node(self) -> Mapping[str, Mapping[int, GuestConfig]]:
        """The guests of each node that has any. Raises ParseError as :attr:`guests` does."""
        found: dict[str, dict[int, GuestConfig]] = {}
        for vmid, guest in self.guests.items():
            found.setdefault(guest.node, {})[vmid] = guest
        return MappingProxyType(found)


def guest_conf_paths(tree: ConfigTree) -> dict[int, tuple[str, GuestKind, str]]:
    """Owner, kind and path of every guest's configuration, by guest id.

    Raises ParseError if one id stands there twice: pmxcfs does not load such a database (pve-cluster
    memdb.c).
    """
    found: dict[int, tuple[str, GuestKind, str]] = {}
    for path in tree.files:
        if match := _GUEST.fullmatch(path):
            vmid = int(match["vmid"])
            if vmid in found:
                raise ParseError(f"Guest {vmid} stands twice in the database: {found[vmid][2]} and {path}.")
            found[vmid] = (match["node"], _KIND[match["folder"]], path)
    return found


def parse_config_tree(output: Output) -> ConfigTree:
    """Read sqlite3's rows: one `version|version|mtime|writer`, then `file|path|hex of the content` for each
    file.

    Table and columns: pve-cluster database.c. Raises ParseError on any complaint of sqlite3 and any other
    row, Damaged where it is that the file is no database, or a broken one (sqlite.org/rescode.html, 26 and 11).
    """
    if any(words in output.stderr for words in _BROKEN):
        raise Damaged(f"sqlite3 config.db: {excerpt(output.stderr)}")
    text = stdout_of(output, "sqlite3 config.db")
    versions: list[tuple[int, int, int]] = []
    files: dict[str, bytes] = {}
    for line in lines_of(text):
        kind, _, rest = line.partition("|")
        try:
            if kind == "version":
                version, mtime, writer = rest.split("|")
                versions.append((int(version), int(mtime), int(writer)))
                continue
            path, bar, content = rest.rpartition("|")
            if kind != "file" or not bar or not path or path in files:
                raise ValueError
            files[sys.intern(path)] = _shared(bytes.fromhex(content))
        except ValueError:
            raise ParseError("sqlite3 printed a row of config.db that cannot be read.") from None
    if len(versions) != 1:
        raise ParseError(f"sqlite3 printed {len(versions)} version rows of config.db instead of one.")
    return ConfigTree(*versions[0], files)


@lru_cache(maxsize=16_384)
def _shared(data: bytes) -> bytes:
    """The same bytes, once in memory: the databases of a cluster's nodes hold the same files."""
    return data


def parse_entries(output: Output) -> dict[str, int]:
    """Read sqlite3's rows `version|path`, one for each file of the database, those under priv/ too.

    An entry keeps the version of the write that made it what it is (pve-cluster memdb.c), so that two listings tell
    which files were written in between without their contents. Raises ParseError on any other row, and on none.
    """
    found: dict[str, int] = {}
    for line in lines_of(stdout_of(output, "sqlite3 config.db")):
        version, bar, path = line.partition("|")
        if not bar or not path or not version.isdecimal() or path in found:
            raise ParseError("sqlite3 printed a row of config.db's listing that cannot be read.")
        found[path] = int(version)
    if not found:
        raise ParseError("sqlite3 printed no row of config.db's listing.")
    return found


def redact_config_tree(output: Output) -> str:
    """What the journal keeps of the rows: the version, and path, size and SHA-256 of each file, never its
    content."""
    try:
        tree = parse_config_tree(output)
    except ParseError:
        return f"{len(output.stdout)} characters that are no configuration database\n"
    head = f"version {tree.version} mtime {tree.mtime} writer {tree.writer}\n"
    return head + "".join(
        f"{path} {len(data)} bytes sha256 {hashlib.sha256(data).hexdigest()}\n" for path, data in tree.files.items()
    )
