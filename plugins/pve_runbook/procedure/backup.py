"""Backups of one node: measured and made on it, pulled to the control host, opened and checked there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from pve_runbook.actions import registry as actions
from pve_runbook.actions.action import Action
from pve_runbook.actions.errors import ForOperator
from pve_runbook.cluster.cluster import Cluster
from pve_runbook.cluster.node import Node
from pve_runbook.parsers.systemd import Unit
from pve_runbook.probes import per_subject
from pve_runbook.probes import registry as probes
from pve_runbook.probes.probe import BACKUP_ROOT, CONFIG_DB, Probe
from pve_runbook.procedure.backup_check import (
    COROSYNC_FILES,
    database_problem,
    pve_archive_problem,
    system_archive_problem,
)
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

SPACE_KIB = 262_144
"""Free space asked for beside a backup: 256 MiB, twice what pmxcfs itself allows its database."""

SYSTEM_TAR, PVE_TAR = "system.tar.gz", "etc-pve.tar.gz"
ALWAYS = ("config.db", SYSTEM_TAR, "units.json")
"""The backups that every node has; PVE_TAR is one more where /etc/pve was mounted."""

_AT_A_TIME = threading.BoundedSemaphore(4)
"""So many nodes' backups are in memory at once: each holds every guest of the cluster, several times over while it is
pulled and opened."""
_DATABASE = (CONFIG_DB, f"{CONFIG_DB}-wal")
COMPARED: tuple[Probe[object], ...] = (
    *(probes.PMXCFS_PROCESS, probes.DB_DIR, probes.TREE),
    *(probes.UNIT_STATES, probes.PVE_MOUNT),
)
"""What tells what the backups are compared with; the first two, how the database may be read."""
_SYSTEM = ("/etc/corosync", "/var/lib/corosync", "/etc/network", "/root/.ssh")


class BackupFailed(ForOperator):
    """A backup is not what it should be, or has no room: nothing may be changed on that node."""


def commands(run: str, is_mounted: bool) -> list[Action]:
    """What makes the backups on a node; ``is_mounted``: whether /etc/pve is."""
    tree = [actions.BACKUP_PVE.bind(run=run)] if is_mounted else []
    return [actions.BACKUP_DB.bind(run=run), *tree, actions.BACKUP_SYSTEM.bind(run=run)]


class Copies:
    """The backups of one run: ``run`` names their folder on each node, ``folder`` is where their copies go here."""

    def __init__(self, run: str, folder: Path) -> None:
        self._run = run
        self._folder = folder
        self._live: dict[str, _Live] = {}

    def make_sure_they_fit(self, cluster: Cluster, nodes: Sequence[Node]) -> None:
        """Measure what is to be backed up, on ``nodes`` side by side. Raises BackupFailed, UnknownFact."""
        sizes = cluster.each(lambda node: measure(node, self._run), nodes)
        make_sure_it_fits(self._folder, sum(sizes))

    def note(self, node: Node) -> None:
        """Hold on to what ``node`` is before its backups are made: they are compared with it. Raises UnknownFact."""
        facts = node.facts
        self._live[node.name] = _Live(facts.tree.files, unit_states(facts.units), len(facts.pve_mounts) == 1)

    def bring(self, node: Node) -> None:
        """Bring the backups of ``node`` here, into a folder of its own (0700), and check them.

        Raises BackupFailed, UnknownFact.
        """
        back_up(node, self._run, self._folder / node.name, self._live[node.name])


class _Live(Struct, frozen=True):
    """What a node held: path → content in its database, its units as JSON, whether /etc/pve was mounted."""

    files: Mapping[str, bytes]
    units: bytes
    mounted: bool


def measure(node: Node, run: str) -> int:
    """How many bytes the node's backups may have, unpacked; its own folder is there already.

    Raises BackupFailed when they do not fit there beside the copy that the window makes, UnknownFact.
    """
    with node.asking_only((probes.PVE_MOUNT,)):
        trees = ("/etc/pve", *_SYSTEM) if len(node.facts.pve_mounts) == 1 else _SYSTEM
    sizes = node.ask_about(per_subject.SIZES, " ".join((*_DATABASE, *trees)))
    [space] = node.ask_about(per_subject.FOLDER_SPACE, run)
    again = sum(size for path, size in sizes.items() if path in (*_DATABASE, "/etc/corosync"))
    total = sum(sizes.values())
    problem = _no_room(node.name, f"{BACKUP_ROOT} there", total + again, space.available_kib)
    if problem:
        raise BackupFailed(problem)
    return total


def make_sure_it_fits(folder: Path, size: int) -> None:
    """See that ``size`` bytes fit into ``folder``, on the control host. Raises BackupFailed."""
    problem = _no_room("this machine", str(folder), size, shutil.disk_usage(folder).free // 1024)
    if problem:
        raise BackupFailed(problem)


def _no_room(where: str, folder: str, size: int, available_kib: int) -> str:
    needed_kib = -(-size // 1024)
    if needed_kib + SPACE_KIB <= available_kib:
        return ""
    return refusal(
        RefusalId.NO_ROOM_FOR_BACKUPS,
        where,
        seen=f"the backups need {needed_kib} KiB in {folder} and {SPACE_KIB} KiB must stay free; "
        f"{available_kib} KiB are left",
        why="without room for a whole backup there is no way back; nothing was changed",
        do="Free some space there, then run the same command line again",
    )


def back_up(node: Node, run: str, folder: Path, live: _Live) -> None:
    """Bring what was made on ``node`` into ``folder`` (created 0700), and hold it against what was ``live``.

    Raises BackupFailed, UnknownFact.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _keep(node, folder, "units.json", live.units)
    names = ["config.db", SYSTEM_TAR, *([PVE_TAR] if live.mounted else [])]
    paths = {name: f"{BACKUP_ROOT}/{run}/{name}" for name in names}
    sums = node.ask_about(per_subject.SUMS, " ".join((*paths.values(), *COROSYNC_FILES)))
    with _AT_A_TIME:
        pulled = {name: _pull(node, folder, name, path, sums) for name, path in paths.items()}
        problem = database_problem(node.name, folder / "config.db", live.files)
        problem = problem or system_archive_problem(node.name, paths[SYSTEM_TAR], pulled[SYSTEM_TAR], sums)
        if live.mounted:
            problem = problem or pve_archive_problem(node.name, paths[PVE_TAR], pulled[PVE_TAR], live.files)
    if problem:
        raise BackupFailed(problem)


