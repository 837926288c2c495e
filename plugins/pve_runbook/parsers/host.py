"""Who a node is: name, user, boot, version, clock; and listings of files and checksums."""

from __future__ import annotations

import ipaddress
import re

from msgspec import Struct

from pve_runbook.parsers.output import (
    NOT_INSTALLED,
    Output,
    ParseError,
    Skipped,
    file_text,
    lines_of,
    only_missing_files,
    stdout_of,
    unknown,
    unread,
)

_VERSION = re.compile(r"pve-manager/(?P<full>(?P<major>\d+)\.(?P<minor>\d+)[^/\s]*)/\S+( \(running kernel: [^)]*\))?")
_BOOT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_SHA256 = re.compile(r"(?P<sum>[0-9a-f]{64}) [ *](?P<path>/.+)")
_LS_HEADER = re.compile(r"(?P<directory>/.*):")
_LS_MISSING = re.compile(r"ls: cannot access '(?P<directory>/.*)': No such file or directory")


class Version(Struct, frozen=True):
    """The version of pve-manager; `full` is "8.3.0", or "7.4-17" before PVE 8."""

    major: int
    minor: int
    full: str


def parse_pveversion(output: Output) -> Version:
    """Read `pveversion`. Raises ParseError, which says so if this is no Proxmox VE node."""
    if output.exit_status == NOT_INSTALLED:
        raise ParseError("This is not a Proxmox VE node: the command pveversion does not exist.")
    text = stdout_of(output, "pveversion").strip()
    match = _VERSION.fullmatch(text)
    if match is None:
        raise unread("pveversion", text)
    return Version(int(match["major"]), int(match["minor"]), match["full"])


def parse_version_if_any(output: Output) -> Version | None:
    """The version, None where there is no pveversion: that is an answer, not a fact that is missing."""
    return None if output.exit_status == NOT_INSTALLED else parse_pveversion(output)


def parse_hostname(output: Output) -> str:
    """Read `hostname`."""
    return _whole_line(output, "hostname", _HOST_NAME)


def parse_boot_id(output: Output) -> str:
    """Read `cat /proc/sys/kernel/random/boot_id`: a new one at every boot."""
    return _whole_line(output, "cat boot_id", _BOOT_ID)


def parse_uid(output: Output) -> int:
    """Read `id -u`; 0 is root."""
    return int(_whole_line(output, "id -u", re.compile(r"\d+")))


def parse_epoch(output: Output) -> float:
    """Read `date +%s.%N`: seconds since 1970-01-01 UTC."""
    return float(_whole_line(output, "date", re.compile(r"\d+\.\d+")))


def _whole_line(output: Output, command: str, pattern: re.Pattern[str]) -> str:
    text = stdout_of(output, command).strip()
    if not pattern.fullmatch(text):
        raise unread(command, text)
    return text


class HostsFile(Struct, frozen=True):
    """/etc/hosts: all addresses that stand beside each name, in the file's order."""

    names: dict[str, tuple[str, ...]]
    skipped: tuple[Skipped, ...] = ()


def parse_hosts_file(output: Output) -> HostsFile:
    """Read `cat /etc/hosts`, as glibc does: a line that does not begin with an address means nothing (leading zeros and
    a prefix length are none; nss/nss_files/files-hosts.c, inet_pton(3))."""
    names: dict[str, tuple[str, ...]] = {}
    skipped: list[Skipped] = []
    for number, line in enumerate(lines_of(stdout_of(output, "cat /etc/hosts")), start=1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        try:
            ipaddress.ip_address(fields[0].partition("%")[0])
        except ValueError:
            skipped.append(Skipped("/etc/hosts", number, "it does not begin with an address, and means nothing"))
            continue
        for name in fields[1:]:
            names[name] = (*names.get(name, ()), fields[0])
    return HostsFile(names, tuple(skipped))


def parse_sha256sums(output: Output) -> dict[str, str]:
    """Read `sha256sum` of named files; a file that does not exist has no entry (exit status 1)."""
    if not (output.exit_status == 1 and only_missing_files(output)):
        stdout_of(output, "sha256sum")
    sums: dict[str, str] = {}
    for line in lines_of(output.stdout):
        match = _SHA256.fullmatch(line)
        if match is None:
            raise unread("sha256sum", line)
        sums[match["path"]] = match["sum"]
    if output.exit_status == 0 and not sums:
        raise ParseError("sha256sum ended with exit status 0 but shows no checksum.")
    return sums


def parse_du(output: Output) -> dict[str, int]:
    """Read `du -sb` of absolute paths: bytes by path; what does not exist has no entry (exit status 1)."""
    if not (output.exit_status == 1 and only_missing_files(output)):
        stdout_of(output, "du")
    sizes: dict[str, int] = {}
    for line in lines_of(output.stdout):
        size, tab, path = line.partition("\t")
        if not tab or not size.isdecimal() or not path.startswith("/"):
            raise unread("du", line)
        sizes[path] = int(size)
    if output.exit_status == 0 and not sizes:
        raise ParseError("du ended with exit status 0 but shows no size.")
    return sizes


def parse_ls(output: Output) -> tuple[str, ...] | None:
    """Read `ls -A` of one directory; None if it does not exist (exit status 2)."""
    if output.exit_status == 2 and not output.stdout and only_missing_files(output):
        return None
    return tuple(lines_of(stdout_of(output, "ls")))


def parse_ls_dirs(output: Output) -> dict[str, tuple[str, ...] | None]:
    """Read `ls -A` of several directories (absolute paths); None stands for one that does not exist."""
    directories: dict[str, tuple[str, ...] | None] = {}
    for line in lines_of(output.stderr):
        missing = _LS_MISSING.fullmatch(line)
        if missing is None:
            raise unknown(output, "ls")
        directories[missing["directory"]] = None
    if output.exit_status != (2 if directories else 0):
        raise unknown(output, "ls")
    for block in output.stdout.strip("\n").split("\n\n"):
        first, *entries = block.split("\n")
        header = _LS_HEADER.fullmatch(first)
        if header is not None:
            directories[header["directory"]] = tuple(entries)
        elif block:
            raise unread("ls", first)
    if not directories:
        raise ParseError("ls ended without naming a directory.")
    return directories


def parse_file_lines(output: Output) -> tuple[str, ...]:
    """Read `cat FILE`: its lines without the empty ones; () if there is no such file."""
    text = file_text(output, "cat") or ""
    return tuple(line for line in lines_of(text) if line.strip())
