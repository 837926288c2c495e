"""Shapes of a cluster by what is wrong with it, and of healthy ones that look as if something were.

Each begins with a cluster whose network is in order but for what its wiring says. Where the model knows the
consequence (a name that leads astray, a filtered port, an older configuration), it comes about by itself; where only
people know it (storms on a shared bridge), the link is cut beside it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from pve_lab.formats.corosync_conf import parse
from pve_lab.model.cluster import Cluster
from pve_lab.model.corosync import AUTHKEY, CONFIG
from pve_lab.model.network import Interface, Route
from pve_lab.model.node import Node
from pve_lab.shapes import LATER, nodes_of, second

Shape = Callable[[Cluster], None]

HOSTS = "/etc/hosts"
INTERFACES = "/etc/network/interfaces"
VLAN = 50
STALE_NETWORK = "10.66.0."
"""A network that nobody uses any more."""
SETTLING = 20.0
"""Seconds since the link is whole again in settling."""
FAR_AWAY = 150_000
"""Microseconds there and back between two towns with a slow line."""
WELL_FILTERED = (
    ":INPUT ACCEPT [0:0]",
    ":PVEFW-Drop - [0:0]",
    ":PVEFW-HOST-IN - [0:0]",
    ":PVEFW-INPUT - [0:0]",
    "-A INPUT -j PVEFW-INPUT",
    "-A PVEFW-Drop -p udp -m multiport --dports 135,445 -j DROP",
    "-A PVEFW-Drop -j DROP",
    "-A PVEFW-HOST-IN -i lo -j ACCEPT",
    "-A PVEFW-HOST-IN -m conntrack --ctstate INVALID -j DROP",
    "-A PVEFW-HOST-IN -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A PVEFW-HOST-IN -p igmp -j RETURN",
    "-A PVEFW-HOST-IN -p tcp -m set --match-set PVEFW-0-management-v4 src -m tcp --dport 8006 -j RETURN",
    "-A PVEFW-HOST-IN -s 10.99.0.0/24 -d 10.99.0.0/24 -p udp -m udp --dport 5405:5412 -j RETURN",
    "-A PVEFW-HOST-IN -j PVEFW-Drop",
    "-A PVEFW-INPUT -j PVEFW-HOST-IN",
)
"""pve-firewall with its policy DROP and its own rule for corosync (pve-firewall Firewall.pm)."""
STATELESS = (
    ":INPUT DROP [0:0]",
    "-A INPUT -i lo -j ACCEPT",
    "-A INPUT -p icmp -j ACCEPT",
    "-A INPUT -p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A INPUT -p tcp -m multiport --dports 22,8006 -j ACCEPT",
)
"""Somebody's own script: it knows TCP only."""


def _last(cluster: Cluster) -> Node:
    return nodes_of(cluster)[-1]


def _ring(node: Node) -> Interface:
    """The interface of link 0."""
    return next(i for i in node.interfaces if i.address == node.rings[0])


def _passes(cluster: Cluster) -> None:
    """What was changed takes its effect, and some time goes by."""
    cluster.form_memberships()
    cluster.clock.advance(LATER)


def _restart_corosync(*nodes: Node) -> None:
    for node in nodes:
        node.units.stop("corosync")
    for node in nodes:
        node.units.start("corosync")


def _rewrite(node: Node, path: str, old: str, new: str) -> None:
    text = node.files.text(path)
    if old not in text:
        raise ValueError(f"{path} of {node.name} has no {old!r}")
    node.files.put(path, text.replace(old, new))


def configure(cluster: Cluster, edit: Callable[[str], str]) -> None:
    """Change corosync.conf on all members as the documentation says, version and all, and restart corosync there.

    Without quorum (a cluster too small for the shape) it cannot be changed, and stays as it is.
    """
    nodes = nodes_of(cluster)
    if not nodes[0].pmxcfs.quorate:
        return
    text = nodes[0].files.text(CONFIG)
    version = parse(text).config_version
    text = edit(text).replace(f"config_version: {version}", f"config_version: {version + 1}")
    nodes[0].pmxcfs.write("corosync.conf", text.encode())
    running = [n for n in nodes if n.corosync.runtime is not None]
    _restart_corosync(*running)
    cluster.clock.advance(LATER)


def all_of(*shapes: Shape) -> Shape:
    """One after the other."""

    def shape(cluster: Cluster) -> None:
        for part in shapes:
            part(cluster)

    return shape


