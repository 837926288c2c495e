"""What `pvecm status` says about membership and quorum."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from pve_runbook.parsers.output import TIMED_OUT, Output, ParseError, lines_of, pmxcfs_is_silent, unknown, unread

Kind = Literal["member", "standalone", "no-corosync", "no-pmxcfs"]

_STANDALONE = "Corosync config '/etc/pve/corosync.conf' does not exist - is this node part of a cluster?"
_NO_COROSYNC = re.compile(r"Cannot initialize (CMAP|QUORUM|CFG) service")
_FIELD = re.compile(r"(?P<key>[A-Z][A-Za-z ]*):\s*(?P<value>.*?)\s*")
_QUORUM = re.compile(r"(?P<votes>\d+)\s*(?P<blocked>Activity blocked)?")
_MEMBER = re.compile(
    r"\s*(?P<id>0x[0-9a-f]+|\d+)\s+(?P<votes>\d+)\s+(?:(?P<qdevice>\w+,\w+,\w+|NR)\s+)?"
    r"(?P<name>\S+)(?P<local>\s+\(local\))?\s*"
)
_WANTED = (
    "Nodes",
    "Ring ID",
    "Quorate",
    "Expected votes",
    "Highest expected",
    "Total votes",
    "Quorum",
    "Flags",
)
_QDEVICE = re.compile(r"\s*(?:0x0+|0)\s+(?P<votes>\d+)\s+Qdevice(?:\s+\(votes \d+\))?\s*")


class Member(Struct, frozen=True):
    """One node that is visible in the partition; `qdevice` is its Qdevice cell ("A,V,NMW", "NR") if there is
    one."""

    nodeid: int
    votes: int
    name: str
    local: bool
    qdevice: str | None


class Quorum(Struct, frozen=True):
    """The vote as corosync counts it now. `qdevice_votes` is None where no quorum device is shown."""

    quorate: bool
    expected: int
    highest_expected: int
    total: int
    quorum: int
    blocked: bool
    flags: tuple[str, ...]
    members: tuple[Member, ...]
    ring_id: str
    qdevice_votes: int | None

    def __str__(self) -> str:
        """One clause for people."""
        return f"{'quorate' if self.quorate else 'not quorate'}, {self.total} votes, {self.quorum} needed"


class PvecmStatus(Struct, frozen=True):
    """member: corosync answered; standalone: no corosync.conf in /etc/pve; no-corosync: a cluster's
    configuration, but corosync does not answer; no-pmxcfs: pmxcfs does not answer. `quorum` is set for a
    member only."""

    kind: Kind
    cluster_name: str | None
    config_version: int | None
    quorum: Quorum | None


def parse_pvecm_status(output: Output) -> PvecmStatus:
    """Read `pvecm status`; the text decides, and the exit status must agree with it.

    Source: pve-cluster CLI/pvecm.pm, corosync tools/corosync-quorumtool.c, recorded on PVE 8.3: 0 quorate,
    2 not quorate or standalone, 1 corosync down, 111 or 255 pmxcfs down. Raises ParseError on anything else.
    """
    if output.exit_status in TIMED_OUT:
        raise unknown(output, "pvecm status")
    failed = output.exit_status != 0
    shows_quorum = "Quorum information" in output.stdout
    if failed and not shows_quorum:
        if pmxcfs_is_silent(output):
            return PvecmStatus("no-pmxcfs", None, None, None)
        if _STANDALONE in output.stderr:
            return PvecmStatus("standalone", None, None, None)
        if _NO_COROSYNC.search(output.stderr):
            name, version = _header(_fields(output.stdout))
            return PvecmStatus("no-corosync", name, version, None)
    if not shows_quorum or output.exit_status not in (0, 2) or _STANDALONE in output.stderr:
        raise unknown(output, "pvecm status")
    fields = _fields(output.stdout)
    name, version = _header(fields)
    quorum = _quorum(fields, output.stdout)
    if quorum.quorate is failed:
        raise ParseError(
            f"pvecm status says Quorate: {fields['Quorate']} but ended with exit status {output.exit_status}."
        )
    return PvecmStatus("member", name, version, quorum)


def _fields(text: str) -> dict[str, str]:
    head = text.partition("Membership information")[0]
    found = (_FIELD.fullmatch(line) for line in lines_of(head))
    return {match["key"]: match["value"] for match in found if match}


def _header(fields: dict[str, str]) -> tuple[str | None, int | None]:
    """Name and configuration version; pvecm prints no header where it cannot read corosync.conf's totem
    section."""
    version = fields.get("Config Version")
    return fields.get("Name"), None if version is None else _whole(version, "Config Version")


def _whole(value: str, name: str) -> int:
    if not value.isdecimal():
        raise unread("pvecm status", f"{name}: {value}")
    return int(value)


def _quorum(fields: dict[str, str], text: str) -> Quorum:
    missing = [name for name in _WANTED if name not in fields]
    if missing:
        raise ParseError(f"pvecm status does not show: {', '.join(missing)}.")
    quorum = _QUORUM.fullmatch(fields["Quorum"])
    if quorum is None or fields["Quorate"] not in ("Yes", "No"):
        raise unread("pvecm status", f"Quorate: {fields['Quorate']}, Quorum: {fields['Quorum']}")
    members, qdevice_votes = _membership(text)
    nodes = _whole(fields["Nodes"], "Nodes")
    if len(members) != nodes:
        raise ParseError(f"pvecm status says {nodes} nodes but lists {len(members)}.")
    return Quorum(
        quorate=fields["Quorate"] == "Yes",
        expected=_whole(fields["Expected votes"], "Expected votes"),
        highest_expected=_whole(fields["Highest expected"], "Highest expected"),
        total=_whole(fields["Total votes"], "Total votes"),
        quorum=int(quorum["votes"]),
        blocked=quorum["blocked"] is not None,
        flags=tuple(fields["Flags"].split()),
        members=members,
        ring_id=fields["Ring ID"],
        qdevice_votes=qdevice_votes,
    )


def _membership(text: str) -> tuple[tuple[Member, ...], int | None]:
    lines = [line for line in lines_of(text.partition("Membership information")[2]) if line.strip()]
    if len(lines) < 3 or lines[1].split()[:2] != ["Nodeid", "Votes"]:
        raise ParseError("pvecm status lists no members.")
    members: list[Member] = []
    qdevice_votes: int | None = None
    for line in lines[2:]:
        if device := _QDEVICE.fullmatch(line):
            qdevice_votes = int(device["votes"])
        elif member := _MEMBER.fullmatch(line):
            local = member["local"] is not None
            members.append(Member(int(member["id"], 0), int(member["votes"]), member["name"], local, member["qdevice"]))
        else:
            raise unread("pvecm status", line)
    return tuple(members), qdevice_votes
