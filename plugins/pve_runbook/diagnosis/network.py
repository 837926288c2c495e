"""What is wrong with the network under the cluster: the facts of all nodes in, findings out.

The article's five root causes come first ("Why Not Just Fix Quorum?"); the others are mended in place or only said.
Nothing is found by default, and nothing is fine by default: a fact that is missing is an UnknownFact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from pve_runbook.diagnosis.name_resolution import ambiguous_names, ring_by_name
from pve_runbook.facts import network as network_facts
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers import iptables, nftables
from pve_runbook.parsers.iproute import Link
from pve_runbook.parsers.iptables import Fate, Filter, Outcome, Packet
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact

COROSYNC_PORT = 5405
"""UDP port of link 0; link N has the N-th after it (corosync.conf(5), mcastport)."""

SLOW = 10
"""A round trip may take this part of the token timeout: the token passes every node, and is sent again four times
before it counts as lost (token_retransmits_before_loss_const)."""

ERROR_SHARE = 10_000
"""One bad packet in so many is a cable, a card or a duplex mismatch; below it, a replugged cable."""


UNEVEN_BONDS = ("balance-rr", "balance-xor", "balance-tlb", "balance-alb")
"""Modes by which packets between two nodes may come and go over different cards (pve-docs, pvecm.adoc: Corosync Over
Bonds)."""


class Cause(StrEnum):
    """What can be wrong; the value is its id."""

    SHARED_LINK = "shared-link"
    SEVERAL_GATEWAYS = "several-gateways"
    ROUTED = "routed"
    AMBIGUOUS_NAMES = "ambiguous-names"
    UNEXPECTED_INTERFACE = "unexpected-interface"
    MTU = "mtu-mismatch"
    DEAD_LINK = "dead-link"
    FILTERED = "filtered-udp"
    SLOW_LINK = "token-too-short"
    SINGLE_LINK = "single-link"
    SPARE_GATEWAY = "spare-gateway"
    RING_BY_NAME = "ring-by-name"
    CARD_ERRORS = "card-errors"
    BOND_MODE = "bond-mode"


ROOT_CAUSES = (
    Cause.SHARED_LINK,
    Cause.SEVERAL_GATEWAYS,
    Cause.ROUTED,
    Cause.AMBIGUOUS_NAMES,
    Cause.UNEXPECTED_INTERFACE,
)
"""The article's: with one of them the cluster is dismantled, not repaired."""

WARNINGS = (Cause.SINGLE_LINK, Cause.SPARE_GATEWAY, Cause.RING_BY_NAME, Cause.CARD_ERRORS, Cause.BOND_MODE)
"""Worth saying; none of them explains a lost quorum by itself."""


class Finding(Struct, frozen=True):
    """One thing that is wrong; `evidence` is a clause for people that says what was seen, `nodes` where."""

    cause: Cause
    nodes: tuple[str, ...]
    evidence: str

    @property
    def is_root_cause(self) -> bool:
        """Whether it is one of the article's five."""
        return self.cause in ROOT_CAUSES

    @property
    def is_warning(self) -> bool:
        """Whether it only wants to be known."""
        return self.cause in WARNINGS


def in_words(findings: Iterable[Finding]) -> tuple[str, ...]:
    """``NODES: EVIDENCE`` each."""
    return said_once((f.nodes, f.evidence) for f in findings)


def find(cause: Cause, everyone: Sequence[NodeFacts]) -> tuple[Finding, ...]:
    """Every finding of one cause.

    Raises UnknownFact when a fact is missing and nothing is found without it: a finding on one node counts although
    another node is silent.
    """
    judge = _ALONE.get(cause)
    if judge is None:
        return tuple(Finding(cause, nodes, text) for nodes, text in _TOGETHER[cause](everyone))
    found: list[Finding] = []
    unknown: UnknownFact | None = None
    for facts in everyone:
        try:
            for text in judge(facts):
                found.append(Finding(cause, (facts.node,), text))
        except UnknownFact as error:
            unknown = unknown or error
    if unknown is not None and not found:
        raise unknown
    return tuple(found)


