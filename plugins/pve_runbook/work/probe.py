"""What a probe is: an argv, a time bound, a parser and one sentence that says why it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from pve_runbook.facts.output import Output

T_co = TypeVar("T_co", covariant=True)

BACKUP_ROOT = "/var/lib/pve-runbook"
LOCK_PATH = BACKUP_ROOT + "/lock"
AUTHORIZED_KEYS2 = "/root/.ssh/authorized_keys2"
CONFIG_DB = "/var/lib/pve-cluster/config.db"


class Group(StrEnum):
    """Probes that are read together, in one round trip."""

    CORE = "core"
    """Cheap: files, systemd, SQLite; read after every change."""
    GUESTS = "guests"
    """Proxmox's own tools, 0.4 to 0.9 s each on a slow node (recorded)."""
    API = "api"
    """What the web UI would show."""
    ACTIVATING = "activating"
    """Reads that mount or import what is not there yet (pve-storage, activate_storage): never in checks/."""
    NETWORK = "network"
    """How the nodes are wired, addressed and named: with the families NAME and ROUTE_TO the second time."""
    HISTORY = "history"
    """The past of the cluster link, with the families COROSYNC_LOG and LINE_BEFORE; only checks ask for it."""


@dataclass(frozen=True, slots=True)
class Probe(Generic[T_co]):
    """One question. ``timeout`` in seconds; ``redact`` gives the text that the journal keeps instead of
    stdout where that may hold a secret."""

    name: str
    argv: tuple[str, ...]
    parse: Callable[[Output], T_co]
    why: str
    timeout: int = 10
    group: Group = Group.CORE
    redact: Callable[[Output], str] | None = None


@dataclass(frozen=True, slots=True)
class ProbeFamily(Generic[T_co]):
    """A question asked once per subject (a storage, a name) that the first round trip revealed."""

    name: str
    argv: Callable[[str], tuple[str, ...]]
    parse: Callable[[Output], T_co]
    why: str
    timeout: int = 10
