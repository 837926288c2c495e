"""The process table of one node, kept in /proc as well."""

from __future__ import annotations

from dataclasses import dataclass

from pve_lab.model.clock import Clock
from pve_lab.model.files import NodeFiles

TICKS = 100
"""Clock ticks per second (USER_HZ)."""


@dataclass(frozen=True)
class Process:
    """One process; `start` is in ticks since boot, field 22 of /proc/PID/stat."""

    pid: int
    comm: str
    argv: tuple[str, ...]
    start: int
    vmid: int | None = None

    @property
    def cmdline(self) -> str:
        """The command line as pgrep -a shows it."""
        return " ".join(self.argv)

    @property
    def stat(self) -> str:
        """The text of /proc/PID/stat (format recorded on PVE 8.3)."""
        return (
            f"{self.pid} ({self.comm}) S 1 {self.pid} {self.pid} 0 -1 138412480 8451 32237 0 0 19 8 48 17 20 0 5 0 "
            f"{self.start} 522129408 9238 18446744073709551615 94830658834432 94830664694869 140722734384576 0 0 0 "
            "268444224 3674112 16451 0 0 0 17 1 0 0 0 0 0 94830667806968 94830673011120 94831703392256 "
            "140722734389394 140722734391007 140722734391007 140722734391260 0\n"
        )


class ProcessTable:
    """All processes of a node since its boot."""

    def __init__(self, clock: Clock, files: NodeFiles, uptime: float) -> None:
        self._clock = clock
        self._files = files
        self._next = 400
        self.booted = clock.now - uptime
        self.table: dict[int, Process] = {}
        self.stopped: set[int] = set()
        """The pids that a signal STOP holds."""

    @property
    def uptime(self) -> float:
        """Seconds since the node's boot."""
        return self._clock.now - self.booted

    def spawn(
        self,
        comm: str,
        argv: tuple[str, ...],
        *,
        vmid: int | None = None,
        age: float = 0.0,
        pid: int | None = None,
    ) -> Process:
        """Start a process that counts as started `age` seconds ago."""
        if pid is None:
            self._next += 7
            pid = self._next
        start = int(max(self.uptime - age, 1.0) * TICKS) + pid % 97
        process = Process(pid, comm, argv, start, vmid)
        self.table[pid] = process
        proc = f"/proc/{pid}"
        self._files.make_directories(proc)
        self._files.put(f"{proc}/stat", process.stat.encode())
        self._files.put(f"{proc}/cmdline", "\0".join((*argv, "")).encode())
        self._files.put(f"{proc}/comm", f"{comm}\n".encode())
        return process

    def end(self, pid: int) -> None:
        """Let a process disappear; one that is gone already is no error."""
        self.stopped.discard(pid)
        if self.table.pop(pid, None) is not None:
            self._files.discard(f"/proc/{pid}")

    def named(self, comm: str) -> list[Process]:
        """All processes of that name, lowest pid first."""
        return [p for _, p in sorted(self.table.items()) if p.comm == comm]
