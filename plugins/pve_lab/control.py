"""Talking to a lab that runs: a typed client of its control socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pve_lab.faults import Fired

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
    powered: bool
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
    network_reloads: int
    """How often `ifreload -a` ran since the lab began."""


@dataclass(frozen=True)
class LogLine:
    """One simulated command that ran on a node; `time` is model time in seconds."""

    time: float
    argv: tuple[str, ...]
    exit_status: int
    mutating: bool
    channel: int
    via: str


@dataclass(frozen=True)
class Said:
    """What a command typed by another hand said."""

    stdout: str
    stderr: str
    exit_status: int


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

    def fingerprint(self) -> dict[str, dict[str, str]]:
        """Every file, unit, process, mount and volume of every node, as text by name."""
        return {str(node): dict(found) for node, found in self._ask("fingerprint").items()}

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

    def plug(self, node: str) -> None:
        """Plug in every cable of a node that hangs loose."""
        self._ask("plug", node=node)

    def power_cycle(self, node: str) -> None:
        """Reset a node."""
        self._ask("power_cycle", node=node)

    def power_off(self, node: str) -> None:
        """Cut a node's power: it refuses connections until power_on."""
        self._ask("power", node=node, on=False)

    def power_on(self, node: str) -> None:
        """Boot a node that is off."""
        self._ask("power", node=node, on=True)

    def cut(self, node: str) -> None:
        """Drop all SSH connections of a node."""
        self._ask("cut", node=node)

    def bar(self, node: str, seconds: float) -> None:
        """Let a node's sshd drop every new connection for so many real seconds, as after failed logins."""
        self._ask("bar", node=node, seconds=seconds)

    def freeze(self, node: str) -> None:
        """Let a node accept commands and never answer."""
        self._ask("freeze", node=node)

    def thaw(self, node: str) -> None:
        """Let a frozen node answer again."""
        self._ask("thaw", node=node)

    def fault(
        self,
        what: str,
        *,
        when: str = "before",
        at: int | None = None,
        at_read: int | None = None,
        argv: Sequence[str] = (),
        node: str | None = None,
        skip: int = 0,
        pid: int | None = None,
        status: int = 1,
        message: str = "made to fail by the lab",
        command: str = "",
        on: str | None = None,
    ) -> None:
        """Arm one fault that strikes once: kill, terminate, cut, freeze, fail, power_cycle or run.

        It strikes at one of: the `at`-th mutating command of all nodes, the `at_read`-th batch of probes (kill,
        terminate, cut and freeze only), both counted from now on; or the first command that begins with the words
        `argv`, after `skip` others that do. `node` counts the commands of one node only. `when` is before or after the
        command's effect.

        kill ends the process `pid` and waits for that; terminate sends it SIGTERM; cut drops the node's connections;
        freeze keeps the node from answering until thaw; the command is carried out with all four. fail gives `message`
        and `status` in place of the command. power_cycle resets the node. run types `command` on the node `on`, else on
        the same node.
        Raises LabError for a fault that makes no sense.
        """
        self._ask(
            "fault",
            what=what,
            when=when,
            at=at,
            at_read=at_read,
            argv=list(argv),
            node=node,
            skip=skip,
            pid=pid,
            status=status,
            message=message,
            command=command,
            on=on,
        )

    def disarm(self) -> None:
        """Let no armed fault strike any more."""
        self._ask("disarm")

    def faults_fired(self) -> list[Fired]:
        """The faults that struck, in their order."""
        return [Fired(**{**f, "argv": tuple(f["argv"])}) for f in self._ask("faults_fired")]

    def mutating_count(self) -> int:
        """How many mutating commands ran on all nodes since the lab's start or last reset, other hands' excepted."""
        return int(self._ask("counts")["mutating"])

    def read_count(self) -> int:
        """How many batches of probes ran on all nodes since the lab's start or last reset."""
        return int(self._ask("counts")["reads"])

    def run(self, node: str, command: str, stdin: bytes = b"") -> Said:
        """Type a command line on a node as another hand: logged with via "other", never counted."""
        stdout, stderr, status = self._ask("run", node=node, command=command, stdin=stdin.hex())
        return Said(stdout, stderr, status)

    def reset(self, scenario: str | None = None) -> None:
        """Put all nodes into a starting state again (default: the same as now), at the present time, in about 50 ms.

        Ports, keys and the number of nodes stay; connections drop, logs are empty, counts are 0, no fault is armed.
        """
        self._ask("reset", scenario=scenario)

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
        data["powered"],
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
        data["network_reloads"],
    )
