"""What the control socket can do with a running lab: one function a verb."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

from pve_lab.faults import Fault
from pve_lab.fingerprint import fingerprint
from pve_lab.machine import Machine, Site
from pve_lab.model.cluster import Cluster
from pve_lab.model.node import Node
from pve_lab.penalties import Penalties
from pve_lab.shell import type_by_hand

Json = dict[str, Any]


class Lab(Protocol):
    """What a verb needs of the lab."""

    cluster: Cluster
    site: Site

    @property
    def machines(self) -> dict[str, Machine]:
        """The nodes by name."""

    @property
    def penalties(self) -> dict[str, Penalties]:
        """What the nodes' sshd hold against whom, by the node's name."""

    def reset(self, scenario: str | None) -> None:
        """Put all nodes into a starting state again."""

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
        "powered": node.powered,
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
        "watchdog_clients": node.ha.all_clients,
        "network_reloads": node.network_reloads,
    }


def _state(lab: Lab, _request: Json) -> Json:
    return {name: node_state(node) for name, node in lab.cluster.nodes.items()}


def _fingerprint(lab: Lab, _request: Json) -> Json:
    return {name: fingerprint(node) for name, node in lab.cluster.nodes.items()}


def _now(lab: Lab, _request: Json) -> float:
    return lab.cluster.clock.now


def _log(lab: Lab, request: Json) -> list[Json]:
    machine = lab.machines[request["node"]]
    machine.written()
    text = machine.log.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _unsimulated(lab: Lab, _request: Json) -> list[str]:
    file = lab.site.unsimulated
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def _advance(lab: Lab, request: Json) -> None:
    lab.cluster.clock.advance(float(request["seconds"]))


def _network(lab: Lab, request: Json) -> None:
    if request["islands"] is None:
        lab.cluster.heal()
    else:
        lab.cluster.partition(request["islands"])


def _plug(lab: Lab, request: Json) -> None:
    for interface in lab.cluster.nodes[request["node"]].interfaces:
        interface.carrier = True
    lab.cluster.form_memberships()


def _power_cycle(lab: Lab, request: Json) -> None:
    lab.cluster.nodes[request["node"]].power_cycle()


def _power(lab: Lab, request: Json) -> None:
    node = lab.cluster.nodes[request["node"]]
    if node.powered != request["on"]:
        (node.power_on if request["on"] else node.power_off)()


def _cut(lab: Lab, request: Json) -> None:
    lab.machines[request["node"]].cut()


def _bar(lab: Lab, request: Json) -> None:
    lab.penalties[request["node"]].bar("127.0.0.1", float(request["seconds"]))


def _freeze(lab: Lab, request: Json) -> None:
    lab.machines[request["node"]].frozen = request["verb"] == "freeze"


def _fault(lab: Lab, request: Json) -> None:
    given = {key: value for key, value in request.items() if key != "verb"}
    fault = Fault(**{**given, "argv": tuple(given["argv"])})
    for name in (fault.node, fault.on):
        if name is not None and name not in lab.machines:
            raise ValueError(f"there is no node {name!r}")
    lab.site.faults.arm(fault)


def _disarm(lab: Lab, _request: Json) -> None:
    lab.site.faults.disarm()


def _fired(lab: Lab, _request: Json) -> list[Json]:
    return [asdict(fired) for fired in lab.site.faults.fired]


def _counts(lab: Lab, _request: Json) -> Json:
    return {"mutating": lab.site.faults.mutating, "reads": lab.site.faults.reads}


def _run(lab: Lab, request: Json) -> list[str | int]:
    return list(type_by_hand(lab.machines[request["node"]], request["command"], bytes.fromhex(request["stdin"])))


def _reset(lab: Lab, request: Json) -> None:
    lab.reset(request["scenario"])


def _stop(lab: Lab, _request: Json) -> None:
    lab.stop()


VERBS: dict[str, Callable[[Lab, Json], Any]] = {
    "state": _state,
    "fingerprint": _fingerprint,
    "now": _now,
    "log": _log,
    "unsimulated": _unsimulated,
    "advance": _advance,
    "network": _network,
    "plug": _plug,
    "power_cycle": _power_cycle,
    "power": _power,
    "cut": _cut,
    "bar": _bar,
    "freeze": _freeze,
    "thaw": _freeze,
    "fault": _fault,
    "disarm": _disarm,
    "faults_fired": _fired,
    "counts": _counts,
    "run": _run,
    "reset": _reset,
    "stop": _stop,
}
