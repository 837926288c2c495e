"""One command over SSH: both streams read with bounded waits, and never an exit status that nobody reported.

paramiko by itself waits up to an hour for a session, for ever for the answer to an exec request, and says -1
both for a lost link and for a command killed by a signal. Here every wait has a bound and each of these has
its own name. A command is sent once; nothing here sends it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import paramiko
from msgspec import Struct

OPEN_SECONDS = 10.0
"""What a node may take to open a session; one that does not is taken for frozen, its connection closed."""

_CHUNK = 4 * 1024 * 1024
_PIECE = 1024 * 1024
"""Sent at once: paramiko copies what is left of it with every packet, which takes minutes for a large database."""
_CLOSE_SECONDS = 1.0


class Wire(Protocol):
    """What execute() needs of a connection."""

    @property
    def name(self) -> str:
        """The node's name for messages."""

    @property
    def transport(self) -> Any:
        """The paramiko.Transport, or None while the connection is not open."""

    def prepare(self, command: str, stdin: bytes | None) -> tuple[str, bytes | None]:
        """The command and its input as they are sent, with sudo if the connection uses it."""


class Result(Struct, frozen=True):
    """What a command said. `exit_status` is None if a signal killed it; `seconds` is wall time."""

    stdout: bytes
    stderr: bytes
    exit_status: int | None
    seconds: float


class WireError(Exception):
    """A command whose outcome is unknown. str() is one line.

    `sent` is False only if the command certainly never reached the node; `stdout` and `stderr` are what had
    been received by then and not handed on, `seconds` how long it took.
    """

    def __init__(
        self,
        node: str,
        command: str,
        why: str,
        *,
        seconds: float,
        sent: bool,
        stdout: bytes = b"",
        stderr: bytes = b"",
        label: str | None = None,
    ) -> None:
        outcome = "its outcome is unknown" if sent else "it was not sent"
        self.label = label or _shortened(command)
        super().__init__(f"{node}: {why} ({self.label}; after {seconds:.1f} s; {outcome})")
        self.node = node
        self.command = command
        self.why = why
        self.seconds = seconds
        self.sent = sent
        self.stdout = stdout
        self.stderr = stderr


class ConnectionLost(WireError):
    """The link died, the node opened no session, or the connection was not open."""


class CommandTimeout(WireError):
    """The command gave no end within its time; its channel is closed, but it may still run on the node."""


class OutputTooLarge(WireError):
    """The command said more than max_bytes; its channel is closed."""


_E = TypeVar("_E", bound=WireError)


def execute(
    connection: Wire,
    command: str,
    *,
    timeout: float,
    stdin: bytes | None = None,
    on_stdout: Callable[[bytes], None] | None = None,
    max_bytes: int = 64 * 1024 * 1024,
    open_timeout: float = OPEN_SECONDS,
    label: str | None = None,
) -> Result:
    """Run `command` in the node's login shell and wait for its end, `timeout` seconds from the request.

    `on_stdout` is given each piece of standard output as it comes, and the result then holds none of it; what it
    raises ends the command's channel and goes through. `label` stands for a long command in messages. Several
    threads may execute on one connection. Raises ConnectionLost, CommandTimeout, OutputTooLarge.
    """
    return _Exchange(connection, command, on_stdout, max_bytes, label).run(timeout, stdin, open_timeout)


def close_within(close: Callable[[], None], seconds: float) -> bool:
    """Call something that closes and may block on a dead link; True if it came back within `seconds`."""

    def quietly() -> None:
        try:
            close()
        except (OSError, EOFError, paramiko.SSHException):
            return  # it is closed already, which is what was wanted

    closer = threading.Thread(target=quietly, name="pve-runbook-close", daemon=True)
    closer.start()
    closer.join(seconds)
    return not closer.is_alive()


class _Wakeup:
    """The event of both of a channel's buffers. A buffer clears its event when it is empty, though the other
    one may not be; so only the reader clears this one.
    """

    def __init__(self) -> None:
        self.event = threading.Event()

    def set(self) -> None:
        self.event.set()

    def clear(self) -> None:
        """The reader's business, see above."""


