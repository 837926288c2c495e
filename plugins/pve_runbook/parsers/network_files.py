"""What a node's files say of gateways and of the order in which names are looked up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from msgspec import Struct
from msgspec.structs import replace

from pve_runbook.parsers.output import Output, lines_of, stdout_of, unread

INTERFACES = "/etc/network/interfaces"
GATEWAY_LINES = (
    r"^[[:space:]]*((iface|gateway|metric|auto|allow-auto|allow-hotplug|source|source-directory)[[:space:]]|"
    r"(post-)?up[[:space:]]+([a-z/]*/)?(ip|route)[[:space:]].*(default|0\.0\.0\.0/0)[[:space:]])"
)
"""Which lines of these files are read, for `grep -E`."""
INTERFACES_NEW = f"{INTERFACES}.new"
"""Takes the place of the interfaces file at the next boot (pvenetcommit.service), or with `ifreload` in the web UI."""
DROP_INS = (INTERFACES_NEW, f"{INTERFACES}.d", "/usr/local/lib/systemd/network")
"""What else changes the network at the next boot; the last one has the names that are pinned to cards (PVE 9)."""
DHCP = "dhcp"
"""Stands for the address of a gateway that DHCP tells."""

_FIND_MISSING = re.compile(r"find: ['\u2018](?P<path>/\S*)['\u2019]: No such file or directory")
_SUM = re.compile(r"(?P<sum>[0-9a-f]{64})  (?P<path>/.*)")
_IFACE = re.compile(r"iface\s+(?P<name>\S+)(\s+(?P<family>inet6?)(\s+(?P<method>\S+).*)?)?")
_STARTS = ("auto", "allow-auto", "allow-hotplug")
_ROUTE = re.compile(
    r"(?:post-)?up\s+\S*\b(?:ip(?:\s+-\S+)*\s+r(?:o(?:u(?:te?)?)?)?\s+(?:a\S*|r\S*)|route(?:\s+-\S+)*\s+add)(?:\s+-net)?"
    r"\s+(?:default|0\.0\.0\.0/0)\s+(?:.*\s)?(?:via|gw)\s+(?P<gateway>\S+).*"
)
_OTHER_TABLE = re.compile(r"\btable\s+(?!main\b|254\b)")
_METRIC = re.compile(r"\bmetric\s+(?P<metric>\d+)")
_PLAIN_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_HOSTS = re.compile(r"hosts:(?P<services>.*)")
_ACTION = re.compile(r"\[[^\]]*\]")


class Gateway(Struct, frozen=True):
    """One default gateway that /etc/network/interfaces, or a file it includes, gives an interface; `family` is "inet"
    or "inet6", `address` may be :data:`DHCP`."""

    file: str
    iface: str
    family: str
    address: str
    metric: int | None


def parse_drop_ins(output: Output) -> dict[str, str]:
    """Read `find ... -exec sha256sum {} +`: SHA-256 by path; a place that does not exist has no entry (exit status 1).

    Raises ParseError.
    """
    missing = [_FIND_MISSING.fullmatch(line) for line in lines_of(output.stderr)]
    if not (output.exit_status == 1 and missing and all(missing)):
        stdout_of(output, "find of the network's files")
    found: dict[str, str] = {}
    for line in lines_of(output.stdout):
        match = _SUM.fullmatch(line)
        if match is None:
            raise unread("find of the network's files", line)
        found[match["path"]] = match["sum"]
    return found


def parse_gateway_lines(output: Output) -> tuple[Gateway, ...]:
    """Read `grep -rHE` of :data:`GATEWAY_LINES` (interfaces(5)): the gateways of interfaces that come up by themselves,
    in files that are read; () if there is none (status 1). A file elsewhere that is included is not among them.

    Raises ParseError.
    """
    if output.exit_status == 1 and not output.stdout and not output.stderr:
        return ()
    files: dict[str, list[str]] = {}
    for line in lines_of(stdout_of(output, "grep of the interfaces files")):
        file, colon, text = line.partition(":")
        if not colon:
            raise unread("grep of the interfaces files", line)
        files.setdefault(file, []).append(text.partition("#")[0].strip())
    included = _included(files)
    start = {
        name
        for file in included
        for words in map(str.split, files[file])
        if words and words[0] in _STARTS
        for name in words[1:]
    }
    return tuple(g for file in included for g in _of_file(file, files[file]) if g.iface in start)


def _included(files: Mapping[str, list[str]]) -> list[str]:
    """The files that are read when the network starts: the main one, and what it includes, and so on."""
    found = [file for file in files if file == INTERFACES]
    for file in found:  # which grows meanwhile
        for words in map(str.split, files[file]):
            for pattern in words[1:] if words and words[0] in ("source", "source-directory") else ():
                path = str(PurePosixPath(file).parent / pattern).rstrip("/")
                found += [f for f in files if f not in found and _includes(words[0], path, PurePosixPath(f))]
    return found


def _includes(how: str, pattern: str, file: PurePosixPath) -> bool:
    """`source` takes a pattern of the shell, which no hidden file matches; `source-directory` the plain names in it."""
    if how == "source-directory":
        return file.parent.match(pattern) and _PLAIN_NAME.fullmatch(file.name) is not None
    is_hidden = file.name.startswith(".") and not PurePosixPath(pattern).name.startswith(".")
    return not is_hidden and file.match(pattern)


def _of_file(file: str, lines: list[str]) -> Iterator[Gateway]:
    """The gateways of all stanzas of a file; a metric stands beside a gateway, before or after it."""
    stanza: list[Gateway] = []
    metric: int | None = None
    iface = family = ""
    for text in [*lines, "iface - inet manual"]:
        word, value = (*text.split(None, 1), "")[:2]
        if word == "iface":
            yield from (replace(g, metric=metric) for g in stanza)
            stanza, metric, found = [], None, _IFACE.fullmatch(text)
            iface, family = (found["name"], found["family"] or "") if found is not None else ("", "")
            if found is not None and (family, found["method"]) == ("inet", "dhcp"):
                stanza.append(Gateway(file, iface, family, DHCP, None))
        elif iface and word == "gateway":
            stanza.append(Gateway(file, iface, family or _family(value), value, None))
        elif iface and word == "metric" and value.isdecimal():
            metric = int(value)
        elif iface and (route := _ROUTE.fullmatch(text)) is not None and not _OTHER_TABLE.search(text):
            own = _METRIC.search(text)
            address = route["gateway"]
            yield Gateway(file, iface, _family(address), address, int(own["metric"]) if own else None)


def _family(address: str) -> str:
    return "inet6" if ":" in address else "inet"


def parse_nsswitch(output: Output) -> tuple[str, ...]:
    """Read `cat /etc/nsswitch.conf`: the services that are asked for a host's address, in their order; glibc's own
    default ("dns", "files") where the file does not say (nsswitch.conf(5)). Raises ParseError."""
    for line in lines_of(stdout_of(output, "cat /etc/nsswitch.conf")):
        hosts = _HOSTS.fullmatch(line.partition("#")[0].strip())
        if hosts is not None:
            return tuple(_ACTION.sub(" ", hosts["services"]).split())
    return ("dns", "files")
