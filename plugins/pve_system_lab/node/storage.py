"""pvesm: the storages of storage.cfg, as far as the lab has them: directories, and what stands in for NFS."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pve_lab.formats.storage_cfg import Storage, parse_storage_cfg
from pve_lab.formats.texts import StorageRow, pvesm_status

from pve_system_lab.node.process import ask_pmxcfs
from pve_system_lab.node.release import RELEASE
from pve_system_lab.node.words import Said

PATIENCE = 2
"""Seconds that Proxmox waits for a file system's sizes (pve-storage Plugin.pm, status)."""


def _all() -> Sequence[Storage]:
    return parse_storage_cfg(Path("/etc/pve/storage.cfg").read_text())


def usage(storage: Storage) -> tuple[int, int] | None:
    """KiB in all and KiB used; None for a storage that is not there, not mounted, or does not answer."""
    has_to_be_mounted = storage.kind == "nfs" or storage.settings.get("is_mountpoint") == "1"
    mounted = {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()}
    if has_to_be_mounted and storage.path not in mounted:
        return None
    asked = ["timeout", "-s", "KILL", str(PATIENCE), "stat", "-f", "-c", "%S %b %f", storage.path]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    size, blocks, free = map(int, done.stdout.split())
    return blocks * size // 1024, (blocks - free) * size // 1024


def _row(storage: Storage) -> StorageRow:
    nodes = storage.settings.get("nodes", "")
    here = not nodes or os.uname().nodename.partition(".")[0] in nodes.split(",")
    if storage.settings.get("disable") == "1" or not here:
        return StorageRow(storage, "disabled")
    found = usage(storage)
    return StorageRow(storage, "inactive") if found is None else StorageRow(storage, "active", *found)


def pvesm(argv: Sequence[str]) -> Said:
    """pvesm status | path VOLUME."""
    ask_pmxcfs()
    if argv[:1] == ["status"]:
        return Said(pvesm_status([_row(s) for s in _all()], kib=RELEASE.kib_header))
    if argv[:1] == ["path"] and len(argv) > 1:
        ident, _, name = argv[1].partition(":")
        storage = next((s for s in _all() if s.ident == ident), None)
        if storage is None:
            return Said("", f"storage '{ident}' does not exist\n", 255)
        return Said(f"{storage.path}/images/{name}\n")
    return Said("", f"ERROR: unknown command 'pvesm {' '.join(argv)}'\n", 255)
