"""Talking to a lab that runs: a typed client of its control socket."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class LabError(Exception):
    """The lab refused a request; the text says why."""


@dataclass(frozen=True)
class GuestTruth:
    """One guest as the model has it; `owner` is the node whose database entry counts on that node."""

    vmid: int
    kind: str
    owner: str
    sha256: str
    pid: int | None
    start: int | None

    @property
    def running(self) -> bool:
        """Whether its process lives on the node."""
        return self.pid is not None


@dataclass(frozen=True)
class NodeTruth:
    """One node as the model has it; `guests` are all guests in its database."""

    name: str
    boot_id: str
    mounted: bool
    mode: str
    quorate: bool
    standalone: bool
    version: int | None
    units: dict[str, tuple[str, str]]
    guests: dict[int, GuestTruth]
    corosync_files: tuple[str, ...]
    tasks: tuple[str, ...]
    watchdog_clients: tuple[str, ...]


@dataclass(frozen=True)
class LogLine:
    """One simulated command that ran on a node; `time` is model time in seconds."""

    time: float
    argv: tuple[str, ...]
    exit_status: int
    mutating: bool
    channel: int
    via: str


class LabControl:
    """A lab's control socket; every call opens and closes its own connection."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)

    def _ask(self, verb: str, **arguments: object) -> Any:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(30)
            connection.connect(self.path)
            connection.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            with connection.makefile("r", encoding="utf-8") as answer:
                reply = json.loads(answer.readline() or "{}")
        if reply.get("error"):
            raise LabError(reply["error"])
        return reply.get("result")

    def state(self) -> dict[str, NodeTruth]:
        """What is true on every node now."""
        return {name: _node(name, data) for name, data in self._ask("state").items()}

    def now(self) -> float:
        """Model seconds since the lab's start."""
        return float(self._ask("now"))

    def log(self, node: str) -> list[LogLine]:
        """Every simulated command that ran on the node."""
        return [
            LogLine(r["t"], tuple(r["argv"]), r["exit_status"], r["mutating"], r["channel"], r["via"])
            for r in self._ask("log", node=node)
        ]

    def unsimulated(self) -> list[str]:
        """The commands that the lab does not know but was asked."""
        return [str(line) for line in self._ask("unsimulated")]

    def advance(self, seconds: float) -> None:
        """Let model time pass."""
        self._ask("advance", seconds=seconds)

    def partition(self, islands: list[list[str]]) -> None:
        """Cut the cluster link into islands of nodes."""
        self._ask("network", islands=islands)

    def heal(self) -> None:
        """Mend the cluster link."""
        self._ask("network", islands=None)

    def power_cycle(self, node: str) -> None:
        """Reset a node."""
        self._ask("power_cycle", node=node)

    def cut(self, node: str) -> None:
        """Drop all SSH connections of a node."""
        self._ask("cut", node=node)

    def freeze(self, node: str) -> None:
        """Let a node accept commands and never answer."""
        self._ask("freeze", node=node)

    def thaw(self, node: str) -> None:
        """Let a frozen node answer again."""
        self._ask("thaw", node=node)

    def stop(self) -> None:
        """End the lab."""
        self._ask("stop")


def _node(name: str, data: Json) -> NodeTruth:
    guests = {
        int(vmid): GuestTruth(int(vmid), g["kind"], g["owner"], g["sha256"], g["pid"], g["start"])
        for vmid, g in data["guests"].items()
    }
    return NodeTruth(
        name,
        data["boot_id"],
        data["mounted"],
        data["mode"],
        data["quorate"],
        data["standalone"],
        data["version"],
        {unit: (active, enablement) for unit, (active, enablement) in data["units"].items()},
        guests,
        tuple(data["corosync_files"]),
        tuple(data["tasks"]),
        tuple(data["watchdog_clients"]),
    )
