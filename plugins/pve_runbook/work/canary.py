"""A throw-away guest that proves that guests can be created, started and stopped on a standalone node."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pve_runbook.facts.output import ParseError
from pve_runbook.work import actions, families, probes
from pve_runbook.work.action import Action
from pve_runbook.work.node import Node
from pve_runbook.work.nodefacts import NodeFacts
from pve_runbook.work.readings import UnknownFact

FIRST_ID = 9000
_VOLUME_OF = re.compile(r"(?:vm|base|subvol)-(\d+)-|(?:^|/)(\d+)/")


class CanaryFailed(Exception):
    """The throw-away guest did not do what a guest must; real guests were not touched."""


def used_ids(everyone: Iterable[NodeFacts]) -> set[int]:
    """Every VMID in any node's database, and every id that a volume on any storage bears.

    Raises UnknownFact when a node's database or a storage is unknown: an id that may be in use is not free.
    """
    found: set[int] = set()
    for facts in everyone:
        found |= set(facts.all_guests)
        names = [lv for _, lv in facts.get(probes.LVS)]
        names += facts.get(probes.ZFS)
        for store in facts.storages.values():
            if store.path is not None:
                names += facts.family(families.STORAGE_FILES, store.path)
        for name in names:
            found |= {int(a or b) for a, b in _VOLUME_OF.findall(name)}
    return found


def free_id(everyone: Iterable[NodeFacts]) -> int:
    """The lowest id from 9000 that is not in use anywhere. Raises UnknownFact."""
    used = used_ids(everyone)
    return next(i for i in range(FIRST_ID, 1_000_000_000) if i not in used)


def removal(vmid: int, runs: bool) -> list[Action]:
    """What removes a throw-away guest that a run left behind."""
    stop = [actions.CANARY_STOP.bind(vmid=str(vmid))] if runs else []
    return [*stop, actions.CANARY_DESTROY.bind(vmid=str(vmid))]


def flight(vmid: str, tag: str) -> list[Action]:
    """What creates, starts, stops and destroys the throw-away guest ``vmid``."""
    create = actions.CANARY_CREATE.bind(vmid=vmid, tag=tag)
    return [create, *(a.bind(vmid=vmid) for a in (actions.CANARY_START, actions.CANARY_STOP, actions.CANARY_DESTROY))]


def remove(node: Node, vmid: int) -> None:
    """Stop and destroy a canary. Raises ActionFailed, OutcomeUnknown, UnknownFact."""
    for action in removal(vmid, vmid in node.facts.running):
        node.act(action)


def fly(node: Node, vmid: int, tag: str) -> None:
    """Create, start, stop and destroy the canary ``vmid`` on ``node``.

    Raises CanaryFailed, ActionFailed, OutcomeUnknown, UnknownFact.
    """
    then = {actions.CANARY_START.name: "running", actions.CANARY_STOP.name: "stopped"}
    for action in flight(str(vmid), tag):
        node.act(action)
        if action.name in then:
            _expect(node, vmid, then[action.name])


def _expect(node: Node, vmid: int, status: str) -> None:
    try:
        said = node.ask_about(families.GUEST_STATUS, str(vmid)).strip()
    except ParseError as error:
        raise UnknownFact(node.name, f"qm status {vmid}", str(error)) from None
    if said != f"status: {status}":
        raise CanaryFailed(
            f"{node.name}: the throw-away guest {vmid} should be {status}, `qm status {vmid}` says: {said}.\n"
            f"Guests may not start and stop normally on this node; no real guest was touched.\n"
            f"Look at it with `qm status {vmid}`, remove it with `qm stop {vmid}; qm destroy {vmid}`"
        )
