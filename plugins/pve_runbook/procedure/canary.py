"""A throw-away guest that proves that guests can be created, started and stopped on a standalone node."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from pve_runbook.actions import registry as actions
from pve_runbook.actions.action import Action
from pve_runbook.actions.errors import ForOperator
from pve_runbook.cluster.node import Node
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.output import ParseError
from pve_runbook.parsers.storage import Storage
from pve_runbook.probes import per_subject
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import with_id

FIRST_ID = 9000
_VOLUME_OF = re.compile(r"(?:vm|base|subvol)-(\d+)-|(?:^|/)(\d+)/")


class CanaryFailed(ForOperator):
    """The throw-away guest did not do what a guest must; real guests were not touched."""


def used_ids(everyone: Iterable[NodeFacts], accepted: Collection[str] = ()) -> set[int]:
    """Every VMID in any node's database, and every id that a volume on any storage bears.

    ``accepted``: the words of --accept. With "volumes" a storage that does not answer is passed over, and with "ceph"
    a pool: the guest has no disk, and `qm destroy` takes only what its config names (qemu-server from 7.0). Raises
    UnknownFact when a node's database or another storage is unknown: an id that may be in use is not free.
    """
    found: set[int] = set()
    for facts in everyone:
        found |= set(facts.all_guests)
        names = [lv for _, lv in facts.get(probes.LVS)]
        names += facts.get(probes.ZFS)
        for store in facts.storages.values():
            if store.path is not None or store.type == "rbd":
                names += _listed(facts, store, accepted)
        for name in names:
            found |= {int(a or b) for a, b in _VOLUME_OF.findall(name)}
    return found


def _listed(facts: NodeFacts, store: Storage, accepted: Collection[str]) -> frozenset[str]:
    try:
        return facts.listing(store)
    except UnknownFact as error:
        if "volumes" in accepted or (store.type == "rbd" and "ceph" in accepted):
            return frozenset()
        question = f"whether an id for the throw-away guest is free on {store.id}"
        raise UnknownFact(facts.node, question, f"{error.why}; --canary=off starts no such guest") from None


def free_ids(everyone: Collection[NodeFacts], accepted: Collection[str] = ()) -> dict[str, str]:
    """Node → an id of its own, the lowest from 9000 that are not in use anywhere; ``accepted`` as above. Raises
    UnknownFact."""
    used = used_ids(everyone, accepted)
    free = (str(i) for i in range(FIRST_ID, 1_000_000_000) if i not in used)
    return {facts.node: next(free) for facts in everyone}


def removal(vmid: int, runs: bool) -> list[Action]:
    """What removes a throw-away guest that a run left behind."""
    stop = [actions.CANARY_STOP.bind(vmid=str(vmid))] if runs else []
    return [*stop, actions.CANARY_DESTROY.bind(vmid=str(vmid))]


def flight(vmid: str, tag: str) -> list[Action]:
    """What creates, starts, stops and destroys the throw-away guest ``vmid``."""
    create = actions.CANARY_CREATE.bind(vmid=vmid, tag=tag)
    return [create, *(a.bind(vmid=vmid) for a in (actions.CANARY_START, actions.CANARY_STOP, actions.CANARY_DESTROY))]


def proofs(ids: Mapping[str, str]) -> dict[str, Callable[[Node], None]]:
    """Action → what has to hold of a node's throw-away guest once it was sent; ``ids``: node → its VMID.

    Each raises CanaryFailed, UnknownFact.
    """
    then = {actions.CANARY_START.name: "running", actions.CANARY_STOP.name: "stopped"}
    return {name: partial(_expect, ids=ids, status=status) for name, status in then.items()}


def _expect(node: Node, ids: Mapping[str, str], status: str) -> None:
    vmid = ids[node.name]
    try:
        said = node.ask_about(per_subject.GUEST_STATUS, vmid).strip()
    except ParseError as error:
        raise UnknownFact(node.name, f"qm status {vmid}", str(error)) from None
    if said != f"status: {status}":
        raise CanaryFailed(
            with_id(
                RefusalId.CANARY_FAILED,
                f"{node.name}: the throw-away guest {vmid} should be {status}, `qm status {vmid}` says: {said}.\n"
                f"Guests may not start and stop normally on this node; no real guest was touched.\n"
                f"Look at it with `qm status {vmid}`, remove it with `qm stop {vmid}; qm destroy {vmid}`",
            )
        )
