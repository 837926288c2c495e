"""How one node is wired for its cluster: functions over its facts. Each raises UnknownFact when what it is made of
is unknown."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.corosync_conf import ConfNode, CorosyncConf
from pve_runbook.parsers.corosync_stats import LinkCounters
from pve_runbook.parsers.guests import FOLDERS
from pve_runbook.parsers.iproute import Address, Link, Route, default_routes, route_of
from pve_runbook.probes import per_subject
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact, known

_GUEST_PORT = re.compile(r"(?:tap|veth|fwpr|fwln)(?P<vmid>\d+)(?:[ip]\d+)?")
"""Ports that PVE makes for a guest: tapVMIDiN, vethVMIDiN, with the firewall fwprVMIDpN and fwlnVMIDiN
(pve-common Network.pm)."""

_SERVER_OPTIONS = ("server", "portal", "monhost", "monhosts")
_MESSENGER = re.compile(r"^\[?v[12]:")
_NONCE = re.compile(r"/\d+\]?$")
_ROUTING_PROTOCOLS = ("openfabric", "ospf", "bgp", "isis", "babel", "rip", "eigrp")
"""As /etc/iproute2/rt_protos and FRR's own names for it (rt_protos.d/frr.conf)."""
_TAGGED = re.compile(r"(?m)^net\d+:\s*(?P<value>.*)$")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_guest_port(name: str) -> bool:
    """Whether PVE made the device for a guest: a port as above, or the bridge of its firewall (fwbrVMIDiN)."""
    return guest_of_port(name) is not None


def guest_of_port(name: str) -> int | None:
    """The VMID of the guest that the device was made for; None where it is no guest's."""
    match = _GUEST_PORT.fullmatch(name.replace("fwbr", "fwln", 1))
    return int(match["vmid"]) if match is not None else None


@lru_cache(4096)
def ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address, to be compared whatever way it was written."""
    return ipaddress.ip_address(text)


@lru_cache(4096)
def is_address(text: str) -> bool:
    """Whether the text is an IP address, not a name."""
    try:
        ip(text)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Whether packets to the address never leave the node."""
    return ip(address).is_loopback


def ring_conf(facts: NodeFacts) -> CorosyncConf:
    """The corosync.conf that corosync itself reads here, else the database's. Raises UnknownFact without one."""
    conf = facts.get(probes.ETC_COROSYNC_CONF) or facts.corosync_conf
    if conf is None:
        raise UnknownFact(facts.node, "corosync.conf", "there is none on this node")
    return conf


def own_entry(facts: NodeFacts) -> ConfNode:
    """This node in the nodelist: by its name; a renamed one by its vote, else by an address that it has."""
    entries = ring_conf(facts).nodes
    named = next((e for e in entries if e.name == facts.hostname), None)
    found = named or _own_by_vote(facts) or _own_by_address(facts)
    if found is None:
        raise UnknownFact(facts.node, "corosync.conf", f"its nodelist has no {facts.hostname}")
    return found


def _own_by_vote(facts: NodeFacts) -> ConfNode | None:
    quorum = facts.quorum
    own = {m.nodeid for m in quorum.members if m.local} if quorum is not None else set[int]()
    return next((e for e in ring_conf(facts).nodes if e.nodeid in own), None)


def _own_by_address(facts: NodeFacts) -> ConfNode | None:
    mine = {ip(a.address) for a in addresses_of(facts)}
    return next(
        (e for e in ring_conf(facts).nodes if any(is_address(a) and ip(a) in mine for a in e.addrs.values())), None
    )


def names_to_resolve(facts: NodeFacts) -> list[str]:
    """Names that stand where addresses could: ring addresses in corosync.conf, servers of storages."""
    conf = known(lambda: ring_conf(facts))
    found = [a for entry in conf.nodes for a in entry.addrs.values()] if conf is not None else []
    for server in known(lambda: storage_servers(facts)) or ():
        found.append(server)
    return list(dict.fromkeys(a for a in found if not is_address(a)))


