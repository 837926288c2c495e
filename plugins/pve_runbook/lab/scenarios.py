"""Starting states of the lab: a name, a line that says what it is, a function that shapes the healthy cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pve_runbook.lab.model.cluster import Cluster
from pve_runbook.lab.model.version import PVE7, PVE8, PVE9, Version


@dataclass(frozen=True)
class Scenario:
    """One starting state."""

    line: str
    shape: Callable[[Cluster], None]
    version: Version = PVE8


def _settle(cluster: Cluster) -> None:
    cluster.clock.advance(30.0)


def broken(cluster: Cluster) -> None:
    """Every node alone; a backup's time has passed meanwhile."""
    cluster.isolate()
    for node in cluster.nodes.values():
        node.scheduler.overdue = True
    _settle(cluster)


def quorate(cluster: Cluster) -> None:
    """As it was built."""


SCENARIOS: dict[str, Scenario] = {
    "broken": Scenario("every node alone without quorum, guests running, root causes in the network (default)", broken),
    "quorate": Scenario("a healthy cluster", quorate),
    "pve7": Scenario("broken, on Proxmox VE 7.0: pvesr.timer and vzdump's cron file, no pvescheduler", broken, PVE7),
    "pve9": Scenario("broken, on Proxmox VE 9.1: ha rules, the fencing line, the KiB header of pvesm", broken, PVE9),
}
