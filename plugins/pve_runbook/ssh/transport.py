"""The transports of a connection: one whose keys are exchanged while others work, and one that carries known questions
and nothing else: the checks' promise, kept where the bytes are sent.

The first goes up to where somebody would log in. A session of the second, the guarded one, takes one kind of request:
to run the constant batch runner, every argv of which is known, in exactly the quoting that this tool writes. No shell,
no file transfer, no forwarding, no environment.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import paramiko
from msgspec import Struct

from pve_runbook.ssh import sudo
from pve_runbook.ssh.batch import read_command
from pve_runbook.ssh.exec import close_within

Known = Callable[[Sequence[str]], bool]
"""Whether an argv may be sent."""

_BANNER = "Banner: "
_SAID = ("Not allowed at this time", "Exceeded MaxStartups")
"""What OpenSSH's sshd may write before it drops a connection (sshd.c)."""

CLOSE_SECONDS = 5.0
"""What the end of a connection to a node may take."""


class Transport(paramiko.Transport):
    """A transport whose keys are exchanged in its own thread from :meth:`begin` on."""

    _negotiated: threading.Event | None = None

    def __init__(self, sock: Any, **kwargs: Any) -> None:
        self._said_first: list[str] = []
        super().__init__(sock, **kwargs)

    def begin(self) -> None:
        """Begin the exchange of keys, and do not wait for it."""
        self._negotiated = threading.Event()
        super().start_client(event=self._negotiated)

    def start_client(self, event: threading.Event | None = None, timeout: float | None = None) -> None:
        """Wait for what was begun, as paramiko's own waits; paramiko calls it before it asks about the host key.

        Raises what the exchange ended with: Dropped, SSHException, EOFError, OSError.
        """
        if self._negotiated is None:
            super().start_client(event, timeout)
            return
        self._negotiated.wait(timeout)
        if not self.active:
            error = self.get_exception() or paramiko.SSHException("Negotiation failed.")
            raise Dropped(str(error)) if self._was_dropped(error) else error

    def _was_dropped(self, error: BaseException) -> bool:
        """Whether the other side closed the connection without its version; paramiko wraps what ended the banner."""
        closed = any(isinstance(e, (EOFError, ConnectionError)) for e in (error, error.__context__))
        return closed and not self.remote_version and all(line.startswith(_SAID) for line in self._said_first)

    def _log(self, level: int, msg: Any, *args: Any) -> None:
        """Keep what the other side says before its version: paramiko tells its log alone."""
        if isinstance(msg, str) and msg.startswith(_BANNER):
            self._said_first.append(msg.removeprefix(_BANNER))
        super()._log(level, msg, *args)


class Dropped(Exception):
    """The node took the connection and ended it before it said that it is an SSH server."""


class Reached(Struct, frozen=True):
    """A node that is reached and not logged in to: fabric's connection, its transport, and what that speaks over."""

    link: Any
    transport: Transport
    sock: Any

    def close(self) -> None:
        """Close it; a dead link takes a few seconds, not for ever."""
        close_within(self.transport.close, CLOSE_SECONDS)
        close_within(self.sock.close, CLOSE_SECONDS)


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
