"""storage.cfg: the storages of a cluster and what of them matters here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

_MOUNTED = ("nfs", "cifs", "cephfs", "glusterfs")


@dataclass
class Storage:
    """One storage as storage.cfg defines it; sizes in KiB."""

    ident: str
    kind: str
    settings: dict[str, str]

    @property
    def shared(self) -> bool:
        """Whether all nodes see the same volumes."""
        return self.kind in (*_MOUNTED, "rbd", "pbs", "iscsi", "zfs", "esxi") or self.settings.get("shared") == "1"

    @property
    def path(self) -> str:
        """The directory of a storage that keeps files."""
        return self.settings.get("path", f"/mnt/pve/{self.ident}" if self.kind in _MOUNTED else "")

    @property
    def images(self) -> str:
        """The folder of guests' disks below it."""
        named = dict(part.partition("=")[::2] for part in self.settings.get("content-dirs", "").split(","))
        return named.get("images", "images")


@lru_cache(maxsize=64)
def parse_storage_cfg(text: str) -> tuple[Storage, ...]:
    """The sections of storage.cfg in their order; one object for one text: nobody changes them."""
    found: list[Storage] = []
    for line in text.splitlines():
        if line.startswith(("\t", " ")):
            key, _, value = line.strip().partition(" ")
            if found and key:
                found[-1].settings[key] = value.strip() or "1"
        elif ":" in line:
            kind, _, ident = line.partition(":")
            found.append(Storage(ident.strip(), kind.strip(), {}))
    return tuple(found)
