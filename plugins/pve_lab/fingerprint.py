"""All that a node is, as one entry a thing: to be compared before and after something that must not change it."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator

from bashkit import FileSystem

from pve_lab.model.files import CONFIG_MOUNT, DATABASE_MOUNT
from pve_lab.model.node import Node

BY_THEMSELVES = frozenset({"/proc/uptime", "/proc/loadavg", "/proc/mounts"})
"""What the kernel writes whenever it is read; the mounts are entries of their own."""
_LOCKS = (".db-shm",)
"""SQLite keeps the readers' locks there, in memory: that the file is there counts, its bytes do not."""


def fingerprint(node: Node) -> dict[str, str]:
    """Every file (type, mode, time, contents), unit, process, mount and volume of the node."""
    found: dict[str, str] = {}
    files = node.files
    for mount, tree in (("/", files.root), (DATABASE_MOUNT, files.database)):
        found.update(_tree(tree, mount))
    found.update(_configuration(node) if node.pmxcfs.mounted else _tree(files.config, CONFIG_MOUNT))
    for name, unit in node.units.table.items():
        found[f"unit {name}"] = f"{unit.active} {unit.sub} {unit.unit_file_state} {unit.main_pid} job {unit.job}"
    for pid, process in node.processes.table.items():
        found[f"process {pid}"] = f"{process.cmdline} since {process.start}"
    for number, mount_point in enumerate(node.storages.all_mounts()):
        found[f"mount {number}"] = str(mount_point)
    found["volumes"] = f"{node.storages.logical_volumes} {node.storages.datasets}"
    pmxcfs = node.pmxcfs
    found["pmxcfs"] = f"{pmxcfs.pid} {pmxcfs.quorate} {pmxcfs.database.generation} {pmxcfs.members_version}"
    found["boot"] = node.boot_id
    return found


def _configuration(node: Node) -> Iterator[tuple[str, str]]:
    """/etc/pve as pmxcfs shows it, past whatever makes an access to it hang."""
    pending = [""]
    while pending:
        path = pending.pop()
        status = node.pmxcfs.lstat(path)
        if status.kind == "directory":
            pending += [posixpath.join(path, name) for name in node.pmxcfs.names(path)]
        data = node.pmxcfs.read(path) if status.kind == "file" else status.target.encode()
        digest = hashlib.sha256(data).hexdigest()
        yield f"file {posixpath.join(CONFIG_MOUNT, path)}", f"{status.kind} {status.mode} {digest}"


def _tree(tree: FileSystem, mount: str) -> Iterator[tuple[str, str]]:
    pending = ["/"]
    while pending:
        directory = pending.pop()
        for entry in tree.read_dir(directory):
            inner = posixpath.join(directory, str(entry["name"]))
            path = posixpath.join(mount, inner.lstrip("/"))
            if path not in BY_THEMSELVES:
                yield f"file {path}", _entry(tree, inner)
            if tree.stat(inner)["file_type"] == "directory":
                pending.append(inner)


def _entry(tree: FileSystem, path: str) -> str:
    status = tree.stat(path)
    kind = str(status["file_type"])
    if kind == "directory":
        return f"directory {status['mode']}"
    if kind == "symlink":
        return f"symlink {tree.read_link(path)}"
    if path.endswith(_LOCKS):
        return kind
    return f"{kind} {status['mode']} {status['modified']} {hashlib.sha256(tree.read_file(path)).hexdigest()}"
