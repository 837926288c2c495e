"""What stands in the lists of events: a question, a command of a plan, a guest, a node."""

from __future__ import annotations

import shlex

from msgspec import Struct


class Asked(Struct, frozen=True):
    """A probe as it was asked; what a number stands for that no line explains is one with no name."""

    q: int | None = None
    """The number by which later batches name it."""
    id: str = ""
    argv: tuple[str, ...] = ()
    why: str = ""


class Command(Struct, frozen=True):
    """One command that will be sent to ``node`` (its name in --hosts) by the fixture ``stage`` of ``phase``.

    Values that only the run has stand in ``argv`` as names in capitals. ``stdin_sha256``: of what the command reads,
    with the same names in it; None when it reads nothing.
    """

    phase: int
    stage: str
    node: str
    name: str
    argv: tuple[str, ...]
    why: str
    undo: str
    stdin_sha256: str | None

    @property
    def line(self) -> str:
        """The command as a shell takes it."""
        return shlex.join(self.argv)


class Identity(Struct, frozen=True):
    """Which machine a name in --hosts leads to. A node that was booted since is another one: what it runs is new."""

    name: str
    hostname: str
    boot_id: str


class GuestTruth(Struct, frozen=True):
    """One guest on its owner: what continuity and conservation compare.

    ``start`` is /proc/PID/stat's field 22 (clock ticks since boot); None for a guest that does not run.
    """

    vmid: int
    name: str
    kind: str
    """qemu or lxc."""
    node: str
    pid: int | None
    start: int | None
    config: str
    """SHA-256 (hex) of its configuration file."""
    volumes: int
    """How many its configuration names."""
    volumes_found: int


class GuestRow(Struct, frozen=True, kw_only=True):
    """One guest before the first change and at a comparison; None afterwards: no node owns it any more."""

    vmid: int
    name: str
    kind: str
    """qemu or lxc"""
    node: str
    """the owner at the baseline"""
    pid_before: int | None
    """null: it was not running"""
    pid_after: int | None
    """null: it is not running"""
    start_before: int | None
    """clock ticks since boot (proc(5), stat, field 22)"""
    start_after: int | None
    config_before: str | None
    """SHA-256 (hex) of the configuration file"""
    config_after: str | None
    owner_before: str | None
    owner_after: str | None
    volumes_before: int | None
    """how many volumes were found"""
    volumes_after: int | None
    same: bool
    """continuity and conservation both hold"""

    @classmethod
    def unchanged(cls, guest: GuestTruth) -> GuestRow:
        """A guest beside itself."""
        return cls(
            vmid=guest.vmid,
            name=guest.name,
            kind=guest.kind,
            node=guest.node,
            pid_before=guest.pid,
            pid_after=guest.pid,
            start_before=guest.start,
            start_after=guest.start,
            config_before=guest.config,
            config_after=guest.config,
            owner_before=guest.node,
            owner_after=guest.node,
            volumes_before=guest.volumes_found,
            volumes_after=guest.volumes_found,
            same=True,
        )

    @property
    def ran(self) -> bool:
        """Whether it was running before."""
        return self.pid_before is not None

    @property
    def ran_on(self) -> bool:
        """Whether its process is the one it was: what was not running cannot have been interrupted."""
        return not self.ran or (self.pid_before, self.start_before) == (self.pid_after, self.start_after)

    @property
    def is_kept(self) -> bool:
        """Whether configuration, owner and volumes are as they were."""
        before = (self.config_before, self.owner_before, self.volumes_before)
        return before == (self.config_after, self.owner_after, self.volumes_after)


class NodeRow(Struct, frozen=True, kw_only=True):
    """One node's boot_id before and after: the same means that it was not restarted."""

    node: str
    boot_before: str | None
    boot_after: str | None
    same: bool