# -- the article's root causes -------------------------------------------------------------------


def shared_vlan(cluster: Cluster) -> None:
    """The ring is a VLAN of the guests' bridge, and guests are tagged with it."""
    _ring_on_vlan(cluster, "vmbr0")
    first = nodes_of(cluster)[0].pmxcfs
    for node in nodes_of(cluster):
        guest = min((g for g in node.guests.own() if g.kind == "qemu"), key=lambda g: g.vmid)
        first.write(guest.path, guest.text.replace(",bridge=vmbr0", f",bridge=vmbr0,tag={VLAN}").encode())


def _ring_on_vlan(cluster: Cluster, parent: str) -> None:
    for node in nodes_of(cluster):
        ring = _ring(node)
        ring.name, ring.kind, ring.link, ring.vlan = f"{parent}.{VLAN}", "vlan", parent, VLAN


def two_gateways(cluster: Cluster) -> None:
    """pve2 has a second default route of the same rank."""
    node = second(cluster)
    node.interfaces.append(Interface(4, "eno2", "36:15:be:d7:20:12", address="192.168.7.12"))
    node.default_routes.append(Route("192.168.7.1", "eno2"))


def gateway_in_files(cluster: Cluster) -> None:
    """pve2's network files name two gateways; which route there is depends on who came up last."""
    node = second(cluster)
    stanza = "\nauto eno2\niface eno2 inet static\n\taddress 192.168.7.12/24\n\tgateway 192.168.7.1\n"
    node.files.put("/etc/network/interfaces.d/storage", stanza)
    node.interfaces.append(Interface(4, "eno2", "36:15:be:d7:20:12", address="192.168.7.12"))


def routed(cluster: Cluster) -> None:
    """The last node's ring address is in another network, behind the router."""
    node = _last(cluster)
    old = node.rings[0]
    new = old.replace("10.99.0.", "10.97.0.")
    _ring(node).address = new
    node.rings[0] = new
    _rewrite(node, INTERFACES, old, new)
    configure(cluster, lambda text: text.replace(f"ring0_addr: {old}\n", f"ring0_addr: {new}\n"))


def names_differ(cluster: Cluster) -> None:
    """The last node finds its peers' ring names in a network that nobody uses any more; its corosync was restarted."""
    node = _last(cluster)
    for peer in nodes_of(cluster)[:-1]:
        stale = STALE_NETWORK + peer.rings[0].rpartition(".")[2]
        _rewrite(node, HOSTS, f"{peer.rings[0]} {peer.name}-ring", f"{stale} {peer.name}-ring")
    _restart_corosync(node)
    _passes(cluster)


def names_on_loopback(cluster: Cluster) -> None:
    """Every node's own name leads to 127.0.1.1 as well, as Debian's installer leaves it."""
    for node in nodes_of(cluster):
        node.files.put(HOSTS, f"127.0.1.1 {node.name}.lab.local {node.name}\n{node.files.text(HOSTS)}")


def name_twice(cluster: Cluster) -> None:
    """pve2's /etc/hosts has two addresses for pve1."""
    node, other = second(cluster), nodes_of(cluster)[0]
    names = f"{other.name}.lab.local {other.name}\n"
    node.files.put(HOSTS, f"{node.files.text(HOSTS)}{other.address} {names}{STALE_NETWORK}11 {names}")


def other_interface(cluster: Cluster) -> None:
    """The last node's corosync came up while its ring name led to another interface, and is bound there since."""
    node = _last(cluster)
    right, wrong = f"{node.rings[0]} {node.name}-ring", f"{node.address} {node.name}-ring"
    _rewrite(node, HOSTS, right, wrong)
    _restart_corosync(node)
    _rewrite(node, HOSTS, wrong, right)
    _passes(cluster)


def address_twice(cluster: Cluster) -> None:
    """pve2 has its ring address on two interfaces."""
    node = second(cluster)
    node.interfaces.append(Interface(9, "eno2", "36:15:be:d7:20:12", address=node.rings[0]))


# -- what is repaired in place -------------------------------------------------------------------


def authkey_lost(cluster: Cluster) -> None:
    """The last node has no authkey any more: its corosync does not start."""
    node = _last(cluster)
    node.files.discard(AUTHKEY)
    _restart_corosync(node)
    _passes(cluster)


