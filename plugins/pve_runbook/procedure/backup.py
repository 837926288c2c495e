"""Backups of one node: measured and made on it, pulled to the control host, opened and checked there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from pve_runbook.facts.units import Unit
from pve_runbook.work import actions, families
from pve_runbook.work.action import Action
from pve_runbook.work.backup_contents import (
    COROSYNC_FILES,
    database_problem,
    pve_archive_problem,
    system_archive_problem,
)
from pve_runbook.work.cluster import Cluster
from pve_runbook.work.errors import ForOperator
from pve_runbook.work.node import Node
from pve_runbook.work.probe import BACKUP_ROOT, CONFIG_DB
from pve_runbook.work.refusal import refusal

SPACE_KIB = 262_144
"""Free space asked for beside a backup: 256 MiB, twice what pmxcfs itself allows its database."""

SYSTEM_TAR, PVE_TAR = "system.tar.gz", "etc-pve.tar.gz"
ALWAYS = ("config.db", SYSTEM_TAR, "units.json")
"""The backups that every node has; PVE_TAR is one more where /etc/pve was mounted."""

_AT_A_TIME = threading.BoundedSemaphore(4)
"""So many nodes' backups are in memory at once: each holds every guest of the cluster, several times over while it is
pulled and opened."""
_DATABASE = (CONFIG_DB, f"{CONFIG_DB}-wal")
_SYSTEM = ("/etc/corosync", "/var/lib/corosync", "/etc/network", "/root/.ssh")


class BackupFailed(ForOperator):
    """A backup is not what it should be, or has no room: nothing may be changed on that node."""


def preparation(run: str) -> list[Action]:
    """What makes the node's own folder, before anything is measured."""
    return [actions.MAKE_FOLDER.bind(run=run)]


def commands(run: str, is_mounted: bool) -> list[Action]:
    """What makes the backups on a node; ``is_mounted``: whether /etc/pve is."""
    tree = [actions.BACKUP_PVE.bind(run=run)] if is_mounted else []
    return [actions.BACKUP_DB.bind(run=run), *tree, actions.BACKUP_SYSTEM.bind(run=run)]


def back_up_all(cluster: Cluster, nodes: Sequence[Node], name: str, folder: Path) -> None:
    """Back ``nodes`` up side by side, into their own folders for ``name`` and into ``folder``, once all are measured.

    Raises as :func:`measure`, :func:`make_sure_it_fits` and :func:`back_up` do.
    """
    sizes = cluster.each(lambda node: measure(node, name), nodes)
    make_sure_it_fits(folder, sum(sizes))
    cluster.each(lambda node: back_up(node, name, folder / node.name), nodes)


def measure(node: Node, run: str) -> int:
    """Make the node's own folder; return how many bytes its backups may have, unpacked.

    Raises BackupFailed when they do not fit there beside the copy that the window makes, ActionFailed, OutcomeUnknown,
    UnknownFact.
    """
    trees = ("/etc/pve", *_SYSTEM) if len(node.facts.pve_mounts) == 1 else _SYSTEM
    for action in preparation(run):
        node.act(action)
    sizes = node.ask_about(families.SIZES, " ".join((*_DATABASE, *trees)))
    [space] = node.ask_about(families.FOLDER_SPACE, run)
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
        where,
        seen=f"the backups need {needed_kib} KiB in {folder} and {SPACE_KIB} KiB must stay free; "
        f"{available_kib} KiB are left",
        why="without room for a whole backup there is no way back; nothing was changed",
        do="Free some space there, then run the same command line again",
    )


def back_up(node: Node, run: str, folder: Path) -> None:
    """Back ``node`` up into its own folder, which is there already, and into ``folder`` (created 0700).

    Raises BackupFailed, ActionFailed, OutcomeUnknown, UnknownFact; the node's cluster state is not touched.
    """
    facts = node.facts
    live = facts.tree.files
    units = unit_states(facts.units)
    mounted = len(facts.pve_mounts) == 1
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _keep(node, folder, "units.json", units)
    for action in commands(run, mounted):
        node.act(action)
    names = ["config.db", SYSTEM_TAR, *([PVE_TAR] if mounted else [])]
    paths = {name: f"{BACKUP_ROOT}/{run}/{name}" for name in names}
    sums = node.ask_about(families.SUMS, " ".join((*paths.values(), *COROSYNC_FILES)))
    with _AT_A_TIME:
        pulled = {name: _pull(node, folder, name, path, sums) for name, path in paths.items()}
        problem = database_problem(node.name, folder / "config.db", live)
        problem = problem or system_archive_problem(node.name, paths[SYSTEM_TAR], pulled[SYSTEM_TAR], sums)
        if mounted:
            problem = problem or pve_archive_problem(node.name, paths[PVE_TAR], pulled[PVE_TAR], live)
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
                node.name,
                seen=f"{path} has SHA-256 {sums.get(path)} there and {digest} here",
                why="a backup that differs from its source is none; nothing was changed",
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
                node.name,
                seen="the unfinished run has changed nodes, but does not name all backups of this one",
                why="without the state from before the first change there is no way back",
                do=f"Look into {earlier}, and at {BACKUP_ROOT} on the node",
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
                node.name,
                seen=f"its backup {name} cannot be written here: {error}",
                why="without a whole backup there is no way back; nothing further is changed",
                do=f"See to {folder} on this machine, then run the same command line again",
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