def _shared(facts: NodeFacts) -> Iterator[str]:
    """A cluster link that carries something else; no finding where another link of the node is corosync's alone."""
    company = {number: (dev, _company(facts, dev)) for number, dev in network_facts.ring_devices(facts).items()}
    if all(with_ for _, with_ in company.values()):
        for number, (dev, with_) in company.items():
            yield f"link {number} of corosync is {dev}, which it shares with {', '.join(with_)}"


def _company(facts: NodeFacts, dev: str) -> list[str]:
    """What else goes over the segment of a device. A VLAN of its own on a shared card is a segment of its own."""
    networks = network_facts.networks_of(facts, dev)
    found = []
    guests = network_facts.guests_beside(facts, dev)
    if guests:
        found.append(f"guests ({', '.join(map(str, guests))})")
    defaults = [r for family in (4, 6) for r in network_facts.gateways(facts, family) if r.dev == dev]
    if defaults:
        found.append(f"the default route ({defaults[0].gateway})")
    if dev in {d for a in facts.own_addresses for d in network_facts.devices_of(facts, a)}:
        found.append("the node's own name (web UI, SSH, migrations)")
    if any(m.version == n.version and m.overlaps(n) for m in network_facts.migration_networks(facts) for n in networks):
        found.append("migrations (datacenter.cfg)")
    try:
        for server, storage in network_facts.storage_servers(facts).items():
            if any(_within(a, networks) for a in network_facts.resolved(facts, server)):
                found.append(f"storage {storage} ({server})")
    except UnknownFact:
        if not found:  # what is there already is company enough
            raise
    return found


def _within(address: str, networks: Sequence[network_facts.Network]) -> bool:
    return any(network_facts.ip(address) in network for network in networks)


def _gateways(facts: NodeFacts) -> Iterator[str]:
    """Default routes of which none comes first, and gateways in the files that compete for the one default route."""
    for family in (4, 6):
        routes = network_facts.gateways(facts, family)
        metrics = [r.metric for r in routes]
        ways = {(r.gateway, r.dev) for r in routes if metrics.count(r.metric) > 1}
        if len({dev for _, dev in ways} if family == 6 else ways) > 1:  # two routers may well announce themselves
            yield f"{len(ways)} default routes of the same rank: {_ways(ways)}"
            return
    lines = [g for g in facts.get(probes.GATEWAY_LINES) if g.family == "inet"]
    rivals = [g for g in lines if [x.metric for x in lines].count(g.metric) > 1]
    if len({(g.iface, g.address) for g in rivals}) > 1:
        named = ", ".join(f"{g.address} for {g.iface} in {g.file}" for g in rivals)
        yield f"{len(rivals)} gateways in its network files, and the last one to come up wins: {named}"


def _spare_gateways(facts: NodeFacts) -> Iterator[str]:
    routes = network_facts.gateways(facts, 4)
    if len(routes) > 1 and len({r.metric for r in routes}) == len(routes):
        yield f"{len(routes)} default routes, told apart by their metric: {_ways({(r.gateway, r.dev) for r in routes})}"


def _ways(ways: set[tuple[str | None, str | None]]) -> str:
    return ", ".join(sorted(f"{gateway} over {dev}" for gateway, dev in ways))


def _routed(facts: NodeFacts) -> Iterator[str]:
    """Addresses of peers that are not in the same network. Behind a router a spare link may be; and a neighbour in a
    routed fabric is no router."""
    own = network_facts.ring_addresses(facts)
    for peer, addresses in network_facts.peer_addresses(facts).items():
        for number, address in addresses.items():
            routes = network_facts.routes_to(facts, address)
            if not routes:
                yield f"there is no way to {peer}'s address {address} (link {number})"
                continue
            gateway = routes[0].gateway
            if gateway is not None and not network_facts.is_fabric(facts, address, gateway):
                if number == min(addresses):
                    yield f"{peer}'s address {address} (link {number}) is reached through the router {gateway}"
            elif number in own and routes[0].prefsrc not in (None, own[number]):
                yield (
                    f"packets to {peer}'s address {address} (link {number}) leave as {routes[0].prefsrc} over "
                    f"{routes[0].dev}, not as {own[number]}"
                )


