"""A line that carries known questions and nothing else: the checks' promise, kept where the bytes are sent.

A session of a guarded transport takes one kind of request: to run the constant batch runner, every argv of which is
known, in exactly the quoting that this tool writes. No shell, no file transfer, no forwarding, no environment.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import paramiko

from pve_runbook.wire import sudo
from pve_runbook.wire.batch import read_command
from pve_runbook.wire.handshake import Transport

Known = Callable[[Sequence[str]], bool]
"""Whether an argv may be sent."""


class Refused(Exception):
    """Something that is no known question was to be sent; it was not."""


def objection(sent: str, known: Known) -> str:
    """Why a command line, as it would be sent, is not sent; "" when it may be."""
    command = sudo.unwrapped(sent)
    if command == sudo.TRIAL:
        return ""
    try:
        probes, _ = read_command(command)
    except ValueError as error:
        return f"`{_shortened(command)}` is no batch of probes: {error}"
    for _, _, argv in probes:
        if not known(argv):
            return f"`{_shortened(shlex.join(argv))}` is not one of the registered probes"
    return ""


class GuardedTransport(Transport):
    """A transport over which only ``known`` questions go."""

    def __init__(self, known: Known, sock: Any, **kwargs: Any) -> None:
        super().__init__(sock, **kwargs)
        self._known = known

    def open_channel(self, kind: str, *args: Any, **kwargs: Any) -> Any:
        """Open a session; any other kind is a way past the questions. Raises Refused."""
        if kind != "session":
            raise Refused(f"a channel of the kind {kind!r} is no session that asks a question")
        channel = super().open_channel(kind, *args, **kwargs)
        channel.__class__ = _GuardedChannel  # paramiko makes the channel itself and asks nobody of which class
        return channel


class _GuardedChannel(paramiko.Channel):
    def exec_command(self, command: str) -> None:
        why = objection(command, self.get_transport()._known)
        if why:
            raise Refused(why)
        super().exec_command(command)

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise Refused("a session of this run asks registered probes and does nothing else")

    get_pty = invoke_shell = invoke_subsystem = request_x11 = _refuse
    request_forward_agent = set_environment_variable = update_environment = _refuse


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else line[:117] + "..."
