"""One starting state of the lab."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pve_lab.inventory import RICH, Inventory
from pve_lab.model.cluster import Cluster
from pve_lab.model.version import PVE8, Version
from pve_lab.wiring import MIXED, Wiring


@dataclass(frozen=True)
class Scenario:
    """One starting state."""

    line: str
    shape: Callable[[Cluster], None]
    version: Version = PVE8
    inventory: Inventory = RICH
    wiring: Wiring = MIXED