def unit_states(units: Mapping[str, Unit]) -> bytes:
    """What ran and what would start at the next boot, as a JSON object by unit name; the words are systemctl's."""
    states = {
        name: {"active": unit.active, "sub": unit.sub, "file_state": unit.file_state}
        for name, unit in units.items()
        if unit.exists
    }
    return json.dumps(states, indent=1, sort_keys=True).encode() + b"\n"


def _pull(node: Node, folder: Path, name: str, path: str, sums: Mapping[str, str]) -> bytes:
    """Bring one file here; its bytes. Raises BackupFailed when they are not the node's."""
    data = node.fetch(path)
    digest = hashlib.sha256(data).hexdigest()
    if sums.get(path) != digest:
        raise BackupFailed(
            refusal(
                RefusalId.PULLED_OTHERWISE,
                node.name,
                seen=f"{path} has SHA-256 {sums.get(path)} there and {digest} here",
                why="a backup that differs from its source is no backup; nothing was changed",
                do="Run the same command line again",
            )
        )
    _keep(node, folder, name, data)
    return data


def take_over(node: Node, earlier: Path, folder: Path, hashes: Mapping[str, str]) -> None:
    """Copy the backups that an unfinished run made of ``node`` before it changed anything into ``folder``.

    ``hashes``: file name → SHA-256 as that run's journal has them. Raises BackupFailed when one is missing or is not
    what it was: new ones would hold what was changed meanwhile.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not set(ALWAYS) <= set(hashes):
        raise BackupFailed(
            refusal(
                RefusalId.BACKUPS_ARE_NOT_NAMED,
                node.name,
                seen="the unfinished run has changed nodes, but does not name all backups of this one",
                why="without the state from before the first change there is no way back",
                do=f"Look into {earlier}, and at {BACKUP_ROOT} on the node; to give that run up for good: "
                f"--break-lock={node.work}",
            )
        )
    for name, digest in sorted(hashes.items()):
        _keep(node, folder, name, unchanged(node, earlier / name, digest))


def unchanged(node: Node, path: Path, digest: str) -> bytes:
    """A backup of ``node`` that an earlier run wrote to ``path``. Raises BackupFailed when it is not that any more."""
    data = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(data).hexdigest() != digest:
        raise BackupFailed(_not_what_it_was(node, path, "changed" if data else "missing", digest))
    return data


def _not_what_it_was(node: Node, path: Path, state: str, digest: str) -> str:
    there = f"from {BACKUP_ROOT}/{node.work} on the node"
    return refusal(
        RefusalId.BACKUP_IS_NOT_WHAT_IT_WAS,
        node.name,
        seen=f"the backup {path} is {state}: its journal says SHA-256 {digest}",
        why="it is the only state from before the first change; nothing more is changed without it",
        do=f"Put the file back, {'from a copy of that folder' if path.name == 'units.json' else there}, "
        f"then run the same command line again",
    )


def _keep(node: Node, folder: Path, name: str, data: bytes) -> None:
    """Write one backup for the owner only, and name it in the journal. Raises BackupFailed."""
    try:
        _write(folder / name, data)
    except OSError as error:
        raise BackupFailed(
            refusal(
                RefusalId.BACKUP_IS_NOT_WRITTEN,
                node.name,
                seen=f"its backup {name} cannot be written here: {error}",
                why="without a whole backup there is no way back; nothing further is changed",
                do=f"Check the folder {folder} on this machine, then run the same command line again",
            )
        ) from None
    node.journal_transfer(name, len(data), hashlib.sha256(data).hexdigest())


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
