"""Faults that strike a lab at a chosen command: armed, counted, fired once each.

What counts as mutating is decided from the command line before it runs (commands/intent.py), on all nodes alike,
over SSH and in transient units; what another hand does never counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KINDS = ("kill", "terminate", "cut", "freeze", "fail", "power_cycle", "run")
READ_KINDS = ("kill", "terminate", "cut", "freeze")
MESSAGE = "made to fail by the lab"


@dataclass
class Fault:
    """One fault; exactly one of `at`, `at_read` and `argv` says where it strikes.

    `at` and `at_read` count from the moment it was armed; `skip` lets that many matches of `argv` pass. `node` limits
    all three to commands of one node. `pid` is the process that `kill` ends and `terminate` asks to end, `status` and
    `message` are what `fail` answers, `command` is what `run` types on `on` (default: the node where it strikes).
    """

    what: str
    when: str = "before"
    at: int | None = None
    at_read: int | None = None
    argv: tuple[str, ...] = ()
    node: str | None = None
    skip: int = 0
    pid: int | None = None
    status: int = 1
    message: str = MESSAGE
    command: str = ""
    on: str | None = None
    seen: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for a fault that could never strike or that makes no sense."""
        if self.what not in KINDS:
            raise ValueError(f"there is no fault {self.what!r}; there are: {', '.join(KINDS)}")
        if self.when not in ("before", "after"):
            raise ValueError(f"when is before or after, not {self.when!r}")
        if (self.at is not None) + (self.at_read is not None) + bool(self.argv) != 1:
            raise ValueError("a fault strikes at one of: at, at_read, argv")
        if any(number is not None and number < 1 for number in (self.at, self.at_read)):
            raise ValueError("commands are counted from 1")
        if self.at_read is not None and self.what not in READ_KINDS:
            raise ValueError(f"at a read there is only: {', '.join(READ_KINDS)}")
        if self.what in ("kill", "terminate") and self.pid is None:
            raise ValueError(f"{self.what} needs a pid")
        if self.what == "run" and not self.command:
            raise ValueError("run needs a command")
        if self.what == "fail" and self.when == "after":
            raise ValueError("a command that failed has no effect: when=before")

    def due(self, node: str, argv: Sequence[str], *, mutating: bool) -> bool:
        """Whether it strikes at this command; counts it."""
        if self.at_read is not None or self.node not in (None, node):
            return False
        if self.argv:
            if tuple(argv[: len(self.argv)]) != self.argv:
                return False
            self.seen += 1
            return self.seen > self.skip
        self.seen += mutating
        return mutating and self.seen == self.at

    def due_at_read(self, node: str) -> bool:
        """Whether it strikes at this batch of probes; counts it."""
        if self.at_read is None or self.node not in (None, node):
            return False
        self.seen += 1
        return self.seen == self.at_read


@dataclass(frozen=True)
class Fired:
    """A fault that struck: at which command (no argv: a batch of probes), and the counts at that moment.

    `mutating` and `reads` count since the lab's start or last reset, this command included; `time` is model time.
    """

    what: str
    when: str
    node: str
    argv: tuple[str, ...]
    mutating: int
    reads: int
    time: float


class FaultPlan:
    """The faults armed on one lab, and the counts of its commands since its start or last reset."""

    def __init__(self) -> None:
        self.armed: list[Fault] = []
        self.fired: list[Fired] = []
        self.mutating = 0
        self.reads = 0

    def arm(self, fault: Fault) -> None:
        """Let the fault strike once, from now on."""
        self.armed.append(fault)

    def disarm(self) -> None:
        """Let none of the armed faults strike any more; counts and history stay."""
        self.armed.clear()

    def reset(self) -> None:
        """Begin anew."""
        self.armed.clear()
        self.fired.clear()
        self.mutating = self.reads = 0

    def at_command(self, node: str, argv: Sequence[str], *, mutating: bool, time: float) -> list[Fault]:
        """A command is about to run: the faults that strike at it, no longer armed."""
        self.mutating += mutating
        return self._strike([f for f in self.armed if f.due(node, argv, mutating=mutating)], node, argv, time)

    def at_read(self, node: str, time: float) -> list[Fault]:
        """A batch of probes is about to run: the faults that strike at it, no longer armed."""
        self.reads += 1
        return self._strike([f for f in self.armed if f.due_at_read(node)], node, (), time)

    def _strike(self, due: list[Fault], node: str, argv: Sequence[str], time: float) -> list[Fault]:
        for fault in due:
            self.armed.remove(fault)
            self.fired.append(Fired(fault.what, fault.when, node, tuple(argv), self.mutating, self.reads, time))
        return due
