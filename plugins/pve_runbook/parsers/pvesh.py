"""What the API says of cluster and guests: what the web UI shows, which proves nothing by itself; and whether that
answers."""

from __future__ import annotations

from sys import intern

from msgspec import Struct

from pve_runbook.parsers.json_objects import parse_objects
from pve_runbook.parsers.output import Output, ParseError, stdout_of, unknown

_ANSWERED = (0, 8)
_NETWORK_FAILURE = 4


class ApiCluster(Struct, frozen=True):
    """The cluster's entry of /cluster/status."""

    name: str
    nodes: int
    quorate: bool


class ApiNode(Struct, frozen=True):
    """One node's entry of /cluster/status; a node outside a cluster has the node id 0."""

    name: str
    nodeid: int
    online: bool
    local: bool
    ip: str | None


class ClusterStatus(Struct, frozen=True):
    """/cluster/status; `cluster` is None on a standalone node, and on a member whose pmxcfs never reached
    corosync."""

    cluster: ApiCluster | None
    nodes: dict[str, ApiNode]


class Resource(Struct, frozen=True):
    """One guest of /cluster/resources; another node's guests and those not yet counted have the status
    "unknown"."""

    vmid: int
    type: str
    node: str
    status: str
    name: str | None


def parse_cluster_status(output: Output) -> ClusterStatus:
    """Read `pvesh get /cluster/status --output-format json` (pve-manager API2/Cluster.pm; recorded on PVE
    8.3)."""
    what = "pvesh get /cluster/status"
    cluster: ApiCluster | None = None
    nodes: dict[str, ApiNode] = {}
    for entry in parse_objects(stdout_of(output, what), what):
        if entry.text("type") == "cluster" and cluster is None:
            cluster = ApiCluster(entry.text("name"), entry.number("nodes"), entry.flag("quorate"))
        elif entry.text("type") == "node":
            node = ApiNode(
                name=entry.text("name"),
                nodeid=entry.number("nodeid"),
                online=entry.flag("online"),
                local=entry.flag("local"),
                ip=entry.text_or_none("ip"),
            )
            nodes[node.name] = node
        else:
            raise ParseError(f"{what} has an entry of the type {entry.text('type')!r} that it should not have.")
    if not nodes:
        raise ParseError(f"{what} shows no node.")
    return ClusterStatus(cluster, nodes)


def parse_cluster_resources(output: Output) -> dict[int, Resource]:
    """Read the guests of `pvesh get /cluster/resources --output-format json`, by id, of all nodes."""
    what = "pvesh get /cluster/resources"
    guests: dict[int, Resource] = {}
    for entry in parse_objects(stdout_of(output, what), what):
        if entry.text("type") not in ("qemu", "lxc"):
            continue
        guest = Resource(
            vmid=entry.number("vmid"),
            type=intern(entry.text("type")),
            node=intern(entry.text("node")),
            status=intern(entry.text("status")),
            name=entry.text_or_none("name"),
        )
        if guest.vmid in guests:
            raise ParseError(f"{what} shows guest {guest.vmid} twice.")
        guests[guest.vmid] = guest
    return guests


def parse_wget(output: Output) -> bool:
    """True when the server answered, with an error of its own too; False when nothing listens.

    Exit statuses: wget(1). Raises ParseError for every other one.
    """
    if output.exit_status in _ANSWERED:
        return True
    if output.exit_status == _NETWORK_FAILURE:
        return False
    raise unknown(output, "wget")
