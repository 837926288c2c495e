"""The embedded lab with as many guests as wanted and a day of the cluster link's past: `python grown_lab.py ...`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace

from pve_lab.__main__ import main
from pve_lab.inventory import STORAGE_CFG, Inventory, Plan
from pve_lab.model.cluster import Cluster
from pve_lab.model.journal import Entry
from pve_lab.scenarios import SCENARIOS

VOLUMES = 5
DAY = 86_400
EVERY = 30
"""Seconds between two lines of corosync in the past day."""


@dataclass(frozen=True)
class Grown(Inventory):
    """``guests`` spread over ``nodes``; two of three run."""

    nodes: int = 3
    guests: int = 10

    def of(self, number: int) -> list[tuple[int, Plan]]:
        """The guests of the node with that index."""
        return [(1000 + i, _guest(i)) for i in range(self.guests) if i % self.nodes == number]


def _guest(number: int) -> Plan:
    disks = tuple(f"scsi{i}: {'local-lvm' if i % 2 else 'tank'}:vm-ID-disk-{i},size=8G" for i in range(VOLUMES))
    return Plan(0, "qemu", "guest", number % 3 != 0, True, 512, disks)


def _with_a_past(cluster: Cluster) -> None:
    SCENARIO.shape(cluster)
    for node in cluster.nodes.values():
        now = node.clock.wall
        message = "[KNET  ] pmtud: Global data MTU changed to: 1397"
        past = [Entry(now - s, "corosync.service", "corosync", 1, 6, message) for s in range(DAY, 6000, -EVERY)]
        node.journal.entries[:0] = past


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--guests", type=int, required=True)
    given = parser.parse_args()
    SCENARIO = SCENARIOS["broken"]
    SCENARIOS["grown"] = replace(
        SCENARIO, shape=_with_a_past, inventory=Grown(STORAGE_CFG, (), given.nodes, given.guests)
    )
    sys.exit(main(["--until-eof", "--scenario", "grown", "--nodes", str(given.nodes)]))
