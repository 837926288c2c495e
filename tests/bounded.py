"""Waits that end. What is read from a process or a terminal is read up to a moment: a test fails, it never hangs."""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol, TypeVar

T = TypeVar("T")

BOUND = 240
"""Seconds that nothing which a test waits for may take."""


def pieces(fd: int, seconds: float = BOUND) -> Iterator[bytes]:
    """What comes from ``fd`` until its other side is closed. Raises TimeoutError when that takes longer."""
    end = time.monotonic() + seconds
    while select.select([fd], [], [], max(0.0, end - time.monotonic()))[0]:
        try:
            data = os.read(fd, 65536)
        except OSError:  # a pseudo-terminal that nobody has open any more
            return
        if not data:
            return
        yield data
    raise TimeoutError(f"it was not closed within {seconds:g} s")


def until_heard(keyboard: IO[bytes], key: bytes, is_answered: Callable[[], bool] = lambda: False) -> None:
    """Until a terminal shows something type ``key`` again, unless it was answered: Python misses a Ctrl-C that comes
    between a prompt and its wait for a key. Two minutes at most."""
    for _ in range(12):
        if select.select([keyboard], [], [], 10)[0]:
            return
        if not is_answered():
            keyboard.write(key)


def up_to(stream: IO[Any], words: str, seconds: float = BOUND) -> str:
    """What a process says up to the first line with ``words``; nothing else reads its ``stream``.

    Raises AssertionError when it ends without, TimeoutError.
    """
    said = b""
    for piece in pieces(stream.fileno(), seconds):
        said += piece
        *lines, _ = said.split(b"\n")
        for number, line in enumerate(lines, 1):
            if words.encode() in line:
                return b"\n".join(lines[:number]).decode()
    raise AssertionError(f"it ended before {words!r}: {said.decode(errors='replace')}")


def first_line(stream: IO[Any], seconds: float = BOUND) -> str:
    """The first line that a process says. Raises AssertionError, TimeoutError."""
    return up_to(stream, "", seconds)


class Process(Protocol):
    """What is begun: a subprocess.Popen, or a run of tests/warm.py."""

    def poll(self) -> int | None: ...

    def wait(self, timeout: float, /) -> int: ...

    def kill(self) -> None: ...


@contextmanager
def no_longer_than(process: Process) -> Iterator[None]:
    """Whatever happens within, ``process`` does not outlive it."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(30)


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Carry out what is asynchronous. Raises TimeoutError when it does not end."""
    return asyncio.run(asyncio.wait_for(work, BOUND))