class _Exchange:
    """One command under way: its channel and what was received so far."""

    def __init__(
        self,
        connection: Wire,
        command: str,
        on_stdout: Callable[[bytes], None] | None,
        max_bytes: int,
        label: str | None,
    ) -> None:
        self._connection = connection
        self._command = command
        self._on_stdout = on_stdout
        self._max_bytes = max_bytes
        self._label = label
        self._transport = connection.transport
        self._stdout: list[bytes] = []
        self._stderr: list[bytes] = []
        self._received = 0
        self._sent = False
        self._started = time.monotonic()

    def run(self, timeout: float, stdin: bytes | None, open_timeout: float) -> Result:
        command, data = self._connection.prepare(self._command, stdin)
        channel = self._open(open_timeout)
        deadline = time.monotonic() + timeout
        finished = False
        try:
            wakeup = _Wakeup()
            channel.in_buffer.set_event(wakeup)
            channel.in_stderr_buffer.set_event(wakeup)
            self._request(channel, command, timeout)
            self._write(channel, data, timeout)
            self._read(channel, wakeup.event, deadline, timeout)
            status = self._exit_status(channel, deadline, timeout, open_timeout)
            finished = True
        finally:
            if finished:
                channel.close()
            else:
                self._abandon(channel)
        return Result(b"".join(self._stdout), b"".join(self._stderr), status, self._elapsed())

    def _open(self, seconds: float) -> Any:
        if self._transport is None or not self._transport.is_active():
            why = "the connection was lost" if self._sent else "the connection is not open"
            raise self._error(ConnectionLost, why)
        started = time.monotonic()
        try:
            return self._transport.open_session(timeout=seconds)
        except (paramiko.SSHException, OSError, EOFError) as error:
            if not self._transport.is_active():
                raise self._error(ConnectionLost, "the connection was lost") from error
            if time.monotonic() - started < seconds:
                raise self._error(ConnectionLost, f"its SSH server opened no session: {error}") from error
            close_within(self._transport.close, _CLOSE_SECONDS)
            why = f"it did not open a session within {seconds:g} s; the connection is given up"
            raise self._error(ConnectionLost, why) from error

    def _request(self, channel: Any, command: str, timeout: float) -> None:
        """Send the exec request and wait for its answer; paramiko's own wait has no bound."""
        started = time.monotonic()
        watch = threading.Timer(timeout, self._abandon, [channel])
        watch.daemon = True
        watch.start()
        self._sent = True
        try:
            channel.exec_command(command)
        except (paramiko.SSHException, OSError, EOFError) as error:
            if time.monotonic() - started >= timeout:
                raise self._timed_out(timeout) from error
            if self._transport.is_active():
                raise self._error(ConnectionLost, "its SSH server refused to run a command") from error
            raise self._error(ConnectionLost, "the connection was lost") from error
        finally:
            watch.cancel()

    def _write(self, channel: Any, data: bytes | None, timeout: float) -> None:
        """Give the command its input and then the end of it; beside the reader, or both could wait for each
        other.
        """
        channel.settimeout(timeout)

        def write() -> None:
            try:
                for start in range(0, len(data or b""), _PIECE):
                    channel.sendall((data or b"")[start : start + _PIECE])
                channel.shutdown_write()
            except (OSError, EOFError, paramiko.SSHException):
                return  # the command ended before its input did, or the link died: the reader sees which

        if data:
            threading.Thread(target=write, name="pve-runbook-stdin", daemon=True).start()
        else:
            write()

    def _read(self, channel: Any, event: threading.Event, deadline: float, timeout: float) -> None:
        """Take both streams until the command has ended, whichever of the two has something."""
        while True:
            event.clear()
            ended = channel.closed or (channel.eof_received and channel.exit_status_ready())
            idle = True
            if channel.recv_ready():
                idle = False
                self._take(channel.recv(_CHUNK), self._stdout, self._on_stdout)
            if channel.recv_stderr_ready():
                idle = False
                self._take(channel.recv_stderr(_CHUNK), self._stderr, None)
            if ended and idle:
                return
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise self._timed_out(timeout)
            if idle:
                (channel.status_event if channel.eof_received else event).wait(remaining)

    def _take(self, data: bytes, stream: list[bytes], consumer: Callable[[bytes], None] | None) -> None:
        if consumer is None:
            stream.append(data)
        self._received += len(data)
        if self._received > self._max_bytes:
            raise self._error(OutputTooLarge, f"the command said more than {self._max_bytes} bytes")
        if consumer is not None:
            consumer(data)

    def _exit_status(self, channel: Any, deadline: float, timeout: float, open_timeout: float) -> int | None:
        """The reported status. Without one the command was killed by a signal, if the node still answers.

        A dying transport closes its channels before it calls itself inactive, so its own word is not enough.
        """
        status: int = channel.exit_status
        if status >= 0 and channel.eof_received:
            return status
        if time.monotonic() >= deadline:
            raise self._timed_out(timeout)  # the watch over the exec request closed the channel, not the node
        self._open(open_timeout).close()
        return status if status >= 0 else None

    def _abandon(self, channel: Any) -> None:
        """Close the channel; if even that blocks, nothing gets through to the node and the transport goes
        too.
        """
        if not close_within(channel.close, _CLOSE_SECONDS):
            close_within(self._transport.close, _CLOSE_SECONDS)

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _timed_out(self, timeout: float) -> CommandTimeout:
        return self._error(CommandTimeout, f"no end of the command within {timeout:g} s")

    def _error(self, kind: type[_E], why: str) -> _E:
        return kind(
            self._connection.name,
            self._command,
            why,
            seconds=self._elapsed(),
            sent=self._sent,
            stdout=b"".join(self._stdout),
            stderr=b"".join(self._stderr),
            label=self._label,
        )


def _shortened(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= 120 else line[:117] + "..."