def _interfaces(facts: NodeFacts) -> Iterator[str]:
    """Ring addresses that are not on exactly one device, and sockets of corosync that are bound elsewhere."""
    own = network_facts.ring_addresses(facts)
    for number, address in own.items():
        devices = network_facts.devices_of(facts, address)
        if len(devices) != 1:
            where = f"on {', '.join(devices)}" if devices else "on no device"
            yield f"its address for link {number}, {address}, is {where}"
    listening = bound_elsewhere(facts)
    if listening:
        yield listening


def bound_elsewhere(facts: NodeFacts) -> str:
    """On which other address corosync listens than corosync.conf gives it, in words, or "". Raises UnknownFact."""
    if not facts.is_corosync_running:
        return ""
    own = network_facts.ring_addresses(facts)
    bound = {x.address.partition("%")[0] for x in facts.get(probes.UDP) if x.process == "corosync"}
    if not bound:
        raise UnknownFact(facts.node, "ss -H -ulnp", "corosync runs, and no socket of it is shown")
    if bound == set(own.values()):
        return ""
    wanted = ", ".join(own[n] for n in sorted(own))
    return f"corosync listens on {', '.join(sorted(bound))}, its address in corosync.conf is {wanted}"


def _dead_links(facts: NodeFacts) -> Iterator[str]:
    """A card without carrier; else a link that corosync cannot use while another link to the same node works, or
    while it can use that link to another node."""
    down = set()
    for number, dev in network_facts.ring_devices(facts).items():
        cards = network_facts.cards(facts, dev)
        if network_facts.links(facts)[dev].is_down or (cards and all(card.is_down for card in cards)):
            down.add(number)
            yield f"{_named(cards)}, which carries link {number} of corosync, is down"
    own = network_facts.own_entry(facts).nodeid
    names = {n.nodeid: n.name for n in network_facts.ring_conf(facts).nodes if n.nodeid != own}
    peers = [x for x in network_facts.link_counters(facts) or () if x.nodeid in names]
    reached = {x.nodeid for x in peers if x.connected}
    for link in peers:
        if not link.connected and link.nodeid in reached and link.link not in down:
            yield f"link {link.link} to {names[link.nodeid]} is disconnected, another link to it works"


def _named(cards: Sequence[Link]) -> str:
    return ", ".join(card.name for card in cards)


def _filtered(facts: NodeFacts) -> Iterator[str]:
    """A rule of the packet filter that is sure to drop what a peer's corosync sends."""
    own, devices = network_facts.ring_addresses(facts), network_facts.ring_devices(facts)
    doubt = ""
    for peer, addresses in network_facts.peer_addresses(facts).items():
        for number in sorted(own.keys() & addresses.keys() & devices.keys()):
            packet = Packet(addresses[number], own[number], devices[number], COROSYNC_PORT + number)
            for said in _fates(facts, packet):
                if said.fate is Fate.DROPPED:
                    what = f"the rule `{said.rule}`" if said.rule else "the policy of INPUT"
                    yield f"{what} drops what {peer} ({packet.source}) sends to UDP port {packet.port}"
                    break
                if said.fate is Fate.MAYBE:
                    doubt = f"whether `{said.rule}` holds for UDP port {packet.port} cannot be read from its text"
            if network_facts.ip(packet.destination).version == 6 and not _shows_ip6(facts):
                doubt = doubt or "iptables-save shows no rules for IPv6"
    if doubt:
        raise UnknownFact(facts.node, "what the packet filter lets through", doubt)


def _fates(facts: NodeFacts, packet: Packet) -> Iterator[Outcome]:
    """What becomes of a peer's packet by the rules of iptables, which are of IPv4, and by those of nftables."""
    rules = facts.get(probes.PACKET_FILTER) or Filter({}, {})
    ruleset = facts.get(probes.NFT_RULESET)
    if network_facts.ip(packet.destination).version == 4:
        yield iptables.outcome(rules, packet)
    if ruleset is not None:
        port = network_facts.port_below(facts, packet.dev) if ruleset.has_chains("bridge") else ""
        yield nftables.outcome(ruleset, packet, port=port, beside_iptables=bool(rules.chains))


def _shows_ip6(facts: NodeFacts) -> bool:
    """Whether nft shows ip6tables' rules too: not where iptables' own are nowhere in it (iptables-legacy)."""
    rules, ruleset = facts.get(probes.PACKET_FILTER), facts.get(probes.NFT_RULESET)
    if ruleset is None:
        return False
    return rules is None or not rules.chains or ruleset.has_chains("ip", "filter")


