"""What differs between releases of Proxmox VE (changelogs of pve-manager, pve-cluster, pve-ha-manager)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """One release: its versions and the behaviour that follows from them."""

    manager: str
    repoid: str
    kernel: str
    corosync: str
    debian: str
    codename: str
    scheduler: bool = True
    resolved_line: bool = True
    fencing_line: bool = False
    kib_header: bool = False
    rules: bool = False
    blockdev: bool = False
    commits: bool = False
    """Whether it has pve-sdn-commit and pve-firewall-commit."""
    ha_manager: str = "4.0.6"
    quorum_wait: float = 30.0
    """Seconds that `pvecm updatecerts`, and so a start of pveproxy, waits for quorum."""
    ssh_penalties: bool = False
    """Whether its OpenSSH is 9.8 or later."""

    @property
    def short(self) -> str:
        """Without the last number."""
        return ".".join(self.manager.split(".")[:2])

    @property
    def pveversion(self) -> str:
        """The line that pveversion prints."""
        return f"pve-manager/{self.manager}/{self.repoid} (running kernel: {self.kernel})\n"


PVE7 = Version(
    "7.0-11",
    "63d82f4e",
    "5.11.22-4-pve",
    "3.1.2",
    "11",
    "bullseye",
    scheduler=False,
    resolved_line=False,
    ha_manager="3.3-1",
)
PVE8 = Version("8.3.0", "c1689ccb84065c2b", "6.8.12-4-pve", "3.1.7", "12", "bookworm")
PVE9 = Version(
    "9.1.10",
    "cf3780f987144a6d",
    "6.17.4-1-pve",
    "3.1.9",
    "13",
    "trixie",
    commits=True,
    quorum_wait=80.0,
    ssh_penalties=True,
    ha_manager="5.2.0",
    fencing_line=True,
    kib_header=True,
    rules=True,
    blockdev=True,
)
