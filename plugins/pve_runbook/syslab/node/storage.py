"""pvesm: the storages of storage.cfg, as far as the lab has them (directories)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pve_runbook.lab.model.storage import Storage, parse_storage_cfg
from pve_runbook.lab.texts import StorageRow, pvesm_status
from pve_runbook.syslab.node.process import ask_pmxcfs
from pve_runbook.syslab.node.words import Said


def _all() -> list[Storage]:
    return parse_storage_cfg(Path("/etc/pve/storage.cfg").read_text())


def active(storage: Storage) -> bool:
    """Whether its directory is there, and mounted where it has to be."""
    mounted = storage.settings.get("is_mountpoint") != "1" or os.path.ismount(storage.path)
    return mounted and os.path.isdir(storage.path)


def usage(storage: Storage) -> tuple[int, int]:
    """KiB in all, KiB used."""
    found = os.statvfs(storage.path)
    return found.f_blocks * found.f_frsize // 1024, (found.f_blocks - found.f_bfree) * found.f_frsize // 1024


def _row(storage: Storage) -> StorageRow:
    nodes = storage.settings.get("nodes", "")
    here = not nodes or os.uname().nodename.partition(".")[0] in nodes.split(",")
    if storage.settings.get("disable") == "1" or not here:
        return StorageRow(storage, "disabled")
    return StorageRow(storage, "active", *usage(storage)) if active(storage) else StorageRow(storage, "inactive")


def pvesm(argv: Sequence[str]) -> Said:
    """pvesm status | path VOLUME."""
    ask_pmxcfs()
    if argv[:1] == ["status"]:
        return Said(pvesm_status([_row(s) for s in _all()], kib=False))
    if argv[:1] == ["path"] and len(argv) > 1:
        ident, _, name = argv[1].partition(":")
        storage = next((s for s in _all() if s.ident == ident), None)
        if storage is None:
            return Said("", f"storage '{ident}' does not exist\n", 255)
        return Said(f"{storage.path}/images/{name}\n")
    return Said("", f"ERROR: unknown command 'pvesm {' '.join(argv)}'\n", 255)
