"""What is inside a backup that lies on the control host, held against the node it came from."""

from __future__ import annotations

import gzip
import hashlib
import io
import sqlite3
import tarfile
import zlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from posixpath import basename

from pve_runbook.parsers.output import ParseError
from pve_runbook.probes.probe import CONFIG_DB
from pve_runbook.procedure.config_db_diff import read_database
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

COROSYNC_FILES = ("/etc/corosync/corosync.conf", "/etc/corosync/authkey")
"""Without the two there is no way back into the cluster (pve-docs pvecm.adoc)."""

MISSING = "(it is missing)"


class Unreadable(Exception):
    """An archive that does not open, or not to its end."""


def database_problem(node: str, path: Path, live: Mapping[str, bytes]) -> str:
    """What is wrong with the copy of config.db at ``path`` here, in words, or "": opened as SQLite would after a
    restore, it has every guest's config and corosync.conf as in ``live``, the files of the node's own database by path
    below /etc/pve."""
    uri = f"file:{path}?immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as db:
            verdict = str(db.execute("PRAGMA integrity_check").fetchone()[0])
        copy = read_database(path).tree.files if verdict == "ok" else {}
    except (sqlite3.Error, ParseError) as error:
        verdict, copy = str(error), {}
    if verdict != "ok":
        return _not_open(node, "config.db", verdict, f"sqlite3 {CONFIG_DB} 'PRAGMA integrity_check'")
    return _difference(node, "config.db", live, copy)


def pve_archive_problem(node: str, path: str, data: bytes, live: Mapping[str, bytes]) -> str:
    """What is wrong with the archive of /etc/pve that came from ``path`` on the node, in words, or "": it has the same
    as :func:`database_problem` asks for."""
    name = basename(path)
    try:
        files = unpacked(data)
    except Unreadable as error:
        return _not_open(node, name, str(error), f"tar -tzf {path}")
    below = {p.removeprefix("etc/pve/"): content for p, content in files.items()}
    return _difference(node, name, live, {p: c for p, c in below.items() if "priv" not in p.split("/")})


def system_archive_problem(node: str, path: str, data: bytes, sums: Mapping[str, str]) -> str:
    """What is wrong with the archive that came from ``path`` on the node, in words, or "": it has corosync's
    configuration and key as the node has them.

    ``sums``: absolute path on the node → SHA-256; a file that the node does not have has no entry.
    """
    name = basename(path)
    try:
        files = unpacked(data)
    except Unreadable as error:
        return _not_open(node, name, str(error), f"tar -tzf {path}")
    for file in COROSYNC_FILES:
        content = files.get(file.lstrip("/"))
        digest = None if content is None else hashlib.sha256(content).hexdigest()
        if digest != sums.get(file):
            return refusal(
                RefusalId.ARCHIVE_IS_OTHERWISE,
                node,
                seen=f"{file} has SHA-256 {sums.get(file, MISSING)} there and {digest or MISSING} in the backup {name}",
                why="without corosync's own configuration and key there is no way back; nothing was changed",
                do=f"Look at {file} there, then run the same command line again",
            )
    return ""


def unpacked(data: bytes) -> dict[str, bytes]:
    """The regular files of a .tar.gz, read to its end. Raises Unreadable."""
    try:
        # tarfile stops at the mark of the archive's end: gzip's own check of the whole comes after that.
        whole = gzip.decompress(data)
        with tarfile.open(fileobj=io.BytesIO(whole), mode="r:") as archive:
            # cut out by hand: a file object for each of thousands of configs takes longer than to find them
            return {m.name: whole[m.offset_data : m.offset_data + m.size] for m in archive if m.isfile()}
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise Unreadable(str(error) or type(error).__name__) from None


def _not_open(node: str, name: str, why: str, command: str) -> str:
    return refusal(
        RefusalId.BACKUP_DOES_NOT_OPEN,
        node,
        seen=f"the copy of {name} does not open: {why}",
        why="without a sound copy there is no way back; nothing was changed",
        do=f"Look at it there (`{command}`), then run the same command line again",
    )


def _difference(node: str, name: str, live: Mapping[str, bytes], copy: Mapping[str, bytes]) -> str:
    """Guests' configs and corosync.conf that are not the same in both; a name ending in .conf is all of them."""
    wrong = sorted(p for p in live.keys() | copy.keys() if p.endswith(".conf") and live.get(p) != copy.get(p))
    if not wrong:
        return ""
    return refusal(
        RefusalId.BACKUP_DIFFERS,
        node,
        seen=f"the copy of {name} and the live configuration differ in {', '.join(wrong[:5])}",
        why="somebody is changing guests at this moment, or the copy is incomplete; nothing was changed",
        do="Wait until nobody works on the cluster, then run the same command line again",
    )
