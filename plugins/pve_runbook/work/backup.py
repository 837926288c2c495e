"""Backups of one node: made on it, pulled to the control host, opened and checked there."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from pve_runbook.facts.config_tree import parse_config_tree
from pve_runbook.facts.output import Output
from pve_runbook.work import actions, probes
from pve_runbook.work.node import Node
from pve_runbook.work.probes import BACKUP_ROOT

SPACE_KIB = 262_144
"""Free space asked for before a backup is begun: 256 MiB, twice what pmxcfs itself allows its database."""


class BackupFailed(Exception):
    """A backup is not what it should be: nothing may be changed on that node."""


def back_up(node: Node, run: str, folder: Path) -> list[Path]:
    """Back ``node`` up into its own folder and into ``folder`` (created 0700); return the files here.

    Raises BackupFailed, ActionFailed, OutcomeUnknown, UnknownFact; the node's cluster state is not touched.
    """
    facts = node.facts
    live = facts.tree
    mounted = len(facts.pve_mounts) == 1
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    node.act(actions.MAKE_FOLDER.bind(run=run))
    node.act(actions.BACKUP_DB.bind(run=run))
    names = ["config.db", "system.tar.gz"]
    if mounted:
        node.act(actions.BACKUP_PVE.bind(run=run))
        names.append("etc-pve.tar.gz")
    node.act(actions.BACKUP_SYSTEM.bind(run=run))
    paths = {name: f"{BACKUP_ROOT}/{run}/{name}" for name in names}
    sums = node.ask_about(probes.SUMS, " ".join(paths.values()))
    files = []
    for name, path in paths.items():
        data = node.fetch(path)
        digest = hashlib.sha256(data).hexdigest()
        if sums.get(path) != digest:
            raise BackupFailed(
                f"{node.name}: {path} has SHA-256 {sums.get(path)} there and {digest} here.\n"
                f"A backup that differs from its source is none; nothing was changed.\n"
                f"Run the same command line again"
            )
        target = folder / name
        _write(target, data)
        files.append(target)
        node.journal_transfer(name, len(data), digest)
    _check_database(node, folder / "config.db", live.files)
    return files


def take_over(node: Node, earlier: Path, folder: Path, hashes: Mapping[str, str]) -> None:
    """Copy the backups that an unfinished run made of ``node`` before it changed anything into ``folder``.

    ``hashes``: file name → SHA-256 as that run's journal has them. Raises BackupFailed when one is missing or is not
    what it was: new ones would hold what was changed meanwhile.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not {"config.db", "system.tar.gz"} <= set(hashes):
        raise BackupFailed(
            f"{node.name}: the unfinished run has changed nodes, but names no backup of this one.\n"
            f"Without the state before the first change there is no way back.\n"
            f"Look into {earlier}, and at {BACKUP_ROOT} on the node"
        )
    for name, digest in sorted(hashes.items()):
        path = earlier / name
        data = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(data).hexdigest() != digest:
            state = "changed" if data else "missing"
            raise BackupFailed(
                f"{node.name}: the backup {path} is {state}: its journal says SHA-256 {digest}.\n"
                f"It is the only state from before the first change; nothing more is changed without it.\n"
                f"Put the file back, from {BACKUP_ROOT}/{node.work} on the node, then run the same command line again"
            )
        _write(folder / name, data)
        node.journal_transfer(name, len(data), digest)


def _write(path: Path, data: bytes) -> None:
    """Write for the owner only, and sync: from here on it is what a way back depends on."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def _check_database(node: Node, path: Path, live: dict[str, bytes]) -> None:
    """Open the copy as SQLite would after a restore. Raises BackupFailed."""
    uri = f"file:{path}?immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as db:
            verdict = db.execute("PRAGMA integrity_check").fetchone()[0]
            rows = ["|".join(str(c) for c in row) for q in probes.TREE_SQL.split("; ") for row in db.execute(q)]
    except sqlite3.Error as error:
        verdict, rows = str(error), []
    if verdict != "ok":
        raise BackupFailed(
            f"{node.name}: the copy of config.db does not open: {verdict}.\n"
            f"Without a sound copy there is no way back; nothing was changed.\n"
            f"Look at it on the node: sqlite3 {probes.CONFIG_DB} 'PRAGMA integrity_check'"
        )
    copy = parse_config_tree(Output("\n".join(rows) + "\n", "", 0)).files
    wrong = sorted(p for p in live.keys() | copy.keys() if p.endswith(".conf") and live.get(p) != copy.get(p))
    if wrong:
        raise BackupFailed(
            f"{node.name}: the copy of config.db and the live one differ in {', '.join(wrong[:5])}.\n"
            f"Somebody is changing guests at this moment, or the copy is incomplete; nothing was changed.\n"
            f"Wait until nobody works on the cluster, then run the same command line again"
        )