def resolved(facts: NodeFacts, name: str) -> tuple[str, ...]:
    """The addresses that this node finds for a name or an address."""
    if is_address(name):
        return (name,)
    _load(facts)
    return facts.family(per_subject.NAME, name)


def _load(facts: NodeFacts) -> None:
    """Have the group NETWORK read, with the families that go with it; what of it is unknown shows when it is asked."""
    known(lambda: facts.get(probes.LINKS))


def ring_addresses(facts: NodeFacts) -> dict[int, str]:
    """Link number → this node's own address on it, as it resolves now."""
    return _addresses(facts, own_entry(facts))


def peer_addresses(facts: NodeFacts) -> dict[str, dict[int, str]]:
    """Peer → link number → its address, as this node resolves it now."""
    own = known(lambda: own_entry(facts))
    return {e.name: _addresses(facts, e) for e in ring_conf(facts).nodes if e != own}


def _addresses(facts: NodeFacts, entry: ConfNode) -> dict[int, str]:
    found = {}
    for number, name in sorted(entry.addrs.items()):
        addresses = resolved(facts, name)
        if not addresses:
            raise UnknownFact(facts.node, f"getent ahosts {name}", "the name has no address here")
        found[number] = addresses[0]
    return found


def addresses_of(facts: NodeFacts) -> tuple[Address, ...]:
    """The node's own addresses, on all of its devices."""
    return tuple(address for device in facts.get(probes.ADDRESSES) for address in device.addresses)


def devices_of(facts: NodeFacts, address: str) -> tuple[str, ...]:
    """The devices that have this address."""
    wanted = ip(address)
    return tuple(a.dev for a in addresses_of(facts) if ip(a.address) == wanted)


def ring_devices(facts: NodeFacts) -> dict[int, str]:
    """Link number → the device that carries it; a link whose address is on no device has no entry."""
    found = {}
    for number, address in ring_addresses(facts).items():
        devices = devices_of(facts, address)
        if devices:
            found[number] = devices[0]
    return found


def networks_of(facts: NodeFacts, dev: str) -> tuple[Network, ...]:
    """The networks that are on-link on a device."""
    return tuple(
        ipaddress.ip_network(f"{a.address}/{a.prefix}", strict=False)
        for a in addresses_of(facts)
        if a.dev == dev and a.scope == "global"
    )


def routes_to(facts: NodeFacts, address: str) -> tuple[Route, ...]:
    """The way to a peer's address; () where there is none."""
    _load(facts)
    return facts.family(per_subject.ROUTE_TO, address)


def is_fabric(facts: NodeFacts, address: str, gateway: str) -> bool:
    """Whether the next hop on the way to a peer's address belongs to a fabric of the nodes themselves: it is the peer,
    or a routing protocol found the way."""
    if ip(address) == ip(gateway):
        return True
    route = route_of(facts.get(probes.ROUTES if ip(address).version == 4 else probes.ROUTES6), address)
    return route is not None and route.protocol in _ROUTING_PROTOCOLS


def link_counters(facts: NodeFacts) -> tuple[LinkCounters, ...] | None:
    """What kronosnet counts of each link; None where corosync does not run, or has another transport, which counts
    nothing."""
    counters = facts.get(probes.COUNTERS)
    if counters is None or (not counters.links and ring_conf(facts).transport != "knet"):
        return None
    if not counters.links:
        raise UnknownFact(facts.node, "corosync-cmapctl -m stats", "it shows no counters of links")
    return counters.links


def links(facts: NodeFacts) -> dict[str, Link]:
    """The network devices by name."""
    return {link.name: link for link in facts.get(probes.LINKS)}


def below(facts: NodeFacts, dev: str) -> tuple[Link, ...]:
    """The device and all that carries it, down to the cards: a VLAN's parent, a bridge's or bond's ports that are no
    guest's. What is below a port of Open vSwitch is not among it: `ip` does not show that."""
    every = links(facts)
    found: dict[str, Link] = {}
    pending = [dev]
    while pending:
        name = pending.pop()
        link = every.get(name)
        if link is None or name in found:
            continue
        found[name] = link
        if link.kind == "openvswitch":
            continue
        if link.link is not None:
            pending.append(link.link)
        pending += (x.name for x in every.values() if x.master == name and not _GUEST_PORT.fullmatch(x.name))
    return tuple(found.values())


