"""What the nodes go on sharing after the split, although no lock crosses them any more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pve_runbook.facts.node import NodeFacts

Owners = dict[str, dict[str, list[int]]]
"""Storage id → node name → VMIDs with volumes there."""


def shared_by_guests(everyone: Iterable[NodeFacts], absent: Collection[str]) -> Owners:
    """The shared storages that hold volumes of guests of two or more nodes.

    A node's own database says which guests it owns; of the members in ``absent`` the others' databases say it.
    Raises UnknownFact.
    """
    found: dict[str, dict[str, set[int]]] = {}
    for facts in everyone:
        shared = {i for i, s in facts.storages.items() if s.is_shared}
        owners = {facts.hostname, *absent}
        for guest in facts.all_guests.values():
            for storage in {v.storage for v in guest.volumes if not v.is_iso} & shared if guest.node in owners else ():
                found.setdefault(storage, {}).setdefault(guest.node, set()).add(guest.vmid)
    return {
        storage: {node: sorted(vmids) for node, vmids in sorted(by_node.items())}
        for storage, by_node in sorted(found.items())
        if len(by_node) > 1
    }


def owners_in_words(by_node: Mapping[str, Iterable[int]]) -> str:
    """``pve2 (201, 203), pve3 (301)``."""
    return ", ".join(f"{node} ({', '.join(map(str, vmids))})" for node, vmids in by_node.items())


def signs_of_ceph(facts: NodeFacts) -> tuple[str, ...]:
    """What says that Ceph runs on the cluster's own nodes: its configuration in /etc/pve, which pveceph makes, or a
    storage without monhost, which is needed for a Ceph elsewhere only (pve-docs pvesm.adoc). Raises UnknownFact."""
    conf = ("/etc/pve/ceph.conf",) if "ceph.conf" in facts.tree.files else ()
    own = (s for s in facts.storages.values() if s.type in ("rbd", "cephfs") and not s.options.get("monhost"))
    return conf + tuple(f"storage {s.id} ({s.type}, without monhost)" for s in own)
