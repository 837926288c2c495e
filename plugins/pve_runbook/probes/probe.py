"""What a probe is: an argv, a time bound, a parser and one sentence that says why it is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

from pve_runbook.parsers.output import Output

T_co = TypeVar("T_co", covariant=True)

BACKUP_ROOT = "/var/lib/pve-runbook"
LOCK_PATH = BACKUP_ROOT + "/lock"
AUTHORIZED_KEYS2 = "/root/.ssh/authorized_keys2"
SUBJECT = "{}"
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
    STORAGE = "storage"
    """The storages one by one, by what neither mounts nor imports, and the login: with the family ZFS_DATASET and CEPH,
    where there is such a storage; only checks ask for it."""
    HISTORY = "history"
    """The past of the cluster link, with the families COROSYNC_LOG and LINE_BEFORE; only checks ask for it."""


CHECKED = (Group.CORE, Group.GUESTS, Group.NETWORK, Group.STORAGE, Group.HISTORY)
"""What a run over checks/ is about: read together, at its start."""

JUDGED = (Group.CORE, Group.NETWORK, Group.HISTORY)
"""What the runbook's own verdict is about, which comes before its first change: read together, at its start."""

TOOLS = (Group.GUESTS, Group.ACTIVATING)
"""What Proxmox's own tools say: the runbook reads it together when the first of it is asked for, and not with the
rest: they hang where /etc/pve does. The API is not asked with them: it tells every node's guests on every node."""

IN_PERL = frozenset({"pveversion", "pvecm", "qm", "pct", "pvesm", "pvesh", "ha-manager"})
"""Proxmox's own tools: each loads its modules for 0.3 to 0.9 s on a slow node, and for seconds on a busy one, where a
file, systemd and sqlite3 take 0.01 to 0.05 s (recorded on PVE 8.3)."""


class Probe(Struct, Generic[T_co], frozen=True):
    """One question. ``timeout`` in seconds; ``redact`` gives the text that the journal keeps instead of
    stdout where that may hold a secret."""

    name: str
    argv: tuple[str, ...]
    parse: Callable[[Output], T_co]
    why: str
    timeout: int = 10
    group: Group = Group.CORE
    redact: Callable[[Output], str] | None = None


class ProbeFamily(Struct, Generic[T_co], frozen=True):
    """A question asked once per subject (a storage, a name) that an earlier answer revealed.

    ``words`` is the argv, in which {} stands for the subject; ``subject`` is what a subject must look like. With
    ``separator`` a subject is several, and the word with {} is repeated for each.
    """

    name: str
    words: tuple[str, ...]
    subject: re.Pattern[str]
    parse: Callable[[Output], T_co]
    why: str
    timeout: int = 10
    separator: str | None = None
    redact: Callable[[Output], str] | None = None

    def accepts(self, subject: str) -> bool:
        """Whether this may be asked about: no subject becomes an option, or anything but the one word it is."""
        return all(self.subject.fullmatch(s) for s in self._each(subject))

    def argv(self, subject: str) -> tuple[str, ...]:
        """The argv for ``subject``. Raises ValueError for one that is not accepted."""
        if not self.accepts(subject):
            raise ValueError(f"{self.name}: {subject!r} is nothing that can be asked about")
        if self.separator is None:
            return tuple(word.replace(SUBJECT, subject) for word in self.words)
        place = self._place
        each = (self.words[place].replace(SUBJECT, s) for s in self._each(subject))
        return (*self.words[:place], *each, *self.words[place + 1 :])

    def matches(self, argv: Sequence[str]) -> bool:
        """Whether ``argv`` is this question about some subject that is accepted."""
        place = self._place
        before, _, after = self.words[place].partition(SUBJECT)
        behind = len(self.words) - place - 1
        words = argv[place : len(argv) - behind] if self.separator else argv[place : place + 1]
        found = [word[len(before) : len(word) - len(after)] for word in words]
        subject = (self.separator or "").join(found)
        return bool(found) and self.accepts(subject) and self.argv(subject) == tuple(argv)

    @property
    def _place(self) -> int:
        """Which word has the subject first."""
        return next(i for i, word in enumerate(self.words) if SUBJECT in word)

    def _each(self, subject: str) -> list[str]:
        return [subject] if self.separator is None else subject.split(self.separator)
