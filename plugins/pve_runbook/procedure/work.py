"""What a stage decides about a node, and what its decisions need to know beside the node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from pve_runbook.actions.action import Action


class Act(Struct, frozen=True):
    """One action to be sent, with what it reads from its standard input."""

    action: Action
    stdin: bytes | None = None


class Idle(Struct, frozen=True):
    """Why a stage finds its work done on a node, in words."""

    why: str


Decision = Act | Idle


class Return(Protocol):
    """What a node that goes back into its cluster was, by the record of the run that took it out."""

    @property
    def is_put_back(self) -> bool:
        """Whether the node has to be put back: it left, or its key was not put back whole. Raises UnknownFact."""

    @property
    def has_qdevice(self) -> bool:
        """Whether its corosync.conf has a QDevice. Raises BackupFailed, UnknownFact."""

    def file(self, name: str) -> bytes:
        """A backup of it from before the first change. Raises BackupFailed when it is not what it was."""


class Work(Struct, frozen=True):
    """What the decisions need to know beside the nodes. ``run`` to ``key`` are filled into commands; in a plan they
    are placeholders in capitals."""

    cluster: str
    """Its name, for people."""
    run: str
    attempt: str
    lock: str
    canary_ids: Mapping[str, str] | None
    """Node → VMID of its throw-away guest; None when none is flown."""
    tag: str
    key: str
    """The line of the second way in."""
    card: bytes
    """The procedure by hand, left on every node."""
    backups: str
    """The tool's own folder on every node for the backups of this run, by its name."""
    held_as: str
    """The run that the nodes are locked for when it is this one, or the one that this one takes up."""
    keeps_backups: bool
    """Whether the backups of a run that is taken up are the ones that count."""
    members: tuple[str, ...]
    authority: str | None
    standalone_at_start: frozenset[str]
    scheduled: frozenset[str]
    """Nodes whose schedulers ran before the first change."""
    root_login: bool
    """Whether the SSH login itself is root's, whose keys are a link into /etc/pve."""
    back: Mapping[str, Return] | None = None
    """On the way back: node → what it was, for every node that was a member. None in the runbook."""

    staying: frozenset[str] = frozenset()
    """With --leave: the nodes that stay a cluster. Empty where every node leaves."""
    let_go: tuple[str, ...] = ()
    """The members that these are to forget, by their own names."""

    disarms: str | None = None
    """The node on which HA is disarmed before it is stopped; None where it is not, and once that is done."""

    def goes_back(self, node: str) -> bool:
        """Whether the node is put back into its cluster. Raises UnknownFact."""
        return self.back is not None and node in self.back and self.back[node].is_put_back
