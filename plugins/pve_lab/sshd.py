"""What an exec request costs: asyncssh's connections and sessions without what nobody reads here.

asyncssh puts a packet to be ignored before every packet that it sends (against an attack on ciphers in CBC mode, which
nobody uses here), writes each by itself to the socket, names each for a log that is off, and makes two tasks and three
streams for a session. OpenSSH does none of this, and with a thousand sessions a run it was two thirds of the lab.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Protocol

import asyncssh
from asyncssh.constants import EXTENDED_DATA_STDERR, MSG_IGNORE

from pve_lab.shell import Killed

NO_SHELL = b"The lab's nodes take commands, not shells.\n"


class Runs(Protocol):
    """Runs a command line, in a thread of its own."""

    def execute(self, command: str) -> tuple[str, str, int]:
        """Standard output, standard error, exit status. Raises Killed."""


class Connection(asyncssh.SSHServerConnection):
    """The server's side of a connection: it sends what it has to say, and in one piece."""

    _held: list[bytes] | None = None

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        """Send a packet, unless it is to be ignored."""
        if pkttype != MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=handler)

    def log_sent_packet(self, *_args: object, **_named: object) -> None:
        """The log is off."""

    log_received_packet = log_sent_packet

    def data_received(self, data: bytes, datatype: Any = None) -> None:
        """Answer all that has come in one piece."""
        self.in_one_piece(lambda: super(Connection, self).data_received(data, datatype))

    def in_one_piece(self, say: Callable[[], None]) -> None:
        """Send what ``say`` sends as one write to the socket: the other side wakes once."""
        transport = self._transport  # gone by the end where the connection is closed, which is said first
        if self._held is not None or transport is None:
            say()
            return
        held = self._held = []
        try:
            say()
        finally:
            self._held = None
            if held:
                with contextlib.suppress(ConnectionError):
                    transport.write(b"".join(held))

    def _send(self, data: bytes) -> None:
        if self._held is None:
            super()._send(data)
        else:
            self._held.append(data)


class _Channel(asyncssh.SSHServerChannel[bytes]):
    def log_sent_packet(self, *_args: object, **_named: object) -> None:
        """The log is off."""

    log_received_packet = log_sent_packet


class Session(asyncssh.SSHServerSession[bytes]):
    """One session: the command that is asked for, its standard input, and what it said."""

    def __init__(self, connection: Connection, threads: Executor, begin: Callable[[Session], Runs]) -> None:
        self._connection = connection
        self._threads = threads
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._command: str | None = None
        self._chan: asyncssh.SSHServerChannel[bytes] | None = None
        self._input: list[bytes] = []
        self._ended = False
        self._done: Callable[[bytes], None] | None = None

    def opened(self) -> tuple[asyncssh.SSHServerChannel[bytes], Session]:
        """What asyncssh is to be given for it."""
        channel = self._connection.create_server_channel(None, "strict")
        channel.__class__ = _Channel  # asyncssh makes it itself and asks nobody of which class
        return channel, self

    # -- what asyncssh says, in the loop ---------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """The channel is open."""
        self._chan = chan

    def shell_requested(self) -> bool:
        """Granted, to be told that there is none."""
        return True

    def exec_requested(self, command: str) -> bool:
        """Granted."""
        self._command = command
        return True

    def session_started(self) -> None:
        """Begin."""
        assert self._chan is not None
        if self._command is None:
            self._chan.write(NO_SHELL, EXTENDED_DATA_STDERR)
            self._chan.exit(1)
            return
        self._threads.submit(self._run, self._begin(self), self._command)

    def data_received(self, data: bytes, datatype: Any) -> None:
        """Keep a piece of standard input."""
        self._input.append(data)

    def eof_received(self) -> bool:
        """Standard input is whole; the channel stays open for the answer."""
        self._end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes; half of an input is none where the connection broke."""
        if exc is not None and not self._ended:
            self._input.clear()
        self._end()

    def _end(self) -> None:
        self._ended = True
        if self._done is not None:
            done, self._done = self._done, None
            self._threads.submit(done, self._taken())  # not here: whoever takes it waits for the node's turn

    def _taken(self) -> bytes:
        data = b"".join(self._input)
        self._input.clear()
        return data

    # -- what the command's thread says ----------------------------------------------------------

    def read(self, done: Callable[[bytes], None]) -> None:
        """Hand standard input to ``done`` once it is whole."""
        if self._ended:
            done(self._taken())
        else:
            self._loop.call_soon_threadsafe(self._read, done)

    def _read(self, done: Callable[[bytes], None]) -> None:
        self._done = done
        if self._ended:
            self._end()

    def _run(self, runs: Runs, command: str) -> None:
        try:
            said = runs.execute(command)
        except Killed:
            self._then(self._close)
        except Exception:
            traceback.print_exc()
            self._then(self._close)
        else:
            out, err = (text.encode(errors="surrogateescape") for text in said[:2])
            self._then(lambda: self._connection.in_one_piece(lambda: self._answer(out, err, said[2])))

    def _then(self, say: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it who waited for this
            self._loop.call_soon_threadsafe(say)

    def _close(self) -> None:
        assert self._chan is not None
        self._chan.close()

    def _answer(self, out: bytes, err: bytes, status: int) -> None:
        assert self._chan is not None
        with contextlib.suppress(OSError, asyncssh.Error):
            self._chan.write(out)
            self._chan.write(err, EXTENDED_DATA_STDERR)
            self._chan.write_eof()  # as OpenSSH does; without it a client cannot tell an end from a lost line
            self._chan.exit(status)
