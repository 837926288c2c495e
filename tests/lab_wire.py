"""A lab's node behind the interface of our SSH connection, in this process: what is sent is run when it is sent.

All above the wire is the real thing: the batch, its frames, the parsers, the facts.
"""

from __future__ import annotations

import base64
import shlex
import time
from collections.abc import Iterator, Mapping
from typing import Any

from pve_lab.machine import Machine
from pve_lab.shell import Channel, Killed
from pve_runbook.ssh.batch import read_command
from pve_runbook.ssh.connection import Connection, ConnectOptions
from pve_runbook.ssh.errors import ConnectFailed, Failure
from pve_runbook.ssh.hosts import Target
from pve_runbook.ssh.transport import Refused, objection


class LabConnection(Connection):
    """A connection to a node of the lab; there is none to a node without power."""

    def __init__(self, target: Target, options: ConnectOptions, machine: Machine, says: Mapping[str, str]) -> None:
        """``says``: command → what it says here in place of what the lab's node would."""
        super().__init__(target, options)
        self._machine = machine
        self._says = says
        self.stalls = 0.0
        """Seconds that the next command takes on its way, in real time."""

    @property
    def transport(self) -> _Transport:
        """What sessions are opened on."""
        stalled, self.stalls = self.stalls, 0.0
        time.sleep(stalled)
        return _Transport(self._machine, self.options, self._says)

    def open(self) -> None:
        """Raises ConnectFailed."""
        if not self._machine.node.powered:
            raise ConnectFailed(self.target, Failure.UNREACHABLE, "it has no power", "switch it on")

    def close(self) -> None:
        """There is nothing to close."""


class _Transport:
    def __init__(self, machine: Machine, options: ConnectOptions, says: Mapping[str, str]) -> None:
        self._machine = machine
        self._options = options
        self._says = says

    def is_active(self) -> bool:
        return bool(self._machine.node.powered)

    def open_session(self, timeout: float) -> _Session:
        return _Session(self._machine, self._options, self._says)

    def close(self) -> None:
        return


class _Session:
    """One command: it is run, and has ended, when its input is complete."""

    closed = False
    eof_received = False
    exit_status = -1

    def __init__(self, machine: Machine, options: ConnectOptions, says: Mapping[str, str]) -> None:
        self._machine = machine
        self._options = options
        self._says = says
        self.in_buffer = self.in_stderr_buffer = self
        self._out = self._err = self._input = b""
        self._command = ""

    def set_event(self, event: Any) -> None:
        """Whom to tell that there is something to read."""
        self._event = event

    def exec_command(self, command: str) -> None:
        known = self._options.known
        if known is not None and (why := objection(command, known)):
            raise Refused(why)
        self._command = command

    def settimeout(self, seconds: float) -> None:
        return

    def sendall(self, data: bytes) -> None:
        self._input += data

    def shutdown_write(self) -> None:
        try:
            self._run()
        except Killed:
            self.closed = True
        self.eof_received = True
        self._event.set()

    def _run(self) -> None:
        out, err, self.exit_status = Channel(self._machine, lambda done: done(self._input)).execute(self._command)
        if self._says and self._command.startswith("perl "):
            out = "".join(_said(out, dict(_other_answers(self._command, self._says))))
        self._out, self._err = out.encode(errors="surrogateescape"), err.encode(errors="surrogateescape")

    def recv_ready(self) -> bool:
        return bool(self._out)

    def recv_stderr_ready(self) -> bool:
        return bool(self._err)

    def recv(self, size: int) -> bytes:
        piece, self._out = self._out[:size], self._out[size:]
        return piece

    def recv_stderr(self, size: int) -> bytes:
        piece, self._err = self._err[:size], self._err[size:]
        return piece

    def exit_status_ready(self) -> bool:
        return self.eof_received

    def close(self) -> None:
        self.closed = True


def _other_answers(command: str, says: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for id_, _, argv in read_command(command)[0]:
        if shlex.join(argv) in says:
            yield id_, says[shlex.join(argv)]


def _said(frames: str, others: Mapping[str, str]) -> Iterator[str]:
    """The frames of a batch, with another standard output, and exit status 0, where there is one."""
    for line in frames.splitlines(keepends=True):
        id_, kind, _ = line.split(" ", 2)
        if id_ not in others:
            yield line
        elif kind in "ox":
            yield f"{id_} {kind} {base64.b64encode(others[id_].encode()).decode() if kind == 'o' else 0}\n"
        else:
            yield f"{id_} e \n"
