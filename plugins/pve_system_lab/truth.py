"""The nodes as this machine sees them, past every probe: their guests' processes, their files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from pve_system_lab.container import Container

_GUEST = re.compile(r"(?:/usr/bin/kvm -id|/usr/bin/lxc-start -F -n) (\d+)\b")


@dataclass(frozen=True)
class GuestProcess:
    """A guest that runs: pid and start time (field 22 of /proc/PID/stat) by this machine's numbers."""

    node: str
    vmid: int
    pid: int
    start: int


def guests(containers: list[Container]) -> dict[int, GuestProcess]:
    """All guests that run, by vmid."""
    found = {}
    for container in containers:
        for pid in container.pids():
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                match = _GUEST.match(line)
                if match:
                    start = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
                    found[int(match[1])] = GuestProcess(container.node.name, int(match[1]), pid, start)
    return found


def files(container: Container) -> dict[str, str]:
    """Everything the node wrote since it was made: path to what it is, with the SHA-256 of a file."""
    found = {}
    for folder, names, leaves in os.walk(container.upper):
        for name in (*names, *leaves):
            path = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                found[str(path.relative_to(container.upper))] = _what(path)
    return found


def _what(path: Path) -> str:
    status = path.lstat()
    what = f"{status.st_mode:o} {status.st_uid}:{status.st_gid}"
    if path.is_symlink():
        return f"{what} -> {os.readlink(path)}"
    return f"{what} {hashlib.sha256(path.read_bytes()).hexdigest()}" if path.is_file() else what
