"""What gates say of volumes that are not there, or not known to be: for both runs, one text for one finding."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

from pve_runbook.facts.node import NodeFacts
from pve_runbook.facts.volumes import State, VolumeTruth, lies_on
from pve_runbook.parsers.guests import FOLDERS
from pve_runbook.probes.answers import UnknownFact, known
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

ACCEPT = "--accept=volumes"
_WHY = "a guest whose disk is elsewhere or gone cannot be kept by this node"


def in_the_way(facts: NodeFacts, accept: Collection[str]) -> list[VolumeTruth]:
    """The missing volumes that a run does not go on without: of guests that run, and all that the operator has not
    accepted. Raises UnknownFact."""
    return [v for v in facts.volumes_missing if v.in_use or "volumes" not in accept]


def storages_in_the_way(facts: NodeFacts, accept: Collection[str]) -> dict[str, str]:
    """Storage → what is wrong with it, of those that the operator has not accepted; one that is read-only under a guest
    that runs cannot be. Raises UnknownFact."""
    if "volumes" not in accept:
        return facts.unusable_storages
    under_guests = {storage for storage in facts.read_only_storages() if facts.running_on(storage)}
    return {storage: why for storage, why in facts.unusable_storages.items() if storage in under_guests}


def elsewhere(facts: NodeFacts, everyone: Iterable[NodeFacts], missing: Iterable[VolumeTruth]) -> dict[str, str]:
    """Volume that this node does not have → the node that has it, by that one's own listing."""
    others = [f for f in everyone if f.node != facts.node]
    gone = [found for found in missing if found.state is State.GONE]
    return {str(v): o.node for v in gone for o in others if known(partial(_has, o, v))}


def _has(other: NodeFacts, found: VolumeTruth) -> bool:
    store = other.storages.get(found.volume.storage)
    return store is not None and lies_on(found.volume, store, other)


def in_words(found: VolumeTruth, where: Mapping[str, str]) -> str:
    """One volume, and what is known of it."""
    if str(found) in where:
        return f"{found} ({where[str(found)]} has it)"
    unknown = found.state is State.UNKNOWN
    return f"{found} (not known: {found.why})" if unknown else f"{found}{_because(found)}"


def _because(found: VolumeTruth) -> str:
    return "" if found.why == "not listed" else f" ({found.why})"


def refuse(facts: NodeFacts, everyone: Sequence[NodeFacts], missing: Sequence[VolumeTruth]) -> str:
    """Why a run does not go on: the volumes that are ``missing``, in three lines; "" where none is.

    Raises UnknownFact where all that is wrong is that nothing shows them.
    """
    if not missing:
        return ""
    where = elsewhere(facts, everyone, missing)
    gone = [v for v in missing if v.state is State.GONE]
    told = ", ".join(in_words(v, where) for v in (gone or missing))
    do = _do(missing, where)
    if not gone:
        raise UnknownFact(facts.node, f"whether volumes are there: {told}", do)
    more = len(missing) - len(gone)
    unknown = f"; and of {more} more it is not known" if more else ""
    return refusal(
        RefusalId.VOLUMES_ARE_MISSING, facts.node, seen=f"volumes are not there: {told}{unknown}", why=_WHY, do=do
    )


def _do(missing: Sequence[VolumeTruth], where: Mapping[str, str]) -> str:
    running = sorted({v.vmid for v in missing if v.in_use})
    if running:
        vmids = ", ".join(map(str, running))
        return (
            f"The process of {vmids} has it not open: find the disk. Or shut the guest down (`qm shutdown` and "
            f"`pct shutdown` need no quorum), then {ACCEPT}"
        )
    if where:
        there = ", ".join(sorted(set(where.values())))
        return (
            f"Its disk is on {there}: where there is quorum, move the config back to it (in /etc/pve/nodes); without, "
            f"{ACCEPT} leaves it as it is, to be moved on {there} when the nodes are standalone"
        )
    if not any(v.volume.storage for v in missing):
        return f"Correct the line where /etc/pve is writable. To go on with it as it is: {ACCEPT}"
    return f"Find the disk, or bring its storage back. To go on without it, its guest stays stopped: {ACCEPT}"


def told(facts: NodeFacts) -> str:
    """The volumes that are not there and that nothing is lost with, in words; "" where there are none."""
    return ", ".join(f"{v.volume.key} {v}{_because(v)}" for v in facts.volumes_told)


def left_without(facts: NodeFacts, everyone: Sequence[NodeFacts]) -> list[str]:
    """What the operator is told of the guests that cannot start on this node, once it is standalone."""
    missing = facts.volumes_missing
    where = elsewhere(facts, everyone, missing)
    found = []
    for v in missing:
        text = f"guest {v.vmid}: {in_words(v, where)}"
        if str(v) in where:
            folder = FOLDERS[facts.guests[v.vmid].kind]
            old, new = (f"/etc/pve/nodes/{n}/{folder}" for n in (facts.hostname, where[str(v)]))
            text += f"; there: mv {old}/{v.vmid}.conf {new}/, then remove it here"
        elif not v.volume.storage:
            text += ": correct it"
        else:
            text += ": it does not start until that is there"
        found.append(text)
    return found
