"""A run of pytest in a process of its own that need not load pytest and the tool first: it is forked from one that has.

What it does is what `python -m pytest` does; what it costs is half of that. It begins when it is waited for: a fault
that is to strike it can be armed before.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

from bounded import pieces
from environment import as_typed

SERVER = Path(__file__).with_name("warm_server.py")
STRICT = ("-W", "error")
"""Flags for runs that warn of nothing."""
BOUND = 60
"""Seconds until it has loaded all it needs, on a busy machine."""


class Run:
    """One run, as a subprocess.Popen: its pid, and its end."""

    def __init__(
        self, server: _Server, pid: int, go: int, said: int | None = None, errors: IO[bytes] | None = None
    ) -> None:
        """``said``: where its output comes from; None where it is at a terminal."""
        self.pid = pid
        self.stdout = None if said is None else os.fdopen(said, "rb", buffering=0)
        self._server = server
        self._go: int | None = go
        self._errors = errors
        self.returncode: int | None = None

    def go(self) -> None:
        """Let it begin."""
        if self._go is not None:
            os.close(self._go)
            self._go = None

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Let it run to its end: all that it said, standard error by itself where that was asked for.

        Raises TimeoutError, and then it does not outlive the wait.
        """
        assert self.stdout is not None
        self.go()
        try:
            said = b"".join(pieces(self.stdout.fileno(), timeout))
        except TimeoutError:
            self.kill()
            raise
        finally:
            self.stdout.close()
        self.wait(BOUND)
        return _text(said), _text(_whole(self._errors))

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        try:
            return self.wait(0)
        except TimeoutError:
            return None

    def wait(self, timeout: float) -> int:
        """Its exit status. Raises TimeoutError."""
        if self.returncode is None:
            self.returncode = self._server.status_of(self.pid, timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it, if the run has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, if it runs."""
        self.send_signal(signal.SIGKILL)


def _text(said: bytes) -> str:
    return said.decode().replace("\r\n", "\n")


def _whole(file: IO[bytes] | None) -> bytes:
    if file is None:
        return b""
    with file:
        file.seek(0)
        return file.read()


class _Server:
    """The process that runs are forked from."""

    def __init__(self, flags: Sequence[str]) -> None:
        self._line, theirs = socket.socketpair()
        self._process = subprocess.Popen([sys.executable, *flags, str(SERVER)], stdin=theirs, env=as_typed())
        theirs.close()
        self._text = b""
        self._ended: dict[int, int] = {}
        atexit.register(self.close)

    def begin(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], errors: IO[bytes] | None) -> Run:
        """Make a run that waits for its start."""
        said, write = os.pipe()
        pid, go = self._forked(argv, cwd, env, write, write if errors is None else errors.fileno())
        os.close(write)
        return Run(self, pid, go, said, errors)

    def begin_at(self, terminal: int, argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Run:
        """Make a run that waits for its start, in a session of its own at a terminal."""
        return Run(self, *self._forked(argv, cwd, env, terminal, terminal, at_terminal=True))

    def _forked(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], *to: int, at_terminal: bool = False
    ) -> tuple[int, int]:
        wait, go = os.pipe()
        asked = {"argv": argv, "cwd": str(cwd), "env": env, "at_terminal": at_terminal}
        request = json.dumps(asked).encode() + b"\n"
        sent = socket.send_fds(self._line, [request], [*to, wait])
        self._line.sendall(request[sent:])
        os.close(wait)
        while "pid" not in (answer := self._answer(BOUND)):
            self._ended[answer["ended"]] = answer["status"]
        return answer["pid"], go

    def status_of(self, pid: int, seconds: float) -> int:
        """The exit status of a run that has ended or is about to."""
        while pid not in self._ended:
            answer = self._answer(seconds)
            self._ended[answer["ended"]] = answer["status"]
        return self._ended.pop(pid)

    def _answer(self, seconds: float) -> dict[str, int]:
        end = time.monotonic() + seconds
        while b"\n" not in self._text:
            if not select.select([self._line], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"no answer within {seconds:g} s")
            data = self._line.recv(4096)
            assert data, "what runs are forked from has ended"
            self._text += data
        line, _, self._text = self._text.partition(b"\n")
        found: dict[str, int] = json.loads(line)
        return found

    def close(self) -> None:
        """End it; it has nothing under way."""
        self._line.close()
        self._process.wait(BOUND)


@cache
def _server(flags: tuple[str, ...], _read_at_start: frozenset[tuple[str, str]]) -> _Server:
    return _Server(flags)


def begin(*argv: str, cwd: Path, flags: tuple[str, ...] = (), with_errors: bool = True) -> Run:
    """`python FLAGS -m pytest ARGV`, as from a user's shell; ``with_errors``: what it says is one stream."""
    env = as_typed()
    return _for(env, flags).begin(argv, cwd, env, None if with_errors else tempfile.TemporaryFile())


def at_terminal(terminal: int, *argv: str, cwd: Path, flags: tuple[str, ...] = (), more: Mapping[str, str] = {}) -> Run:
    """`python FLAGS -m pytest ARGV`, begun at a terminal; ``more``: what its environment has beside a user's own."""
    env = {**as_typed(), **more}
    run = _for(env, flags).begin_at(terminal, argv, cwd, env)
    run.go()
    return run


def _for(env: Mapping[str, str], flags: tuple[str, ...]) -> _Server:
    return _server(flags, frozenset(item for item in env.items() if item[0].startswith("PYTHON")))