def _slow(facts: NodeFacts) -> Iterator[str]:
    links = network_facts.link_counters(facts)
    if not links:
        return
    conf = network_facts.ring_conf(facts)
    names = {n.nodeid: n.name for n in conf.nodes}
    token = conf.token
    for link in links:
        if link.latency_ave * SLOW > token * 1000:
            yield (
                f"link {link.link} to {names.get(link.nodeid, link.nodeid)} takes {link.latency_ave / 1000:.0f} ms on "
                f"average, the token is given up after {token} ms"
            )


def _single(facts: NodeFacts) -> Iterator[str]:
    if len(network_facts.own_entry(facts).addrs) == 1:
        yield "corosync has one link only: whatever fails in it cuts the node off"


def _card_errors(facts: NodeFacts) -> Iterator[str]:
    for number, dev in network_facts.ring_devices(facts).items():
        for card in network_facts.cards(facts, dev):
            if card.packets is None or card.errors is None:
                raise UnknownFact(facts.node, f"how well {card.name} carries", "ip shows no counters of it")
            if card.errors * ERROR_SHARE > card.packets:
                yield f"{card.errors} of {card.packets} packets on {card.name} (link {number}) were bad"


def _bonds(facts: NodeFacts) -> Iterator[str]:
    for number, dev in network_facts.ring_devices(facts).items():
        for bond in network_facts.below(facts, dev):
            if bond.bond_mode in UNEVEN_BONDS:
                yield (
                    f"{bond.name}, which carries link {number} of corosync, is a bond of mode {bond.bond_mode}, which "
                    "kronosnet is advised against: active-backup is safe, and 802.3ad where the switch has LACP"
                )


def _mtu(everyone: Sequence[NodeFacts]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Ring devices whose MTU differs between nodes, or is larger than that of what carries them."""
    sizes: dict[int, dict[str, int]] = {}
    for facts in everyone:
        every = network_facts.links(facts)
        for number, dev in network_facts.ring_devices(facts).items():
            sizes.setdefault(number, {})[facts.node] = every[dev].mtu
            small = [x for x in network_facts.below(facts, dev) if x.mtu < every[dev].mtu]
            if small:
                yield (
                    (facts.node,),
                    f"{dev} (link {number}) has MTU {every[dev].mtu}, {small[0].name} below it {small[0].mtu}",
                )
    for number, by_node in sizes.items():
        if len(set(by_node.values())) > 1:
            said = ", ".join(f"{mtu} on {node}" for node, mtu in by_node.items())
            yield tuple(by_node), f"the MTU of link {number} differs: {said}"


_Judge = Callable[[NodeFacts], Iterator[str]]
_ALONE: Mapping[Cause, _Judge] = {
    Cause.SHARED_LINK: _shared,
    Cause.SEVERAL_GATEWAYS: _gateways,
    Cause.ROUTED: _routed,
    Cause.UNEXPECTED_INTERFACE: _interfaces,
    Cause.DEAD_LINK: _dead_links,
    Cause.FILTERED: _filtered,
    Cause.SLOW_LINK: _slow,
    Cause.SINGLE_LINK: _single,
    Cause.SPARE_GATEWAY: _spare_gateways,
    Cause.CARD_ERRORS: _card_errors,
    Cause.BOND_MODE: _bonds,
}
"""Judged on each node by itself."""

_TOGETHER: Mapping[Cause, Callable[[Sequence[NodeFacts]], Iterator[tuple[tuple[str, ...], str]]]] = {
    Cause.AMBIGUOUS_NAMES: ambiguous_names,
    Cause.RING_BY_NAME: ring_by_name,
    Cause.MTU: _mtu,
}
"""Judged by comparing the nodes."""


def said_once(seen: Iterable[tuple[Iterable[str], str]]) -> tuple[str, ...]:
    """What was seen on several nodes, in words: ``NODES: WHAT`` of pairs (nodes, what was seen there); what is alike
    stands once."""
    where: dict[str, list[str]] = {}
    for nodes, what in seen:
        where.setdefault(what, []).extend(nodes)
    return tuple(f"{', '.join(nodes)}: {what}" for what, nodes in where.items())
