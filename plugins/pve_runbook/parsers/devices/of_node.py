"""The node's devices: which names lead to which, and what lies behind a loop device."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from pve_runbook.parsers.output import Output, ParseError, lines_of, stdout_of, unread

_LOOP = re.compile(r"(?P<device>/dev/loop\d+)(?: \(lost\))?\s+(?P<file>/.*?)\s*")


def parse_dev_links(output: Output) -> Mapping[str, str]:
    """Read `find /dev -type l -printf '%y\\t%P\\t%l\\n'`: the path of every link → the path that it leads to."""
    links: dict[str, str] = {}
    for line in lines_of(stdout_of(output, "find /dev")):
        words = line.split("\t")
        if len(words) != 3 or words[0] != "l":
            raise unread("find /dev", line)
        path = f"/dev/{words[1]}"
        links[path] = posixpath.normpath(posixpath.join(posixpath.dirname(path), words[2]))
    if not links:
        raise ParseError("find ended with exit status 0 but shows no link in /dev.")
    return links


def parse_loop_devices(output: Output) -> Mapping[str, str]:
    """Read `losetup -l -n -O NAME,BACK-FILE`: loop device → the file behind it; nothing where there is none.

    A device without its file in /dev is `(lost)` on Debian 13 (recorded in the system lab, util-linux 2.41).
    """
    found: dict[str, str] = {}
    for line in lines_of(stdout_of(output, "losetup")):
        match = _LOOP.fullmatch(line)
        if match is None:
            raise unread("losetup", line)
        found[match["device"]] = match["file"]
    return found
