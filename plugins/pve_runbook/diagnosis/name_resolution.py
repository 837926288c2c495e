"""Whether the nodes' names mean one thing everywhere: the answers of all nodes in, (nodes, evidence) out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pve_runbook.work import netfacts, probes
from pve_runbook.work.nodefacts import NodeFacts
from pve_runbook.work.readings import UnknownFact

Found = tuple[tuple[str, ...], str]


def ambiguous_names(everyone: Sequence[NodeFacts]) -> Iterator[Found]:
    """Names of nodes and of ring addresses that are unknown, lead to loopback, have several addresses, or lead
    elsewhere on another node.

    A node that says nothing keeps nobody from finding what the others say. Raises UnknownFact if nothing was found.
    """
    said: dict[str, dict[str, tuple[str, ...]]] = {}
    unknown: UnknownFact | None = None
    for facts in everyone:
        try:
            for name in _names(facts):
                said.setdefault(name, {})[facts.node] = netfacts.resolved(facts, name)
        except UnknownFact as error:
            unknown = unknown or error
    found = [f for name, by_node in said.items() for f in _judge(name, by_node)]
    if unknown is not None and not found:
        raise unknown
    yield from found


def _names(facts: NodeFacts) -> list[str]:
    entries = netfacts.ring_conf(facts).nodes
    rings = [a for e in entries for a in e.addrs.values() if not netfacts.is_address(a)]
    return list(dict.fromkeys([e.name for e in entries] + rings))


def _judge(name: str, by_node: dict[str, tuple[str, ...]]) -> Iterator[Found]:
    """A name with one address of IPv4 and one of IPv6, the same everywhere, is no finding."""
    for node, addresses in by_node.items():
        inside = [a for a in addresses if netfacts.is_loopback(a)]
        versions = [netfacts.ip(a).version for a in addresses if a not in inside]
        if inside:
            yield (node,), f"{name} leads to {', '.join(inside)}, which is the node itself, whichever asks"
        elif not addresses:
            yield (node,), f"{name} has no address"
        elif max(versions.count(4), versions.count(6)) > 1:
            yield (node,), f"{name} has several addresses: {', '.join(addresses)}"
    if len({frozenset(a) for a in by_node.values()}) > 1:
        said = "; ".join(f"{', '.join(a) or 'nothing'} on {n}" for n, a in by_node.items())
        yield tuple(by_node), f"{name} is not the same everywhere: {said}"


def ring_by_name(everyone: Sequence[NodeFacts]) -> Iterator[Found]:
    """Ring addresses that are names: corosync looks them up when it starts, and never again (pve-docs pvecm.adoc)."""
    for facts in everyone:
        names = [a for e in netfacts.ring_conf(facts).nodes for a in e.addrs.values() if not netfacts.is_address(a)]
        if names:
            order = " ".join(facts.get(probes.NSSWITCH))
            yield (facts.node,), f"corosync.conf has names for ring addresses ({', '.join(names)}), found by: {order}"
