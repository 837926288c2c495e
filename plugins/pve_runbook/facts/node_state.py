"""Which of the known states between cluster member and standalone node a node is in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from pve_runbook.parsers.config_db import ConfigTree
from pve_runbook.parsers.output import ParseError
from pve_runbook.parsers.pmxcfs import Members, Mount, Process
from pve_runbook.parsers.pvecm import PvecmStatus

WRITABLE = 0o755
"""Mode of /etc/pve/local while pmxcfs takes writes."""
READ_ONLY = 0o555
"""Mode of /etc/pve/local while pmxcfs refuses writes: no quorum."""


class NodeState(StrEnum):
    """The states in which a run, or a person before it, may have left a node."""

    CLUSTERED_QUORATE = "clustered-quorate"
    CLUSTERED_NO_QUORUM = "clustered-no-quorum"
    COROSYNC_DOWN = "corosync-down"
    HALF_DISMANTLED = "half-dismantled"
    LOCAL_MODE = "local-mode"
    UNMOUNTED = "unmounted"
    STANDALONE = "standalone"
    STANDALONE_COROSYNC_RUNNING = "standalone-corosync-running"
    STANDALONE_LEFTOVERS = "standalone-leftovers"
    UNKNOWN = "unknown"

    @property
    def meaning(self) -> str:
        """The state in plain words."""
        return _MEANING[self]


_MEANING = {
    NodeState.CLUSTERED_QUORATE: "member of the cluster, with quorum; /etc/pve is writable",
    NodeState.CLUSTERED_NO_QUORUM: "member of the cluster, without quorum; /etc/pve is read-only",
    NodeState.COROSYNC_DOWN: "member of the cluster, but corosync does not run; /etc/pve is read-only",
    NodeState.HALF_DISMANTLED: (
        "half dismantled: the cluster's key is gone, but its configuration is still in the database;"
        " /etc/pve is read-only"
    ),
    NodeState.LOCAL_MODE: "inside the window: pmxcfs runs in local mode and ignores the cluster",
    NodeState.UNMOUNTED: "inside the window: pmxcfs does not run and /etc/pve is not mounted",
    NodeState.STANDALONE: "standalone, nothing of the cluster is left that could act",
    NodeState.STANDALONE_COROSYNC_RUNNING: "standalone, but corosync still runs",
    NodeState.STANDALONE_LEFTOVERS: "standalone, but files of the cluster are left that could act again",
    NodeState.UNKNOWN: "not known: what the node says does not fit together, or an answer is missing",
}


_COROSYNC_LEFTOVERS = {
    "/etc/corosync": re.compile(r"authkey|corosync\.conf"),
    "/var/lib/corosync": re.compile(r"ringid_.*"),
}


class StateEvidence(Struct, frozen=True):
    """What `classify` judges by. None always means that the fact is unknown, but for `mode` and `members`,
    where it also stands for a file that is not there.

    `corosync_running`: a corosync process lives, or its unit is not stopped. `conf_in_db`: config.db holds
    corosync.conf. `leftovers`: see `corosync_leftovers` and `ha_leftovers`.
    """

    mounts: tuple[Mount, ...] | None
    mode: int | None
    members: Members | None
    pvecm: PvecmStatus | None
    pmxcfs: tuple[Process, ...] | None
    corosync_running: bool | None
    authkey_present: bool | None
    conf_in_db: bool | None
    leftovers: tuple[str, ...] | None


def corosync_leftovers(directories: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...]:
    """Files of /etc/corosync and /var/lib/corosync with which corosync would find its cluster again.

    `directories` is what `ls -A` of the two said. Raises ParseError if one of them was not listed.
    """
    found: list[str] = []
    for directory, pattern in _COROSYNC_LEFTOVERS.items():
        if directory not in directories:
            raise ParseError(f"{directory} was not listed.")
        found += (f"{directory}/{name}" for name in directories[directory] or () if pattern.fullmatch(name))
    return tuple(found)


def ha_leftovers(tree: ConfigTree) -> tuple[str, ...]:
    """Files in the database with which a standalone node's HA would take over the other nodes' guests: it
    makes itself master and starts them after about four minutes (recorded on PVE 8.3). An empty file does
    nothing, and a manager that knows one node alone has nobody's guests to take over (HA for its restarts, on a host
    that never was in a cluster)."""
    if _manages_one_node(tree.text("ha/manager_status") or ""):
        return ()
    return tuple(path for path in ("ha/resources.cfg", "ha/manager_status") if tree.files.get(path, b"").strip())


def _manages_one_node(manager_status: str) -> bool:
    """Whether HA's manager knows one node, and all its services are there (pve-ha-manager, PVE/HA/Manager.pm)."""
    try:
        status = json.loads(manager_status)
        services = status.get("service_status", {}).values()
        nodes = {*status["node_status"], *(s["node"] for s in services)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return len(nodes) == 1


def classify(evidence: StateEvidence) -> NodeState:
    """The state that all the evidence agrees on; UNKNOWN where some is missing or contradicts the rest.

    No state rests on one probe: .members and the API look the same on a standalone and on a half-dismantled
    node, and `pvecm status` says "does not exist" wherever /etc/pve/corosync.conf cannot be seen (recorded on
    PVE 8.3).
    """
    if evidence.mounts is None or evidence.pmxcfs is None or evidence.pvecm is None:
        return NodeState.UNKNOWN
    if not evidence.mounts and not evidence.pmxcfs:
        return NodeState.UNMOUNTED if evidence.pvecm.kind == "no-pmxcfs" else NodeState.UNKNOWN
    if len(evidence.mounts) != 1 or not evidence.mounts[0].fstype.startswith("fuse") or len(evidence.pmxcfs) != 1:
        return NodeState.UNKNOWN
    if "-l" in evidence.pmxcfs[0].args.split():
        return NodeState.LOCAL_MODE if evidence.mode == WRITABLE else NodeState.UNKNOWN
    if evidence.pvecm.kind == "standalone":
        return _standalone(evidence)
    if evidence.conf_in_db is not True:
        return NodeState.UNKNOWN
    if evidence.pvecm.kind == "no-corosync":
        return _without_corosync(evidence)
    return _member(evidence, evidence.pvecm)


def _member(evidence: StateEvidence, pvecm: PvecmStatus) -> NodeState:
    if pvecm.quorum is None or evidence.corosync_running is not True:
        return NodeState.UNKNOWN
    if pvecm.quorum.quorate and evidence.mode == WRITABLE:
        return NodeState.CLUSTERED_QUORATE
    if not pvecm.quorum.quorate and evidence.mode == READ_ONLY:
        return NodeState.CLUSTERED_NO_QUORUM
    return NodeState.UNKNOWN


def _without_corosync(evidence: StateEvidence) -> NodeState:
    """Just after corosync stopped the mode may still be the writable one for a second: unknown until it
    agrees."""
    if evidence.mode != READ_ONLY or evidence.authkey_present is None or evidence.corosync_running is not False:
        return NodeState.UNKNOWN
    return NodeState.COROSYNC_DOWN if evidence.authkey_present else NodeState.HALF_DISMANTLED


def _standalone(evidence: StateEvidence) -> NodeState:
    """A pmxcfs that still shows a node list started as a member: its corosync.conf was deleted under it."""
    members = evidence.members
    if evidence.conf_in_db is not False or evidence.mode != WRITABLE or members is None or members.nodes is not None:
        return NodeState.UNKNOWN
    if evidence.corosync_running is None or evidence.leftovers is None:
        return NodeState.UNKNOWN
    if evidence.corosync_running:
        return NodeState.STANDALONE_COROSYNC_RUNNING
    return NodeState.STANDALONE_LEFTOVERS if evidence.leftovers else NodeState.STANDALONE