def port_below(facts: NodeFacts, dev: str) -> str:
    """By which port what is meant for the device comes into the bridge that it is, or stands on; "" without one."""
    chain = below(facts, dev)
    bridges = {x.name for x in chain if x.kind == "bridge"}
    return next((x.name for x in chain if x.master in bridges), "")


def cards(facts: NodeFacts, dev: str) -> tuple[Link, ...]:
    """The devices at the bottom of what carries `dev`: those that stand on nothing else."""
    chain = below(facts, dev)
    names = {x.name for x in chain}
    masters = {x.master for x in chain}
    return tuple(x for x in chain if x.name not in masters and x.link not in names)


def guests_beside(facts: NodeFacts, dev: str) -> tuple[int, ...]:
    """The guests in the same network segment as the device: ports of the bridge that it is; for a VLAN of a bridge,
    guests of this node that are tagged with it."""
    every = links(facts)
    link = every.get(dev)
    if link is None:
        return ()
    vmids = {
        int(port["vmid"])
        for x in every.values()
        if x.master is not None and x.master == dev and (port := _GUEST_PORT.fullmatch(x.name))
    }
    parent = every.get(link.link or "")
    if link.kind == "vlan" and parent is not None and parent.kind == "bridge":
        vmids |= set(_tagged(facts, parent.name, link.vlan_id))
    return tuple(sorted(vmids))


def _tagged(facts: NodeFacts, bridge: str, vlan: int | None) -> Iterator[int]:
    """Guests of this node with a card in that VLAN of the bridge, by their configs."""
    for vmid, guest in facts.guests.items():
        folder = FOLDERS[guest.kind]
        text = facts.tree.text(f"nodes/{guest.node}/{folder}/{vmid}.conf") or ""
        for line in _TAGGED.finditer(text.partition("\n[")[0]):
            options = line["value"].split(",")
            if f"bridge={bridge}" in options and f"tag={vlan}" in options:
                yield vmid


def storage_servers(facts: NodeFacts) -> dict[str, str]:
    """Address or name of a server → the storage that this node has from it."""
    found = {}
    for store in facts.storages.values():
        for option in _SERVER_OPTIONS:
            for server in re.split(r"[ ,;]+", store.options.get(option, "")):
                if host := host_of(server):
                    found[host] = store.id
    return found


def host_of(server: str) -> str:
    """The name or address of a server, which may stand with its port, in brackets, or as Ceph writes a monitor's (v1
    and v2, monmaptool(8))."""
    plain = _NONCE.sub("", _MESSENGER.sub("", server))
    if plain.startswith("["):
        return plain[1:].partition("]")[0]
    return plain if is_address(plain) else plain.partition(":")[0]


def migration_networks(facts: NodeFacts) -> tuple[Network, ...]:
    """The network that migrations are told to use (datacenter.cfg, migration: network=); () where nothing is said."""
    match = re.search(r"(?m)^migration:.*\bnetwork=(?P<network>[^,\s]+)", facts.tree.text("datacenter.cfg") or "")
    try:
        return () if match is None else (ipaddress.ip_network(match["network"], strict=False),)
    except ValueError:
        raise UnknownFact(facts.node, "datacenter.cfg", "its migration network cannot be read") from None


def gateways(facts: NodeFacts, family: int) -> tuple[Route, ...]:
    """The default routes of the main table, 4 or 6."""
    return default_routes(facts.get(probes.ROUTES if family == 4 else probes.ROUTES6))


def is_whole(everyone: Sequence[NodeFacts]) -> bool:
    """Whether all nodes are quorate and all of them see every member of the nodelist."""
    wanted = {n.name for facts in everyone for n in ring_conf(facts).nodes}
    return all(
        facts.is_quorate and facts.quorum is not None and len(facts.quorum.members) == len(wanted) for facts in everyone
    )
