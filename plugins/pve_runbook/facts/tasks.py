"""Tasks of Proxmox VE: which run now, and which of them a change must wait for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pve_runbook.facts.answers import file_text, lines_of, unread
from pve_runbook.facts.output import Output
from pve_runbook.facts.pmxcfs import parse_pgrep

BLOCKING_TYPES = frozenset(
    [
        "vzdump",
        "qmigrate",
        "vzmigrate",
        "hamigrate",
        "migrateall",
        "qmclone",
        "vzclone",
        "qmmove",
        "move_volume",
        "qmrestore",
        "vzrestore",
        "qmcreate",
        "vzcreate",
        "qmdestroy",
        "vzdestroy",
        "qmtemplate",
        "vztemplate",
        "resize",
        "imgcopy",
        "imgdel",
        "download",
        "prunebackups",
        "qmsnapshot",
        "vzsnapshot",
        "qmdelsnapshot",
        "vzdelsnapshot",
        "qmrollback",
        "vzrollback",
        "qmtunnel",
        "vzmtunnel",
        "startall",
        "stopall",
        "suspendall",
        "clusterjoin",
        "clustercreate",
        "aptupdate",
        "diskinit",
        "wipedisk",
        "zfscreate",
        "lvmcreate",
        "lvmthincreate",
    ]
)
"""Worker types that write guests, volumes or the cluster (names of fork_worker calls); all "ceph..." ones
too."""

_UPID = re.compile(
    r"UPID:(?P<node>[A-Za-z0-9-]+):(?P<pid>[0-9A-Fa-f]{8}):(?P<pstart>[0-9A-Fa-f]{8,9}):[0-9A-Fa-f]{8}"
    r":(?P<type>[^:\s]+):(?P<id>[^:\s]*):(?P<user>[^:\s]+):"
)
_ACTIVE = re.compile(r"(?P<upid>UPID:\S+:) (?P<saved>[01])( (?P<endtime>[0-9A-Fa-f]{8})( (?P<status>.*))?)?")


@dataclass(frozen=True, slots=True)
class Task:
    """One task. `pstart` is the start time of its process in clock ticks since boot: only if /proc/PID/stat
    agrees is a task that is listed as running really running (the list is stale after a crash)."""

    upid: str
    node: str
    pid: int
    pstart: int
    type: str
    id: str
    user: str
    running: bool

    @property
    def is_blocking(self) -> bool:
        """True if nothing may be changed on the node while this task runs."""
        return self.type in BLOCKING_TYPES or self.type.startswith("ceph")


def _task(upid: str, *, running: bool) -> Task | None:
    match = _UPID.fullmatch(upid)
    if match is None:
        return None
    pid, pstart = int(match["pid"], 16), int(match["pstart"], 16)
    return Task(upid, match["node"], pid, pstart, match["type"], match["id"], match["user"], running)


def parse_tasks_active(output: Output) -> tuple[Task, ...]:
    """Read `cat /var/log/pve/tasks/active`: `UPID saved [endtime status]` (pve-common PVE/INotify.pm); a task
    without an end time runs. () if the file does not exist: no task was ever started."""
    tasks: list[Task] = []
    for line in lines_of(file_text(output, "cat /var/log/pve/tasks/active") or ""):
        match = _ACTIVE.fullmatch(line.rstrip())
        task = _task(match["upid"], running=match["endtime"] is None) if match else None
        if task is None:
            raise unread("cat /var/log/pve/tasks/active", line)
        tasks.append(task)
    return tuple(tasks)


def parse_task_processes(output: Output) -> tuple[Task, ...]:
    """Read `pgrep -af '^task UPID:'`: the tasks whose worker lives, each once; the worker carries its UPID as
    title."""
    tasks: list[Task] = []
    for process in parse_pgrep(output):
        title, _, upid = process.args.partition(" ")
        task = _task(upid.strip(), running=True)
        if title != "task" or task is None:
            raise unread("pgrep", process.args)
        if task not in tasks:
            tasks.append(task)
    return tuple(tasks)
