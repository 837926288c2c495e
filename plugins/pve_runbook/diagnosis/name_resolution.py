"""Whether the nodes' names mean one thing everywhere: the answers of all nodes in, (nodes, evidence) out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pve_runbook.facts import network as network_facts
from pve_runbook.facts.node import NodeFacts
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact

Found = tuple[tuple[str, ...], str]


def ambiguous_names(everyone: Sequence[NodeFacts]) -> Iterator[Found]:
    """Names of nodes and of ring addresses that lead to loopback, have several addresses, or lead elsewhere on another
    node; and a name that is missing where it is needed: a node's own, and one that corosync.conf uses.

    A peer's name that leads nowhere is no finding: Proxmox writes no peers into /etc/hosts, and needs none there. A
    node that says nothing keeps nobody from finding what the others say. Raises UnknownFact if nothing was found.
    """
    said: dict[str, dict[str, tuple[str, ...]]] = {}
    needed: set[tuple[str, str]] = set()
    unknown: UnknownFact | None = None
    for facts in everyone:
        try:
            rings = _ring_names(facts)
            needed |= {(facts.node, name) for name in (facts.hostname, *rings)}
            for name in dict.fromkeys([e.name for e in network_facts.ring_conf(facts).nodes] + rings):
                said.setdefault(name, {})[facts.node] = network_facts.resolved(facts, name)
        except UnknownFact as error:
            unknown = unknown or error
    found = [f for name, by_node in said.items() for f in _judge(name, by_node, needed)]
    if unknown is not None and not found:
        raise unknown
    yield from found


def _ring_names(facts: NodeFacts) -> list[str]:
    entries = network_facts.ring_conf(facts).nodes
    return [a for e in entries for a in e.addrs.values() if not network_facts.is_address(a)]


def _judge(name: str, by_node: dict[str, tuple[str, ...]], needed: set[tuple[str, str]]) -> Iterator[Found]:
    """A name with one address of IPv4 and one of IPv6, the same everywhere, is no finding."""
    for node, addresses in by_node.items():
        inside = [a for a in addresses if network_facts.is_loopback(a)]
        versions = [network_facts.ip(a).version for a in addresses if a not in inside]
        if inside:
            yield (node,), f"{name} leads to {', '.join(inside)}, which is the node itself, whichever asks"
        elif not addresses and (node, name) in needed:
            yield (node,), f"{name} has no address"
        elif max(versions.count(4), versions.count(6)) > 1:
            yield (node,), f"{name} has several addresses: {', '.join(addresses)}"
    answers = {n: a for n, a in by_node.items() if a or (n, name) in needed}
    if len({frozenset(a) for a in answers.values()}) > 1:
        said = "; ".join(f"{', '.join(a) or 'nothing'} on {n}" for n, a in answers.items())
        yield tuple(answers), f"{name} is not the same everywhere: {said}"


def ring_by_name(everyone: Sequence[NodeFacts]) -> Iterator[Found]:
    """Ring addresses that are names: corosync looks them up when it starts, and never again (pve-docs pvecm.adoc)."""
    for facts in everyone:
        names = _ring_names(facts)
        if names:
            order = " ".join(facts.get(probes.NSSWITCH))
            yield (facts.node,), f"corosync.conf has names for ring addresses ({', '.join(names)}), found by: {order}"
