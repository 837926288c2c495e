"""What explains that a vote is missing or a link is lost: named causes, each with its evidence and how it is mended.

A cause is of one node (its key, its configuration, a service that failed, an address), of the votes, or of the network
(a filter, a card). What is wrong with the design (network.ROOT_CAUSES) is a risk, and no cause: nearly every small
cluster has corosync on the bridge that carries everything, and that alone explains nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from pve_runbook.diagnosis import membership, network
from pve_runbook.diagnosis.membership import Fault
from pve_runbook.diagnosis.situation import Situation, Way
from pve_runbook.diagnosis.stability import Findings, span
from pve_runbook.facts import network as network_facts
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.corosync_log import Sign, Symptom
from pve_runbook.probes.answers import UnknownFact

_Pasts = Mapping[str, Findings]


class Origin(StrEnum):
    """Where a cause lies."""

    NODE = "node"
    VOTES = "votes"
    NETWORK = "network"


class Named(Struct, frozen=True):
    """One cause. ``id`` names its kind, ``nodes`` are where it is; ``evidence`` and ``fix`` are clauses for people."""

    id: str
    origin: Origin
    nodes: tuple[str, ...]
    evidence: str
    fix: str


_FIX_FAULT = {
    Fault.AUTHKEY_LOST: "copy /etc/corosync/authkey (mode 0400) from a node that is in the cluster to {node}, then "
    "`systemctl restart corosync` on {node} alone; nothing else changes",
    Fault.CONFIG_OLDER: "copy /etc/corosync/corosync.conf from the node with the newest one to {node}, then `systemctl "
    "restart corosync` on {node} alone; the others go on meanwhile",
    Fault.CONFIG_UNREADABLE: "copy /etc/corosync/corosync.conf from a node whose corosync runs to {node}, then "
    "`systemctl restart corosync` on {node}; nothing else changes",
    Fault.VOTES_EDITED: "`pvecm expected` with the number of votes that are there, on {node}; then, for that holds "
    "only until corosync starts again, put the votes right in /etc/pve/corosync.conf (quorum_votes, expected_votes) "
    "and raise config_version; all members see each other already",
}
_FIX_CONFIG_OF_ALL = (
    "correct that line in /etc/corosync/corosync.conf, in the same way on {node}, then `systemctl restart corosync` "
    "there; once quorum is back, put it right in /etc/pve/corosync.conf too, with a raised config_version"
)
"""Where corosync runs on no node, there is no file to copy."""
_FIX_NETWORK = {
    network.Cause.FILTERED: "let corosync's UDP ports through on {node}: take the rule away, or accept the peers "
    "before it; no configuration of the cluster changes",
    network.Cause.SLOW_LINK: "raise token in the totem section of /etc/pve/corosync.conf to ten times that way at "
    "least, and config_version with it, while the cluster is quorate",
    network.Cause.DEAD_LINK: "fix the link of {node} (cable, card, switch port); corosync finds the others by itself",
}
_FIX_ADDRESS = (
    "give {node} the address that corosync.conf has for it again, then `systemctl restart corosync` there; or, if the "
    "new one is to stay, put it into /etc/pve/corosync.conf on a quorate node with a raised config_version, copy "
    "/etc/corosync/corosync.conf from there to {node}, then `systemctl restart corosync` on {node}, and on the others "
    "one by one if they still reject it"
)
_FIX_NAME = (
    "write {node}'s own name with its address into /etc/hosts there, then `systemctl start pve-cluster corosync` on "
    "{node}"
)
_FIX_DATABASE = (
    "its database cannot be opened: keep a copy of /var/lib/pve-cluster of {node}, put a quorate member's config.db in "
    "its place (`sqlite3 /var/lib/pve-cluster/config.db '.backup FILE'` there), then `systemctl start pve-cluster "
    "corosync` on {node}; the guests' configs are in the members' databases"
)
_FIX_CARD = (
    "the card of {node} hangs: `ethtool -K {device} tso off gso off` takes effect at once; then its driver, its "
    "firmware or another card"
)
_FIX_PMXCFS = (
    "see why on {node}: `journalctl -b -u pve-cluster` (its own name in /etc/hosts, a full disk, the database); fix "
    "that, then `systemctl start pve-cluster corosync` there"
)
_FIX_COROSYNC = "`systemctl start corosync` on {node}; if it ends again, `journalctl -b -u corosync` there says why"
_FIX_INTERFACE = "`systemctl restart corosync` on {node} once its names and addresses are right"


def named_causes(everyone: Sequence[NodeFacts], where: Situation, pasts: Mapping[str, Findings]) -> tuple[Named, ...]:
    """Every named cause that is there, those of one node first. ``pasts``: node name → what its journal shows.

    Raises UnknownFact where nothing is found because a fact is missing.
    """
    found: list[Named] = []
    unknown: UnknownFact | None = None
    for search in (_services, _faults, _addresses, _cards, _network):
        try:
            found += search(everyone, where, pasts)
        except UnknownFact as error:
            unknown = unknown or error
    if unknown is not None and not found:
        raise unknown
    keyless = {n for x in found if x.id in _KEEPS_COROSYNC_DOWN for n in x.nodes}
    return tuple(x for x in found if x.id != "corosync-down" or not keyless.issuperset(x.nodes))


_KEEPS_COROSYNC_DOWN = (Fault.AUTHKEY_LOST, Fault.CONFIG_OLDER, Fault.CONFIG_UNREADABLE)


def _services(everyone: Sequence[NodeFacts], where: Situation, pasts: _Pasts) -> Iterator[Named]:
    """A member whose pve-cluster or corosync does not run, though nobody takes it apart."""
    for out in where.out(Way.PMXCFS_DOWN):
        said = [s.what for s in _said(pasts, out.node, Sign.PMXCFS)]
        evidence = f"{out}; it said: {said[-1]}" if said else str(out)
        fix = next((fix for words, fix in _FIX_BY_WORDS.items() if said and words in said[-1]), _FIX_PMXCFS)
        yield Named("pve-cluster-down", Origin.NODE, (out.node,), evidence, fix.format(node=out.node))
    for out in where.out(Way.COROSYNC_DOWN):
        yield Named("corosync-down", Origin.NODE, (out.node,), str(out), _FIX_COROSYNC.format(node=out.node))


_FIX_BY_WORDS = {"Unable to resolve node name": _FIX_NAME, "unable to open database": _FIX_DATABASE}
"""By pmxcfs's own words (pve-cluster, src/pmxcfs/pmxcfs.c)."""


