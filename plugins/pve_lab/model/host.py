"""The machine that every part of a node stands on: its name, clock, files, journal and processes."""

from __future__ import annotations

import ipaddress
import uuid
from pathlib import Path

from pve_lab.model.clock import Clock
from pve_lab.model.files import NodeFiles
from pve_lab.model.journal import Journal
from pve_lab.model.processes import ProcessTable
from pve_lab.model.version import Version

BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Host:
    """One machine; `skew` is what its clock is wrong by, in seconds."""

    def __init__(self, name: str, clock: Clock, version: Version, database_directory: Path) -> None:
        self.name = name
        """Under which the lab knows it: its first one."""
        self.hostname = name
        """What it calls itself."""
        self.clock = clock
        self.version = version
        self.files = NodeFiles(database_directory)
        self.skew = 0.0
        self.journal = Journal(lambda: self.wall)
        self.processes = ProcessTable(self.clock, self.files, 5246.0)
        self.boot_id = ""
        self.new_boot_id()

    def new_boot_id(self) -> None:
        """A boot of the kernel."""
        seed = f"{self.name} {self.clock.now} {self.boot_id}"
        self.boot_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, seed))
        self.files.put(BOOT_ID, f"{self.boot_id}\n")

    @property
    def wall(self) -> float:
        """Unix time as the node has it: model time and what its clock is wrong by, in seconds."""
        return self.clock.wall + self.skew

    def resolve(self, name: str) -> str | None:
        """The address that /etc/hosts of this node gives a name, None without one."""
        for line in self.files.text("/etc/hosts").splitlines():
            fields = line.partition("#")[0].split()
            if name in fields[1:] and is_address(fields[0]):
                return fields[0]
        return None


def is_address(word: str) -> bool:
    """Whether a line of /etc/hosts that begins so means anything: glibc reads no prefix length and no leading zeros."""
    try:
        ipaddress.ip_address(word.partition("%")[0])
    except ValueError:
        return False
    return True
