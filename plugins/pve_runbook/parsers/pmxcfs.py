"""pmxcfs: its mount, its processes, and what it says about members and guests."""

from __future__ import annotations

import re

from msgspec import Struct

from pve_runbook.parsers.json_objects import parse_object
from pve_runbook.parsers.output import (
    Output,
    ParseError,
    file_text,
    lines_of,
    only_missing_files,
    stdout_of,
    unknown,
    unread,
)

_PROCESS = re.compile(r"(?P<pid>\d+) (?P<args>.+)")


class Mount(Struct, frozen=True):
    """One mount at /etc/pve; two of them mean a stale one beneath a live one."""

    fstype: str
    source: str
    options: tuple[str, ...]


class MemberNode(Struct, frozen=True):
    """One node of .members; `ip` is known only after pmxcfs exchanged its status with it."""

    id: int
    online: bool
    ip: str | None


class Members(Struct, frozen=True):
    """/etc/pve/.members. On a standalone node, and on a member whose pmxcfs never reached corosync, there is
    no cluster and no node list: the cluster fields are None then (recorded on PVE 8.3)."""

    nodename: str
    version: int
    cluster_name: str | None
    cluster_version: int | None
    quorate: bool | None
    nodes: dict[str, MemberNode] | None


class Process(Struct, frozen=True):
    """One line of `pgrep -a`."""

    pid: int
    args: str


def parse_findmnt(output: Output) -> tuple[Mount, ...]:
    """Read `findmnt -n -o FSTYPE,SOURCE,OPTIONS /etc/pve`; () if nothing is mounted there (exit status 1,
    silent)."""
    if output.exit_status == 1 and not output.stdout.strip() and not output.stderr.strip():
        return ()
    mounts: list[Mount] = []
    for line in lines_of(stdout_of(output, "findmnt")):
        fields = line.split(maxsplit=2)
        options = tuple(fields[2].strip().split(",")) if len(fields) == 3 else ()
        if not {"rw", "ro"}.intersection(options):
            raise unread("findmnt", line)
        mounts.append(Mount(fields[0], fields[1], options))
    if not mounts:
        raise ParseError("findmnt ended with exit status 0 but shows no mount.")
    return tuple(mounts)


def parse_mode(output: Output) -> int | None:
    """Read `stat -c %a`: permission bits (0o755); None if the file does not exist.

    /etc/pve/local reads 755 while pmxcfs may write and 555 while it may not (pve-cluster cfs-plug-link.c).
    """
    if output.exit_status == 1 and not output.stdout and only_missing_files(output):
        return None
    text = stdout_of(output, "stat").strip()
    if not re.fullmatch(r"[0-7]{1,4}", text):
        raise unread("stat", text)
    return int(text, 8)


def parse_members(output: Output) -> Members | None:
    """Read `cat /etc/pve/.members`; None if it does not exist (nothing mounted)."""
    text = file_text(output, "cat /etc/pve/.members")
    if text is None:
        return None
    top = parse_object(text, "/etc/pve/.members")
    if ("cluster" in top) != ("nodelist" in top):
        raise ParseError("/etc/pve/.members has only one of 'cluster' and 'nodelist'.")
    if "cluster" not in top:
        return Members(top.text("nodename"), top.number("version"), None, None, None, None)
    cluster, nodelist = top.object("cluster"), top.object("nodelist")
    nodes: dict[str, MemberNode] = {}
    for name in nodelist.names():
        node = nodelist.object(name)
        nodes[name] = MemberNode(node.number("id"), node.flag("online"), node.text_or_none("ip"))
    return Members(
        nodename=top.text("nodename"),
        version=top.number("version"),
        cluster_name=cluster.text("name"),
        cluster_version=cluster.number("version"),
        quorate=cluster.flag("quorate"),
        nodes=nodes,
    )


def parse_pgrep(output: Output) -> tuple[Process, ...]:
    """Read `pgrep -a`; () if no process matched (exit status 1, silent)."""
    if output.exit_status == 1 and not output.stdout.strip() and not output.stderr.strip():
        return ()
    if output.exit_status != 0 or not output.stdout.strip():
        raise unknown(output, "pgrep")
    processes: list[Process] = []
    for line in lines_of(output.stdout):
        match = _PROCESS.fullmatch(line.strip())
        if match is None:
            raise unread("pgrep", line)
        processes.append(Process(int(match["pid"]), match["args"]))
    return tuple(processes)