def _said(pasts: _Pasts, node: str, sign: Sign) -> list[Symptom]:
    return [s for s in pasts[node].symptoms if s.sign is sign] if node in pasts else []


def _faults(everyone: Sequence[NodeFacts], where: Situation, pasts: _Pasts) -> Iterator[Named]:
    """Key, configuration and votes; of one kind the first node is the one to begin with."""
    seen: dict[Fault, membership.Outsider] = {}
    for outsider in membership.outsiders(everyone):
        seen.setdefault(outsider.fault, outsider)
    for fault, outsider in seen.items():
        origin = Origin.VOTES if fault is Fault.VOTES_EDITED else Origin.NODE
        nodes = outsider.nodes
        fix, first = _FIX_FAULT[fault], nodes[0]
        if fault is Fault.CONFIG_UNREADABLE and not any(f.is_corosync_running for f in everyone):
            fix, first = _FIX_CONFIG_OF_ALL, ", ".join(nodes)
        yield Named(str(fault), origin, nodes, outsider.evidence, fix.format(node=first))


def _addresses(everyone: Sequence[NodeFacts], where: Situation, pasts: _Pasts) -> Iterator[Named]:
    """A member that is out, and that has not the address on its link that corosync.conf gives it."""
    away = {o.node for o in where.out(Way.APART, Way.COROSYNC_DOWN)}
    for facts in everyone:
        if facts.node not in away:
            continue
        gone = [a for a in network_facts.ring_addresses(facts).values() if not network_facts.devices_of(facts, a)]
        if gone:
            evidence = f"{facts.node}: its address in corosync.conf, {gone[0]}, is on no device"
            yield Named("address-changed", Origin.NODE, (facts.node,), evidence, _FIX_ADDRESS.format(node=facts.node))
            continue
        listening = network.bound_elsewhere(facts)
        if listening:
            fix = _FIX_INTERFACE.format(node=facts.node)
            yield Named("wrong-interface", Origin.NODE, (facts.node,), f"{facts.node}: {listening}", fix)


def _cards(everyone: Sequence[NodeFacts], where: Situation, pasts: _Pasts) -> Iterator[Named]:
    """A card below the cluster link that hangs by the kernel's own words: its carrier stays up."""
    for facts in everyone:
        hangs = _said(pasts, facts.node, Sign.CARD_HANGS)
        devices = network_facts.ring_devices(facts).values() if hangs else ()
        cards = {card.name for dev in devices for card in network_facts.below(facts, dev)}
        mine = [s for s in hangs if s.what in cards]
        if mine:
            device = mine[-1].what
            ago = span(pasts[facts.node].now - mine[-1].time)
            times = f"{len(mine)} times, the last {ago} ago"
            evidence = f"{facts.node}: {device}, which carries corosync, hangs, by the kernel's words, {times}"
            fix = _FIX_CARD.format(node=facts.node, device=device)
            yield Named("card-hangs", Origin.NETWORK, (facts.node,), evidence, fix)


def _network(everyone: Sequence[NodeFacts], where: Situation, pasts: _Pasts) -> Iterator[Named]:
    for cause, fix in _FIX_NETWORK.items():
        findings = network.find(cause, everyone)
        if findings:
            first = findings[0]
            evidence = f"{', '.join(first.nodes)}: {first.evidence}"
            yield Named(str(cause), Origin.NETWORK, first.nodes, evidence, fix.format(node=first.nodes[0]))
