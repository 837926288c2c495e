"""The cluster: its nodes, the network between them, the clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pve_lab.model import membership
from pve_lab.model.clock import Clock
from pve_lab.model.network import Network
from pve_lab.model.node import Node
from pve_lab.model.version import PVE8, Version


class Cluster:
    """All nodes of one lab."""

    def __init__(self, names: list[str], directory: Path, epoch: float, version: Version = PVE8) -> None:
        self.clock = Clock(epoch)
        self.version = version
        self.network = Network(names)
        self.directory = directory
        self.ring = 0x22
        self.nodes: dict[str, Node] = {}
        self.on_corosync_stop: list[Callable[[], None]] = []
        for number, name in enumerate(names):
            database = directory / "nodes" / name / "pve-cluster"
            database.mkdir(parents=True)
            self.nodes[name] = Node(self, name, f"10.55.0.{11 + number}", database)

    def form_memberships(self) -> None:
        """Let corosync follow the network and its own starts and stops."""
        self.ring = membership.form_memberships(self.nodes.values(), self.ring)
        self.cast_device_votes()

    def cast_device_votes(self) -> None:
        """Let a QDevice follow what its nodes' daemons and the network allow."""
        membership.cast_device_votes(self.nodes.values())

    def synchronise(self, node: Node) -> None:
        """Let a node's pmxcfs join the group of its corosync's membership."""
        membership.synchronise(node, self.nodes.values())

    def partition(self, islands: list[list[str]]) -> None:
        """Cut the cluster link into islands."""
        self.network.partition(islands)
        self.form_memberships()

    def isolate(self) -> None:
        """Every node alone on the cluster link."""
        self.network.isolate()
        self.form_memberships()

    def heal(self) -> None:
        """Mend the cluster link."""
        self.network.heal()
        self.form_memberships()
