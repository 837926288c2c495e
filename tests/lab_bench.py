"""A lab without its SSH servers: nodes whose commands are run directly, and the recorded outputs to compare with."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pve_lab.build import build
from pve_lab.inventory import Inventory, Plan
from pve_lab.machine import Machine, Site
from pve_lab.model.node import Node
from pve_lab.scenarios import SCENARIOS
from pve_lab.shell import Channel
from pve_runbook.ssh.batch import batch_command

CAPTURES = Path(__file__).parent / "captures"
EPOCH = 1795415359.0
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKlab0000000000000000000000000000000000000000 test"


def _vm(offset: int) -> Plan:
    return Plan(offset, "qemu", "vm", True, True, 32, ("scsi0: local:ID/vm-ID-disk-0.raw,size=16M",))


def _ct(offset: int) -> Plan:
    return Plan(offset, "lxc", "ct", False, False, 64, ("rootfs: local:ID/vm-ID-disk-0.raw,size=8M",))


RECORDED = Inventory(
    "dir: local\n\tpath /var/lib/vz\n\tcontent iso,vztmpl,backup,images,rootdir\n\n",
    ((_vm(1), _vm(2), _ct(90)), (_vm(1), _vm(2), _vm(3), _ct(90)), (_vm(1), _vm(2), _ct(90))),
)
"""The guests and the storage of the cluster that the captures come from."""


@dataclass(frozen=True)
class Said:
    """What one command said."""

    exit_status: int
    stdout: str
    stderr: str


class Bench:
    """A cluster in this process; every command runs in a channel of its own."""

    def __init__(
        self, directory: Path, scenario: str = "quorate", number: int = 3, inventory: Inventory | None = None
    ) -> None:
        shaped = SCENARIOS[scenario]
        stock = inventory or shaped.inventory
        self.cluster = build(number, directory, EPOCH, KEY, shaped.version, stock, shaped.wiring)
        shaped.shape(self.cluster)
        self.site = Site(directory / "unsimulated.log")
        for name, node in self.cluster.nodes.items():
            Machine(node, directory / "nodes" / f"{name}.jsonl", self.site)
        self.machines = self.site.machines

    def node(self, name: str) -> Node:
        """The model of a node."""
        return self.cluster.nodes[name]

    def run(self, node: str, command: str, stdin: bytes = b"") -> Said:
        """Run a command line on a node."""
        stdout, stderr, status = Channel(self.machines[node], lambda done: done(stdin)).execute(command)
        return Said(status, stdout, stderr)

    def batch(self, node: str, probes: list[str], seconds: int = 5) -> list[Said]:
        """Run command lines as one batch, the way the wire does."""
        said = self.run(node, batch_command([(f"p{i}", seconds, _words(p)) for i, p in enumerate(probes)]))
        frames: dict[str, dict[str, str]] = {}
        for line in said.stdout.splitlines():
            ident, kind, *value = line.split(" ")
            frames.setdefault(ident, {})[kind] = value[0] if value else ""
        found = [frames[f"p{index}"] for index in range(len(probes))]
        return [Said(int(f["x"]), _decode(f["o"]), _decode(f["e"])) for f in found]

    def advance(self, seconds: float) -> None:
        """Let model time pass."""
        self.cluster.clock.advance(seconds)

    def mutations(self) -> list[str]:
        """What the nodes' logs call mutating, in order of the nodes."""
        found = []
        for machine in self.machines.values():
            for line in machine.log.read_text().splitlines():
                entry = json.loads(line)
                if entry["mutating"]:
                    found.append(shlex.join(entry["argv"]))
        return found

    def unsimulated(self) -> str:
        """What was asked and is not simulated; empty when all is well."""
        return self.site.unsimulated.read_text() if self.site.unsimulated.exists() else ""

    def close(self) -> None:
        """End everything."""
        for machine in self.machines.values():
            machine.close()
        for node in self.cluster.nodes.values():
            node.pmxcfs.database.close()
            node.files.release()


MakeBench = Callable[..., Bench]
"""The fixture that builds benches: scenario, number of nodes, inventory."""


@lru_cache(4096)
def _words(command: str) -> tuple[str, ...]:
    """Every bench is asked much the same, and shlex goes letter by letter."""
    return tuple(shlex.split(command))


def _decode(text: str) -> str:
    return base64.b64decode(text).decode()


@dataclass(frozen=True)
class Recorded:
    """One recorded command."""

    node: str
    command: str
    said: Said


def recorded(name: str) -> list[Recorded]:
    """All commands of one capture, in order."""
    record = json.loads((CAPTURES / f"{name}.json").read_text())
    return [
        Recorded(
            record.get("node") or step["node"],
            step["command"],
            Said(step["exit_status"], step["stdout"], step["stderr"]),
        )
        for step in record.get("commands") or record["steps"]
    ]
