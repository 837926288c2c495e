"""What the control socket can do with a running lab: one function a verb."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Protocol

from pve_runbook.lab.machine import Machine
from pve_runbook.lab.model.cluster import Cluster
from pve_runbook.lab.model.node import Node

Json = dict[str, Any]


class Lab(Protocol):
    """What a verb needs of the lab."""

    cluster: Cluster
    machines: dict[str, Machine]

    def cut(self, node: str) -> None:
        """Drop a node's connections."""

    def freeze(self, node: str, *, frozen: bool) -> None:
        """Stop or resume a node's answers."""

    def stop(self) -> None:
        """End the lab."""


def node_state(node: Node) -> Json:
    """The truth about one node."""
    pmxcfs = node.pmxcfs
    guests = {}
    for config in node.guests.configs():
        process = node.guests.running.get(config.vmid)
        guests[str(config.vmid)] = {
            "kind": config.kind,
            "owner": config.owner,
            "sha256": hashlib.sha256(config.text.encode()).hexdigest(),
            "pid": process.pid if process else None,
            "start": process.start if process else None,
        }
    mode = "local" if pmxcfs.local_mode else "cluster" if pmxcfs.clustered else "standalone"
    return {
        "boot_id": node.boot_id,
        "mounted": pmxcfs.mounted,
        "mode": mode if pmxcfs.mounted else "unmounted",
        "quorate": pmxcfs.quorate,
        "standalone": node.standalone,
        "version": pmxcfs.database.head.version if pmxcfs.mounted else None,
        "units": {u.name: (u.active, u.unit_file_state) for u in node.units.table.values()},
        "guests": guests,
        "corosync_files": node.files.names("/etc/corosync"),
        "tasks": [t.upid for t in node.tasks.running],
        "watchdog_clients": node.ha.watchdog_clients,
    }


def _state(lab: Lab, _request: Json) -> Json:
    return {name: node_state(node) for name, node in lab.cluster.nodes.items()}


def _now(lab: Lab, _request: Json) -> float:
    return lab.cluster.clock.now


def _log(lab: Lab, request: Json) -> list[Json]:
    text = lab.machines[request["node"]].log.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _unsimulated(lab: Lab, _request: Json) -> list[str]:
    file = next(iter(lab.machines.values())).unsimulated
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def _advance(lab: Lab, request: Json) -> None:
    lab.cluster.clock.advance(float(request["seconds"]))


def _network(lab: Lab, request: Json) -> None:
    if request["islands"] is None:
        lab.cluster.heal()
    else:
        lab.cluster.partition(request["islands"])


def _power_cycle(lab: Lab, request: Json) -> None:
    lab.cluster.nodes[request["node"]].power_cycle()


def _cut(lab: Lab, request: Json) -> None:
    lab.cut(request["node"])


def _freeze(lab: Lab, request: Json) -> None:
    lab.freeze(request["node"], frozen=request["verb"] == "freeze")


def _stop(lab: Lab, _request: Json) -> None:
    lab.stop()


VERBS: dict[str, Callable[[Lab, Json], Any]] = {
    "state": _state,
    "now": _now,
    "log": _log,
    "unsimulated": _unsimulated,
    "advance": _advance,
    "network": _network,
    "power_cycle": _power_cycle,
    "cut": _cut,
    "freeze": _freeze,
    "thaw": _freeze,
    "stop": _stop,
}
