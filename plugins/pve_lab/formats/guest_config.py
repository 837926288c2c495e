"""A guest's config file and what of it matters here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

_VOLUME_KEY = re.compile(r"(?:ide|sata|scsi|virtio|efidisk|tpmstate|mp|unused)\d+|rootfs|vmstate")
_SIZE = re.compile(r"size=(\d+)([KMGT]?)")


@dataclass(frozen=True)
class GuestConfig:
    """The current section of a guest's config and what of it matters here."""

    vmid: int
    kind: str
    owner: str
    text: str

    @cached_property
    def values(self) -> dict[str, str]:
        """Keys of the current section (before the first snapshot)."""
        found = {}
        for line in self.text.splitlines():
            if line.startswith("["):
                break
            key, colon, value = line.partition(":")
            if colon and not line.startswith("#"):
                found[key] = value.strip()
        return found

    @property
    def name(self) -> str:
        """Its name, as lists show it."""
        default = f"VM {self.vmid}" if self.kind == "qemu" else f"CT{self.vmid}"
        return self.values.get("hostname" if self.kind == "lxc" else "name", default)

    @property
    def memory(self) -> int:
        """Memory in MiB."""
        amount = re.match(r"(?:current=)?(\d+)", self.values.get("memory", ""))
        return int(amount[1]) if amount is not None else 512

    @cached_property
    def bridge(self) -> str:
        """The bridge that its first card is a port of."""
        match = re.search(r"(?:^|,)bridge=([^,]+)", self.values.get("net0", ""))
        return match[1] if match is not None else "vmbr0"

    @cached_property
    def volumes(self) -> list[str]:
        """All volumes named in any section."""
        found = []
        for line in self.text.splitlines():
            key, colon, value = line.partition(":")
            if colon and _VOLUME_KEY.fullmatch(key):
                volume = value.strip().split(",")[0]
                if ":" in volume and not volume.startswith("/"):
                    found.append(volume)
        return found

    @property
    def boot_disk_bytes(self) -> int:
        """Size of the first disk in bytes."""
        values = self.values
        boot = re.search(r"order=([a-z]+\d+)", values.get("boot", ""))
        key = "rootfs" if self.kind == "lxc" else boot[1] if boot else "scsi0"
        match = _SIZE.search(values.get(key, ""))
        if match is None:
            return 0
        exponent = " KMGT".index(match[2] or " ")
        return int(match[1]) * int(1024**exponent)

    @property
    def lock(self) -> str:
        """The lock, empty when there is none."""
        return self.values.get("lock", "")

    @property
    def path(self) -> str:
        """Where the config stands in /etc/pve."""
        directory = "qemu-server" if self.kind == "qemu" else "lxc"
        return f"nodes/{self.owner}/{directory}/{self.vmid}.conf"