def config_older(cluster: Cluster) -> None:
    """The configuration was changed while the last node's corosync was stopped: with its older one it exits."""
    node = _last(cluster)
    node.units.stop("corosync")
    configure(cluster, lambda text: text.replace("  version: 2\n", "  token: 5000\n  version: 2\n"))
    node.units.start("corosync")
    _passes(cluster)


def votes_edited(cluster: Cluster) -> None:
    """corosync.conf expects seven votes; the three members see each other."""
    provider = "  provider: corosync_votequorum\n"
    configure(cluster, lambda text: text.replace(provider, f"  expected_votes: 7\n{provider}"))
    _passes(cluster)


def filtered_port(cluster: Cluster) -> None:
    """The last node drops what comes to corosync's port."""
    node = _last(cluster)
    node.filter_rules = (":INPUT ACCEPT [0:0]", "-A INPUT -i eno3 -p udp -m udp --dport 5405 -j DROP")
    node.drops = (5405, 5405)
    _passes(cluster)


def filtered_all(cluster: Cluster) -> None:
    """The last node's firewall drops all that it does not know, and knows TCP only."""
    node = _last(cluster)
    node.filter_rules = STATELESS
    node.drops = (5405, 5412)
    _passes(cluster)


def dead_link(cluster: Cluster) -> None:
    """The card of the last node's link 0 has no carrier."""
    _ring(_last(cluster)).carrier = False
    _passes(cluster)


def dead_beyond_the_card(cluster: Cluster) -> None:
    """Link 1 of the last node is cut at the switch, where no node can see it."""
    _last(cluster).drops = (5406, 5406)
    _passes(cluster)


# -- neither -------------------------------------------------------------------------------------


def large_packets(cluster: Cluster) -> None:
    """pve2 sends packets of 9000 bytes into a link of 1500."""
    _ring(second(cluster)).mtu = 9000


def far_apart(cluster: Cluster) -> None:
    """The nodes are in two towns, and the token timeout was set for one room."""
    cluster.network.latency = FAR_AWAY
    configure(cluster, lambda text: text.replace("  version: 2\n", "  token: 600\n  version: 2\n"))


def settling(cluster: Cluster) -> None:
    """Every node was alone for a minute; the link is whole since a moment ago."""
    cluster.isolate()
    cluster.clock.advance(60.0)
    cluster.heal()
    cluster.clock.advance(SETTLING)


# -- healthy, and looking otherwise --------------------------------------------------------------


def weighted_votes(cluster: Cluster) -> None:
    """pve1 has two votes on purpose: four of four are there."""
    configure(cluster, lambda text: text.replace("quorum_votes: 1\n", "quorum_votes: 2\n", 1))


def ranked_gateways(cluster: Cluster) -> None:
    """pve2 has a second default route in reserve, with a metric."""
    node = second(cluster)
    node.interfaces.append(Interface(4, "eno2", "36:15:be:d7:20:12", address="192.168.7.12"))
    node.default_routes.append(Route("192.168.7.1", "eno2", 200))
    stanza = "\nauto eno2\niface eno2 inet static\n\taddress 192.168.7.12/24\n\tgateway 192.168.7.1\n\tmetric 200\n"
    node.files.put("/etc/network/interfaces.d/reserve", stanza)


def firewall_on(cluster: Cluster) -> None:
    """pve-firewall runs with policy DROP and its own rule for corosync."""
    for node in nodes_of(cluster):
        node.filter_rules = WELL_FILTERED


def firewall_with_states(cluster: Cluster) -> None:
    """pve-firewall has no rule for corosync, and lets its packets in as answers to the node's own."""
    for node in nodes_of(cluster):
        node.filter_rules = tuple(rule for rule in WELL_FILTERED if "5405:5412" not in rule)


own_vlan: Shape = functools.partial(_ring_on_vlan, parent="eno1")
"""The ring is a VLAN of its own on the card that carries the guests' bridge."""


def names_with_two_families(cluster: Cluster) -> None:
    """Somebody wrote all names into every /etc/hosts: each has an address of IPv6 beside that of IPv4."""
    nodes = nodes_of(cluster)
    names = [(f"{n.name}.lab.local {n.name}", n.address, f"fd00:55::{11 + i}") for i, n in enumerate(nodes)]
    text = "".join(f"{four} {name}\n{six} {name}\n" for name, four, six in names)
    for node in nodes:
        node.files.put(HOSTS, f"127.0.0.1 localhost.localdomain localhost\n{text}")
