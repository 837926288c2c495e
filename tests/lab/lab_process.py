"""A lab as a process, and typing into its nodes over SSH."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
from bounded import first_line
from lab_bench import Said
from pve_lab.control import LabControl


@dataclass(frozen=True)
class Lab:
    """A lab that runs."""

    hosts: list[str]
    ssh_config: str
    directory: Path
    control: LabControl
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def running_lab(scenario: str = "broken", nodes: int = 3) -> Iterator[Lab]:
    """Start a lab, end it by closing its standard input; it must end well and have simulated all it was asked."""
    argv = [sys.executable, "-W", "error", "-m", "pve_lab", "--until-eof"]
    with subprocess.Popen(
        [*argv, "--scenario", scenario, "--nodes", str(nodes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ready = json.loads(first_line(process.stdout))
            control = LabControl(ready["control"])
            yield Lab(ready["hosts"], ready["ssh_config"], Path(ready["dir"]), control, process)
            if process.poll() is None:
                assert control.unsimulated() == []
        finally:
            process.stdin.close()
            status = process.wait(60)
    assert status == 0


async def connect(lab: Lab, node: str) -> asyncssh.SSHClientConnection:
    """Log in as root with the lab's key, the host key checked."""
    return await asyncssh.connect(node, config=[lab.ssh_config], known_hosts=str(lab.directory / "known_hosts"))


class Typist:
    """One open connection a node."""

    def __init__(self, connections: dict[str, asyncssh.SSHClientConnection]) -> None:
        self.connections = connections

    async def run(self, node: str, command: str, stdin: str | None = None) -> Said:
        """Run a command line on a node, over the connection opened at the start."""
        done = await asyncio.wait_for(self.connections[node].run(command, input=stdin), 60)
        status = -1 if done.exit_status is None else done.exit_status
        return Said(status, str(done.stdout), str(done.stderr))


@contextlib.asynccontextmanager
async def typist(lab: Lab) -> AsyncIterator[Typist]:
    """Connections to all nodes."""
    connections = {node: await connect(lab, node) for node in lab.hosts}
    try:
        yield Typist(connections)
    finally:
        for connection in connections.values():
            connection.close()
            await connection.wait_closed()
