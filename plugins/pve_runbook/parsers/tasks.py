"""Tasks of Proxmox VE: which run now, and which of them a change must wait for."""

from __future__ import annotations

import re

from msgspec import Struct

from pve_runbook.parsers.output import Output, unread
from pve_runbook.parsers.pmxcfs import parse_pgrep

HARMLESS_TYPES = frozenset({"vncproxy", "vncshell", "spiceproxy", "spiceshell", "termproxy"})
"""Worker types that only carry a console (names of fork_worker calls). Every other one may write guests, volumes, the
network or the cluster, also a type that is not known: each release has new ones."""

_UPID = re.compile(
    r"UPID:(?P<node>[A-Za-z0-9-]+):(?P<pid>[0-9A-Fa-f]{8}):(?P<pstart>[0-9A-Fa-f]{8,9}):[0-9A-Fa-f]{8}"
    r":(?P<type>[^:\s]+):(?P<id>[^:\s]*):(?P<user>[^:\s]+):"
)


class Task(Struct, frozen=True):
    """One task that runs. `pstart` is the start time of its process in clock ticks since boot."""

    upid: str
    node: str
    pid: int
    pstart: int
    type: str
    id: str
    user: str

    @property
    def is_blocking(self) -> bool:
        """True if nothing may be changed on the node while this task runs: unless it is known to be harmless."""
        return self.type not in HARMLESS_TYPES


def _task(upid: str) -> Task | None:
    match = _UPID.fullmatch(upid)
    if match is None:
        return None
    pid, pstart = int(match["pid"], 16), int(match["pstart"], 16)
    return Task(upid, match["node"], pid, pstart, match["type"], match["id"], match["user"])


def parse_task_processes(output: Output) -> tuple[Task, ...]:
    """Read `pgrep -af '^task UPID:'`: the tasks whose worker lives, each once; the worker carries its UPID as
    title."""
    tasks: list[Task] = []
    for process in parse_pgrep(output):
        title, _, upid = process.args.partition(" ")
        task = _task(upid.strip())
        if title != "task" or task is None:
            raise unread("pgrep", process.args)
        if task not in tasks:
            tasks.append(task)
    return tuple(tasks)
