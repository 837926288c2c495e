"""What gates say where there is a way on: the operator takes it upon himself, by an option that the record names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from pve_runbook.work.nodefacts import NodeFacts
from pve_runbook.work.refusal import refusal

SHOWN = 10
"""Differences between databases that a refusal shows; the record has all."""


def not_absent(facts: NodeFacts, alive: Iterable[str]) -> str:
    """Members that --absent names, and that a node sees alive."""
    return refusal(
        facts.node,
        seen=f"{', '.join(alive)} is not absent: this node sees it",
        why="a member that is left out keeps voting, and its HA could take over the others' guests",
        do="Name it in --hosts, or power it off first",
    )


def shared_storage(in_words: Mapping[str, str]) -> str:
    """Guests of several nodes on one storage; storage → who owns what there."""
    return refusal(
        "cluster",
        seen="guests of more than one node lie on the same shared storage: "
        + "; ".join(f"{storage}: {owners}" for storage, owners in in_words.items()),
        why="after the split no lock crosses the nodes, and volumes are named by VMID alone: a node that creates or "
        "destroys a VMID can overwrite or delete the disk of another node's guest",
        do="Move the disks apart, or keep to this map (no VMID twice, `pvesm set STORAGE --nodes NODE`) and say so: "
        "--accept=shared-storage",
    )


def ceph(signs: Mapping[str, Iterable[str]]) -> str:
    """Ceph on the nodes themselves; what says so → on which nodes."""
    found = [f"{sign} on {', '.join(nodes)}" for sign, nodes in signs.items()]
    return refusal(
        "cluster",
        seen=f"Ceph runs on these nodes: {'; '.join(found)}",
        why="its monitors and OSDs have a quorum of their own and go on, but /etc/ceph/ceph.conf is a link into "
        "/etc/pve and the keyrings lie in /etc/pve/priv/ceph: while a node leaves, running daemons and guests go on "
        "and new starts fail; after that every node has a copy of its own",
        do="Type `ceph osd set noout`, reboot no two nodes at a time, see that `ceph -s` is healthy (often it shares "
        "the broken network), then say so: --accept=ceph",
    )


def diverged(versions: Mapping[str, int], newest: Collection[str], differences: Sequence[str]) -> str:
    """Databases with different contents; node → version of its database."""
    more = f"; and {len(differences) - SHOWN} more, see the record" if len(differences) > SHOWN else ""
    older = [f"--authority={node}@{version}" for node, version in versions.items() if node not in newest]
    return refusal(
        "cluster",
        seen=f"the databases of {', '.join(versions)} have diverged: {'; '.join(differences[:SHOWN])}{more}",
        why="they were changed where the others could not see it; every node keeps its own, and the authority's is the "
        "one that is given quorum",
        do=f"Name the authority: {' or '.join(f'--authority={node}' for node in newest)} (the newest)"
        + (f", or an older one by its version: {' or '.join(older)}" if older else ""),
    )
