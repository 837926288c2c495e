"""A TCP proxy that adds a round-trip time and counts: a process of its own, told what to do on its standard input.

Each line it reads is a JSON object {"rtt": seconds}; it answers with what it counted since the last one.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from answers import answer


@dataclass
class Counted:
    """What went through since the last order. ``first`` is the wall clock at the first connection."""

    connections: int = 0
    round_trips: int = 0
    bytes: int = 0
    first: float = 0.0


class Way(asyncio.Protocol):
    """One end of a connection; passes what it is sent to the other end, later."""

    def __init__(self, proxy: Proxy, other: Way | None = None, port: int = 0) -> None:
        self.proxy = proxy
        self.other = other
        self.port = port
        self.delay = proxy.rtt / 2
        self.ready = proxy.loop.time() + 2 * self.delay if port else 0.0
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.asked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.port:
            counted = self.proxy.counted
            counted.connections += 1
            counted.first = counted.first or time.time()
            self.proxy.keep(self._connect())
        elif self.other is not None:
            self.ready = self.other.ready
            self.other._flush()

    async def _connect(self) -> None:
        def far() -> Way:
            self.other = Way(self.proxy, self)
            return self.other

        await self.proxy.loop.create_connection(far, "127.0.0.1", self.port)

    def data_received(self, data: bytes) -> None:
        counted = self.proxy.counted
        counted.bytes += len(data)
        near = self if self.port else self.other
        assert near is not None
        if self.port:
            self.asked = True
        elif near.asked:
            near.asked = False
            counted.round_trips += 1
        # A client may speak when its connection is made, and that takes a round trip of its own.
        due = max(self.proxy.loop.time(), self.ready) + self.delay
        self.waiting.append((due, data))
        if len(self.waiting) == 1:
            self.proxy.loop.call_at(due, self._flush)

    def _flush(self) -> None:
        if self.other is None or not hasattr(self.other, "transport"):
            return
        while self.waiting and self.waiting[0][0] <= self.proxy.loop.time():
            self.other.transport.write(self.waiting.popleft()[1])
        if self.waiting:
            self.proxy.loop.call_at(self.waiting[0][0], self._flush)
        elif self.transport.is_closing():
            self.other.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.waiting and self.other is not None and hasattr(self.other, "transport"):
            self.proxy.loop.call_later(self.delay, self.other.transport.close)


@dataclass
class Proxy:
    """All ways through; ``rtt`` in seconds holds for new connections."""

    loop: asyncio.AbstractEventLoop
    rtt: float = 0.0
    counted: Counted = field(default_factory=Counted)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def keep(self, work: object) -> None:
        task = self.loop.create_task(work)  # type: ignore[arg-type]
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def serve(ports: list[int]) -> None:
    """Listen for each of ``ports`` on one of its own, print which, and obey until standard input closes."""
    loop = asyncio.get_running_loop()
    proxy = Proxy(loop)
    servers = [await loop.create_server(lambda p=port: Way(proxy, port=p), "127.0.0.1", 0) for port in ports]  # type: ignore[misc]
    print(json.dumps([s.sockets[0].getsockname()[1] for s in servers]), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        counted, proxy.counted = proxy.counted, Counted()
        proxy.rtt = json.loads(line)["rtt"]
        print(json.dumps(asdict(counted)), flush=True)


class DelayingProxy:
    """The proxy's process, seen from the benchmark."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *map(str, ports.values())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ports: dict[str, int] = dict(zip(ports, answer(self._process), strict=True))

    def set(self, rtt: float) -> Counted:
        """Give new connections this round-trip time; what was counted since the last call."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"rtt": rtt}) + "\n")
        self._process.stdin.flush()
        return Counted(**answer(self._process))

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


if __name__ == "__main__":
    asyncio.run(serve([int(port) for port in sys.argv[1:]]))
