"""What the processes of guests have open.

Every disk that QEMU has opened itself is a descriptor of its process, or is reached over the network as its arguments
say; a container's volumes are mounted in the mount namespace of its lxc-start (pve-container, PVE/LXC.pm:
lxc.monitor.unshare).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from pve_runbook.parsers.output import Output, ParseError, lines_of, only_missing_files, stdout_of, unread

_OPEN = re.compile(r"/proc/(?P<pid>\d+)/fd (?P<target>/.*)")
_MOUNTED = re.compile(r"/proc/(?P<pid>\d+)/mountinfo:(?P<fields>.*)")
_ESCAPE = re.compile(r"\\([0-7]{3})")
_DRIVE = re.compile(r" -(?:drive|blockdev) (?P<value>\S+)")
_BY_ID = re.compile(r"(?:^|,)id=drive-(?P<key>\w+)")
_BY_NAME = "drive-"
_URL = re.compile(r"(?:^|,)file=(?P<url>(?:rbd|iscsi|gluster(?:\+\w+)?):[^,]*)")
_RBD_PATH = re.compile(r"rbd:(?P<path>[^:,]+)")
_MISSING = 2
"""Exit status of grep when one of its files was not there (grep(1))."""


class Mounted(Struct, frozen=True):
    """One mount of a process: its source, and what of the file system is mounted (proc_pid_mountinfo(5))."""

    source: str
    root: str


def parse_open_files(output: Output) -> Mapping[int, frozenset[str]]:
    """Read `find /proc/PID/fd ... -type l -lname '/*' -printf '%h %l\\n'`: what each process has open, by pid; a file
    that was removed ends in " (deleted)". A process or a descriptor that is gone meanwhile has no entry."""
    if not (output.exit_status == 1 and only_missing_files(output)):
        stdout_of(output, "find /proc/PID/fd")
    found: dict[int, set[str]] = {}
    for line in lines_of(output.stdout):
        match = _OPEN.fullmatch(line)
        if match is None:
            raise unread("find /proc/PID/fd", line)
        found.setdefault(int(match["pid"]), set()).add(match["target"])
    if not found and output.exit_status == 0:
        raise ParseError("find ended with exit status 0 but shows nothing that a guest has open.")
    return {pid: frozenset(targets) for pid, targets in found.items()}


def parse_mountinfos(output: Output) -> Mapping[int, tuple[Mounted, ...]]:
    """Read `grep -H . /proc/PID/mountinfo ...`: the mounts of each process, by pid."""
    if not (output.exit_status == _MISSING and only_missing_files(output)):
        stdout_of(output, "grep /proc/PID/mountinfo")
    found: dict[int, list[Mounted]] = {}
    for line in lines_of(output.stdout):
        match = _MOUNTED.fullmatch(line)
        before, dash, after = (match["fields"] if match else "").partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if match is None or not dash or len(left) < 6 or len(right) != 3:
            raise unread("/proc/PID/mountinfo", line)
        found.setdefault(int(match["pid"]), []).append(Mounted(_unescaped(right[1]), _unescaped(left[3])))
    if not found and output.exit_status == 0:
        raise ParseError("grep ended with exit status 0 but shows no mount.")
    return {pid: tuple(mounts) for pid, mounts in found.items()}


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text)


def drives_over_the_network(arguments: str) -> tuple[tuple[str, str], ...]:
    """(key of the disk, where it is) of the disks that QEMU was started with and reaches without a device of the node:
    `rbd:POOL/IMAGE`, `iscsi:` or a `gluster:` address. As -drive (qemu-server to 8) and as -blockdev (Blockdev.pm)."""
    return tuple(dict.fromkeys(_drives(arguments)))


def _drives(arguments: str) -> Iterator[tuple[str, str]]:
    for match in _DRIVE.finditer(arguments):
        value = match["value"]
        if value.startswith("{"):
            try:
                yield from _of_blockdev(json.loads(value))
            except ValueError:
                continue
        elif (url := _URL.search(value)) and (key := _BY_ID.search(value)):
            rbd = _RBD_PATH.match(url["url"])
            address = f"rbd:{rbd['path']}" if rbd else url["url"]
            yield key["key"], "iscsi:" if address.startswith("iscsi:") else address


def _of_blockdev(node: object) -> Iterator[tuple[str, str]]:
    name = str(node.get("node-name", "")) if isinstance(node, dict) else ""
    while isinstance(node, dict) and isinstance(node.get("file"), dict):
        node = node["file"]
    if not name.startswith(_BY_NAME) or not isinstance(node, dict):
        return
    key, driver = name.removeprefix(_BY_NAME), node.get("driver")
    if driver == "rbd":
        parts = (node.get("pool"), node.get("namespace"), node.get("image"))
        yield key, f"rbd:{'/'.join(str(part) for part in parts if part)}"
    elif driver == "iscsi":
        yield key, "iscsi:"
    elif driver == "gluster":
        yield key, f"gluster://{node.get('volume')}/{node.get('path')}"
