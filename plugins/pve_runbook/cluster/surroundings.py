"""What a node needs of the run around it."""

from __future__ import annotations

from typing import Protocol

from pve_runbook.cluster.probe_journal import AnswerLog
from pve_runbook.cluster.progress import Waits
from pve_runbook.cluster.signals import Brakes
from pve_runbook.journal.journal import Journal
from pve_runbook.probes.probe import Group
from pve_runbook.ssh.connection import ConnectOptions


class Surroundings(Protocol):
    """What a node needs of the run around it."""

    journal: Journal
    answers: AnswerLog
    read_only: bool
    activate_storage: bool
    """Whether a run that only reads may ask what mounts and imports what is not there yet."""
    timeout_scale: float
    since: int
    """How many seconds back the history of the nodes is read."""
    work: str
    """Names the work on the nodes: the run that began it. A re-run goes on under the same name."""
    attempt: str
    """Names this process's part in it."""
    brakes: Brakes
    waits: Waits
    connect: ConnectOptions

    @property
    def is_side_by_side(self) -> bool:
        """Whether this thread works on one node of several."""

    def read(self, *groups: Group) -> None:
        """Read groups of probes on every node."""

    def forget(self, *, own: bool = False) -> None:
        """End the validity of every fact of every node; ``own``: only the tool's own places were changed."""
