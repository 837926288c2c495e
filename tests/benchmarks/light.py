"""What a reading weighs on a node of the system lab: processes at once, CPU, and how long corosync's token waits.

The token is watched from this machine, at the other end of each node's cable: no process on a node takes part in it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType

from pve_system_lab.container import GROUP, Container, hierarchies
from spent import loads

EVERY = 0.01
"""Seconds between two looks at the processes. What lives for less may be missed."""
LOGINS = ("payload/system.slice/ssh.service", "payload/user.slice")
"""Below a node's cgroup: whatever came in over SSH lives in one of them."""
CLUSTER_PORTS = range(5404, 5413)
PING = 88
"""Bytes of knet's pings and their answers, the head of UDP included; everything else that is short is corosync's."""
SHORT = 400
"""Bytes: knet's search for the largest packet sends longer ones."""
ETH_P_ALL, ETH_P_IP, SO_TIMESTAMPNS = 3, 0x0800, 35


@dataclass(frozen=True)
class Packet:
    """One of corosync's, as it passed the cable of a node: to the node, or from it."""

    at: float
    is_from_node: bool
    size: int


@dataclass(frozen=True)
class Weight:
    """A node for a while. ``processes``: the most that lived at once below the logins; CPU seconds of these and of the
    whole node; ``token``: the longest that the node kept it, in seconds, None where it never had it."""

    seconds: float
    processes: int
    logins_cpu: float
    node_cpu: float
    token: float | None


def longest_hold(packets: Sequence[Packet]) -> float | None:
    """Seconds from a token that came in to the next that went out, the longest; None where none did.

    Nearly all of corosync's packets are the token, all of one size; longer ones are messages, and a token that asks for
    lost ones again. A shorter one that a node sends without it wakes up who keeps an idle token.
    """
    [(token, _)] = Counter(packet.size for packet in packets).most_common(1) or [(0, 0)]
    came: float | None = None
    longest: float | None = None
    for packet in sorted((p for p in packets if p.size == token), key=lambda p: p.at):
        if not packet.is_from_node:
            came = packet.at
        elif came is not None:
            longest = max(longest or 0.0, packet.at - came)
            came = None
    return longest


class Watch:
    """Nodes under watch from `with` to its end; what was seen is in ``weights`` then."""

    def __init__(self, containers: Sequence[Container]) -> None:
        self._containers = containers
        self._end = threading.Event()
        self._most: Counter[str] = Counter()
        self._packets: dict[str, list[Packet]] = {c.node.name: [] for c in containers}
        self._threads = [threading.Thread(target=self._look), threading.Thread(target=self._listen)]
        self._before: dict[str, tuple[float, float]] = {}
        self._began = 0.0
        self.weights: dict[str, Weight] = {}

    def __enter__(self) -> Watch:
        self._before = {c.node.name: _cpu(c) for c in self._containers}
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        seconds = time.monotonic() - self._began
        self._end.set()
        for thread in self._threads:
            thread.join()
        for container in self._containers:
            name = container.node.name
            logins, whole = (now - then for now, then in zip(_cpu(container), self._before[name], strict=True))
            held = longest_hold(self._packets[name])
            self.weights[name] = Weight(seconds, self._most[name], logins, whole, held)

    def _look(self) -> None:
        while not self._end.wait(EVERY):
            for container in self._containers:
                found = sum(_processes(folder) for folder in _logins(container))
                self._most[container.node.name] = max(self._most[container.node.name], found)

    def _listen(self) -> None:
        with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
            for container in self._containers:
                cable = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)))
                cable.bind((container.interface, 0))
                cable.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                selector.register(cable, selectors.EVENT_READ, container)
            while not self._end.is_set():
                for key, _ in selector.select(0.1):
                    packet = _packet(key.fileobj, key.data.node.address)  # type: ignore[arg-type]
                    if packet is not None:
                        self._packets[key.data.node.name].append(packet)


def _packet(cable: socket.socket, address: str) -> Packet | None:
    """The next packet of a cable, if it is corosync's own (of a fixed kernel's layout: IPv4, UDP, a timespec)."""
    data, extra, _, origin = cable.recvmsg(64, 256)
    head = (data[0] & 15) * 4 if data else 0
    if origin[1] != ETH_P_IP or len(data) < head + 8 or data[9] != socket.IPPROTO_UDP:
        return None
    _, port, size = struct.unpack_from("!HHH", data, head)
    if port not in CLUSTER_PORTS or size == PING or size > SHORT:
        return None
    seconds, nanoseconds = struct.unpack("qq", extra[0][2])
    return Packet(seconds + nanoseconds / 1e9, data[12:16] == socket.inet_aton(address), size)


def _group(container: Container) -> Path:
    return hierarchies()[0] / GROUP / container.node.name


def _logins(container: Container) -> Iterator[Path]:
    return (_group(container) / folder for folder in LOGINS)


def _processes(group: Path) -> int:
    found = 0
    for folder, _, _ in os.walk(group):
        with contextlib.suppress(OSError):  # a session that has just ended
            found += len(Path(folder, "cgroup.procs").read_text().split())
    return found


def _cpu(container: Container) -> tuple[float, float]:
    """CPU seconds so far: of all that came in over SSH, and of the whole node."""
    return sum(map(_seconds, _logins(container))), _seconds(_group(container))


def _seconds(group: Path) -> float:
    words = (group / "cpu.stat").read_text().split()
    return int(words[words.index("usage_usec") + 1]) / 1e6


@dataclass(frozen=True)
class Reading:
    """checks/ once: every node at rest before it, and while it read."""

    who: str
    load: float
    status: int
    rest: dict[str, Weight]
    reading: dict[str, Weight]

    def processes(self) -> int:
        """Of the node that had the most: how many more than at rest."""
        return max(w.processes - self.rest[node].processes for node, w in self.reading.items())

    def logins_cpu(self) -> float:
        """CPU seconds of what came in over SSH, of the node that spent the most."""
        return max(w.logins_cpu for w in self.reading.values())

    def node_cpu(self) -> float:
        """CPU seconds of a whole node beyond what it spends at rest in that time, of the node that spent the most."""
        at_rest = {node: weight.node_cpu / weight.seconds for node, weight in self.rest.items()}
        return max(w.node_cpu - at_rest[node] * w.seconds for node, w in self.reading.items())

    def token(self, weights: dict[str, Weight]) -> float:
        """Milliseconds; the first node is left out: it keeps a token that nobody needs on purpose."""
        held = [weights[node].token for node in sorted(weights)[1:]]
        return max((one for one in held if one is not None), default=float("nan")) * 1000


def table(readings: Sequence[Reading]) -> str:
    """Medians over the turns, a line for each revision, in Markdown."""
    lines = [
        "| | turns | checks/ s | processes at once | CPU s of what came in over SSH | CPU s of the node beyond rest "
        "| token kept at most, ms: at rest | while read, median | while read, longest | load |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for who in dict.fromkeys(r.who for r in readings):
        mine = [r for r in readings if r.who == who]
        seconds = median(next(iter(r.reading.values())).seconds for r in mine)
        resting = max(r.token(r.rest) for r in mine)
        tokens = [r.token(r.reading) for r in mine]
        lines.append(
            f"| {who} | {len(mine)} | {seconds:.1f} | {median(r.processes() for r in mine):.0f} "
            f"| {median(r.logins_cpu() for r in mine):.2f} | {median(r.node_cpu() for r in mine):.2f} "
            f"| {resting:.1f} | {median(tokens):.1f} | {max(tokens):.1f} | {loads(r.load for r in mine)} |"
        )
    return "\n".join([*lines, ""])
