"""What state a storage is in, by commands that neither mount nor import nor log in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pve_runbook.facts.answers import NOT_INSTALLED, lines_of, stdout_of, unread
from pve_runbook.facts.jsontext import parse_object
from pve_runbook.facts.output import Output, ParseError

_SESSION = re.compile(r"\S+ \[\d+\] \S+ (?P<target>\S+)( \(.*\))?")
_NO_SESSION = 21
"""Exit status of iscsiadm: no objects were found (open-iscsi, iscsiadm(8))."""
_NO_DATASET = "dataset does not exist"


@dataclass(frozen=True, slots=True)
class Health:
    """What `ceph -s` says: HEALTH_OK, HEALTH_WARN or HEALTH_ERR, and the names of what it complains of."""

    status: str
    checks: tuple[str, ...]


def parse_vgs(output: Output) -> dict[str, str]:
    """Read `vgs --reportformat json -o vg_name,vg_attr`: attributes by volume group; none without LVM. The first
    letter is w (writable) or r, the fourth p where disks are missing (vgs(8))."""
    if output.exit_status == NOT_INSTALLED:
        return {}
    reports = parse_object(stdout_of(output, "vgs"), "vgs").objects("report")
    return {g.text("vg_name"): g.text("vg_attr") for report in reports for g in report.objects("vg")}


def parse_zfs_get(output: Output) -> Mapping[str, str] | None:
    """Read `zfs get -H -o property,value PROPERTIES DATASET`; None when there is no such dataset."""
    if output.exit_status == 1 and _NO_DATASET in output.stderr:
        return None
    found: dict[str, str] = {}
    for line in lines_of(stdout_of(output, "zfs get")):
        name, tab, value = line.partition("\t")
        if not tab:
            raise unread("zfs get", line)
        found[name] = value
    if not found:
        raise ParseError("zfs get ended with exit status 0 but shows no property.")
    return found


def parse_iscsi_sessions(output: Output) -> frozenset[str]:
    """Read `iscsiadm -m session`: the targets that this node is logged in to; none where iSCSI is not installed."""
    if output.exit_status in (NOT_INSTALLED, _NO_SESSION):
        return frozenset()
    targets = set()
    for line in lines_of(stdout_of(output, "iscsiadm")):
        match = _SESSION.fullmatch(line)
        if match is None:
            raise unread("iscsiadm", line)
        targets.add(match["target"])
    if not targets:
        raise ParseError("iscsiadm ended with exit status 0 but shows no session.")
    return frozenset(targets)


def parse_ceph_status(output: Output) -> Health:
    """Read `ceph -s -f json`. Raises ParseError where no monitor answers."""
    health = parse_object(stdout_of(output, "ceph -s"), "ceph -s").object("health")
    return Health(health.text("status"), tuple(sorted(health.object("checks").names())))
