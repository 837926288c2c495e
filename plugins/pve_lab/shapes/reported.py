"""Shapes of a cluster as people reported them in public: a node is off, a service failed, a guide was half followed."""

from __future__ import annotations

import re
from collections.abc import Callable

from pve_lab.formats import nftables
from pve_lab.formats.corosync_conf import parse, render
from pve_lab.model.cluster import Cluster
from pve_lab.model.corosync import AUTHKEY, CONFIG
from pve_lab.model.network import HostRoute, Interface
from pve_lab.model.node import Node
from pve_lab.shapes import LATER, broken, leave_by_vendors_way, let_in, nodes_of, second
from pve_lab.shapes.causes import INTERFACES, configure

Shape = Callable[[Cluster], None]

DATABASE_OF_GARBAGE = b"SQLite format 3\0" + b"garbage" * 400


def _first(cluster: Cluster) -> Node:
    return nodes_of(cluster)[0]


def _last(cluster: Cluster) -> Node:
    return nodes_of(cluster)[-1]


def _without_last(cluster: Cluster) -> list[Node]:
    return nodes_of(cluster)[:-1]


def _ring_of(node: Node) -> str:
    return next(i.name for i in node.interfaces if i.address == node.rings[0])


# -- a node is out, the others work ---------------------------------------------------------------


def last_off(cluster: Cluster) -> None:
    """The last node is powered off."""
    _last(cluster).power_off()
    cluster.clock.advance(LATER)


def one_alone(cluster: Cluster) -> None:
    """The last node sees nobody, the others see each other, and nothing on the nodes says why."""
    cluster.partition([[n.name for n in _without_last(cluster)], [_last(cluster).name]])
    cluster.clock.advance(2 * LATER)


def pmxcfs_failed_by_hosts(cluster: Cluster) -> None:
    """pve-cluster of pve2 failed at its start, for its own name is missing in /etc/hosts; corosync runs on there."""
    second(cluster).files.put("/etc/hosts", "127.0.0.1 localhost\n")
    _fail_to_start_pmxcfs(cluster)


def database_damaged(cluster: Cluster) -> None:
    """The same, for its database is damaged."""
    node = second(cluster)
    let_in(node)
    node.units.stop("pve-cluster")
    (node.files.database_directory / "config.db").write_bytes(DATABASE_OF_GARBAGE)
    _fail_to_start_pmxcfs(cluster)


def _fail_to_start_pmxcfs(cluster: Cluster) -> None:
    node = second(cluster)
    if node.pmxcfs.mounted:
        let_in(node)
        node.units.stop("pve-cluster")
    node.units.start("pve-cluster")
    cluster.clock.advance(LATER)


def both_down(cluster: Cluster) -> None:
    """pve-cluster and corosync do not run on pve2 (an update that failed, a disk that was full); its guests run."""
    node = second(cluster)
    let_in(node)
    node.units.stop("pve-cluster")
    node.units.stop("corosync")
    cluster.clock.advance(LATER)


def separated(cluster: Cluster) -> None:
    """The last node was separated by the vendor's way; the others still list it."""
    leave_by_vendors_way(_last(cluster))
    cluster.clock.advance(LATER)


def reinstalled(cluster: Cluster) -> None:
    """The last node is standalone and empty, as after a reinstallation; the others still list it."""
    node = _last(cluster)
    leave_by_vendors_way(node)
    for vmid in list(node.guests.running):
        node.guests.end(vmid)
    for guest in node.guests.configs():
        node.pmxcfs.remove(guest.path)
    cluster.clock.advance(LATER)


def removed_while_up(cluster: Cluster) -> None:
    """`pvecm delnode` of the last node while it was up: the others have a newer corosync.conf without it."""
    rest, node = _without_last(cluster), _last(cluster)
    if len(rest) < 2:  # without quorum nobody is removed
        return
    cluster.partition([[n.name for n in rest], [node.name]])
    conf = parse(_first(cluster).files.text(CONFIG))
    _rewrite_conf(cluster, rest, render(conf.cluster_name, conf.config_version + 1, conf.members[:-1]))
    cluster.clock.advance(2 * LATER)


def address_changed(cluster: Cluster) -> None:
    """The last node got another address on its link; corosync.conf has the old one everywhere."""
    node = _last(cluster)
    old = node.rings[0]
    new = f"{old.rpartition('.')[0]}.93"
    next(i for i in node.interfaces if i.address == old).address = new
    node.files.put(INTERFACES, node.files.text(INTERFACES).replace(old, new))
    node.units.stop("corosync")
    node.units.start("corosync")
    cluster.clock.advance(LATER)


def guide_half_done(cluster: Cluster) -> None:
    """A guide, half done on the last node: services stopped, /etc/corosync emptied, pmxcfs -l killed, started again."""
    node = _last(cluster)
    node.units.stop("pve-cluster")
    node.units.stop("corosync")
    for name in node.files.names("/etc/corosync"):
        node.files.discard(f"/etc/corosync/{name}")
    node.pmxcfs.start(("pmxcfs", "-l"))
    node.pmxcfs.end()
    node.units.start("pve-cluster")
    cluster.clock.advance(LATER)


def corosync_never_stopped(cluster: Cluster) -> None:
    """Another guide on the last node, which forgets to stop corosync before it takes its files away."""
    node = _last(cluster)
    node.units.stop("pve-cluster")
    node.pmxcfs.start(("pmxcfs", "-l"))
    node.pmxcfs.remove("corosync.conf")
    node.files.discard(CONFIG)
    node.pmxcfs.end()
    node.files.discard(AUTHKEY)
    node.units.start("pve-cluster")
    cluster.clock.advance(LATER)


def node_renamed(cluster: Cluster) -> None:
    """pve2 was renamed (hostnamectl, /etc/hosts), and its pve-cluster started again: its guests' configs lie below the
    old name, and run on."""
    node = second(cluster)
    node.hostname = "nodex"
    node.files.put("/etc/hostname", "nodex\n")
    node.files.put("/etc/hosts", re.sub(r"\bpve2\b", "nodex", node.files.text("/etc/hosts")))
    node.units.restart("pve-cluster")
    cluster.clock.advance(LATER)


# -- small clusters --------------------------------------------------------------------------------


def one_member_left(cluster: Cluster) -> None:
    """A cluster of one: the nodelist has the first node only. The other hosts left long ago."""
    _of_one(cluster, device="")


def one_member_left_and_a_device(cluster: Cluster) -> None:
    """The same, with a quorum device that was left in the configuration without a vote."""
    _of_one(cluster, device="10.55.0.5")


def _of_one(cluster: Cluster, device: str) -> None:
    for node in nodes_of(cluster)[1:]:
        node.power_off()
    cluster.clock.advance(60.0)
    node = _first(cluster)
    node.corosync.force_expected(1)
    cluster.clock.advance(60.0)
    conf = parse(node.files.text(CONFIG))
    text = render(conf.cluster_name, conf.config_version + 1, conf.members[:1], device=device)
    _rewrite_conf(cluster, [node], text.replace("    votes: 1\n", "    votes: 0\n"))
    cluster.clock.advance(LATER)


def _rewrite_conf(cluster: Cluster, members: list[Node], text: str) -> None:
    members[0].pmxcfs.write("corosync.conf", text.encode())
    for node in members:
        node.units.stop("corosync")
    for node in members:
        node.units.start("corosync")


def member_without_vote(cluster: Cluster) -> None:
    """pve1 is a member without a vote, on purpose."""
    configure(cluster, lambda text: text.replace("quorum_votes: 1\n", "quorum_votes: 0\n", 1))


def two_nodes_mode(cluster: Cluster) -> None:
    """corosync.conf has two_node: 1."""
    provider = "  provider: corosync_votequorum\n"
    configure(cluster, lambda text: text.replace(provider, f"{provider}  two_node: 1\n"))


# -- no majority -----------------------------------------------------------------------------------


def others_off(cluster: Cluster) -> None:
    """All nodes but the first are powered off."""
    for node in nodes_of(cluster)[1:]:
        node.power_off()
    cluster.clock.advance(LATER)


def local_mode_for_good(cluster: Cluster) -> None:
    """All but two nodes are off; pmxcfs -l -f was started by hand on the first, and its guests are managed with it."""
    last_off(cluster)
    node = _first(cluster)
    node.units.stop("pve-cluster")
    node.units.stop("corosync")
    node.pmxcfs.start(("pmxcfs", "-l", "-f"))
    cluster.clock.advance(LATER)


def votes_forced_at_boot(cluster: Cluster) -> None:
    """A unit sets `pvecm expected 1` at every boot: each node was alone, and quorate, for a while."""
    cluster.isolate()
    cluster.clock.advance(60.0)
    for node in nodes_of(cluster):
        node.corosync.force_expected(1)
    cluster.clock.advance(LATER)


def database_damaged_in_broken(cluster: Cluster) -> None:
    """Broken, and the database of pve2 is damaged."""
    broken(cluster)
    database_damaged(cluster)


def card_hangs(cluster: Cluster) -> None:
    """The cluster link carries nothing for ninety minutes, and every card says that it is up."""
    cluster.isolate()
    cluster.clock.advance(5400.0)


# -- guests without configs ------------------------------------------------------------------------


def databases_wiped(cluster: Cluster) -> None:
    """config.db was deleted on every node, and pve-cluster started again: guests run, their configs are gone."""
    for node in nodes_of(cluster):
        let_in(node)
        node.units.stop("corosync")
        node.units.stop("pve-cluster")
        node.pmxcfs.end()
        for file in node.files.database_directory.glob("config.db*"):
            file.unlink()
    for node in nodes_of(cluster):
        node.units.start("pve-cluster")
        node.units.start("corosync")
    cluster.clock.advance(LATER)


# -- what looks like a cause and is none -----------------------------------------------------------


def retransmits(cluster: Cluster) -> None:
    """Quorate; corosync sends messages again and again."""
    for node in nodes_of(cluster):
        node.corosync.resent = 4800
        for _ in range(400):
            node.corosync.log("TOTEM", "Retransmit List: fd fe 103 105 10d 117 11d 11e 124 12d 133 136 ")


def stanza_in_a_backup(cluster: Cluster) -> None:
    """An old stanza with a gateway lies in interfaces.d, and nothing brings it up."""
    stanza = "iface eno2 inet static\n\taddress 192.168.7.12/24\n\tgateway 192.168.7.1\n"
    second(cluster).files.put("/etc/network/interfaces.d/eno2.bak", stanza)


def card_hangs_by_the_kernel(cluster: Cluster) -> None:
    """card_hangs, and the kernel of pve2 says so of the card of the cluster link."""
    node = second(cluster)
    card = _ring_of(node)
    cluster.isolate()
    cluster.clock.advance(LATER)
    for _ in range(3):
        watchdog = "NETDEV WATCHDOG: CPU: 3: transmit queue 0 timed out 5123 ms"
        node.journal.add("", "kernel", 0, f"e1000e 0000:00:1f.6 {card}: {watchdog}", 2)
        cluster.clock.advance(LATER)


def bonded(mode: str) -> Shape:
    """The card of the cluster link is a bond of two on every node."""

    def shape(cluster: Cluster) -> None:
        for number, node in enumerate(nodes_of(cluster)):
            ring = next(i for i in node.interfaces if i.address == node.rings[0])
            ports = [ring.name, "eno4"]
            for index, name in enumerate(ports):
                node.interfaces.append(
                    Interface(30 + index, name, f"36:15:be:d8:{index:02x}:{number:02x}", master="bond0")
                )
            ring.name, ring.kind, ring.bond_mode = "bond0", "bond", mode

    return shape


def fail2ban(cluster: Cluster) -> None:
    """fail2ban keeps a table of nftables for SSH on every node."""
    for node in nodes_of(cluster):
        node.nft_tables = (*node.nft_tables, nftables.FAIL2BAN)


def proxmox_firewall(cluster: Cluster) -> None:
    """Proxmox's firewall of nftables is on (nftables: 1 in host.fw), its input policy is DROP."""
    for node in nodes_of(cluster):
        node.nft_tables = (*node.nft_tables, nftables.PROXMOX)


def routed_fabric(cluster: Cluster) -> None:
    """The rings are addresses for themselves (/32) on a dummy device; OpenFabric found the ways, over cables from node
    to node. One of every node's peers is reached by way of another."""
    nodes = nodes_of(cluster)
    for number, node in enumerate(nodes):
        ring = next(i for i in node.interfaces if i.address == node.rings[0])
        ring.name, ring.kind, ring.prefix = "dummy_fabric", "dummy", 32
        cables = ["eno3", "eno4"]
        for index, cable in enumerate(cables):
            node.interfaces.append(Interface(20 + index, cable, f"36:15:be:d7:{0x40 + index:02x}:{number + 16:02x}"))
        peers = [n for n in nodes if n is not node]
        node.host_routes = [HostRoute(peer.rings[0], peers[0].rings[0], cables[0], "openfabric") for peer in peers]


def nft_drops(cluster: Cluster) -> None:
    """The last node's own table of nftables drops what comes to corosync's port; iptables-save shows nothing of it."""
    node = _last(cluster)
    node.nft_tables = (nftables.DROPS_COROSYNC,)
    node.drops = (5405, 5405)
    cluster.form_memberships()
    cluster.clock.advance(LATER)


def udpu(cluster: Cluster) -> None:
    """corosync.conf says transport: udpu, as since Proxmox VE 4: no counters of kronosnet."""
    configure(cluster, lambda text: text.replace("totem {\n", "totem {\n  transport: udpu\n"))


def cmap_busy(cluster: Cluster) -> None:
    """corosync's cmap says "try again" on every node."""
    for node in nodes_of(cluster):
        node.corosync.cmap_is_busy = True


def open_vswitch(cluster: Cluster) -> None:
    """The guests' bridge is one of Open vSwitch, and corosync is on it."""
    for node in nodes_of(cluster):
        for interface in node.interfaces:
            if interface.kind == "bridge":
                interface.kind = "openvswitch"


def ha_on_a_single_node(cluster: Cluster) -> None:
    """One host that never was in a cluster; a guest is under HA for its automatic restart."""
    for node in nodes_of(cluster)[1:]:
        node.power_off()
    node = _first(cluster)
    leave_by_vendors_way(node)
    status = (
        '{"service_status":{"vm:101":{"node":"pve1","state":"started"}},"node_status":{"pve1":"online"},'
        '"timestamp":1,"master_node":"pve1"}'
    )
    node.pmxcfs.write("ha/resources.cfg", b"vm: 101\n\tmax_restart 2\n\tstate started\n\n")
    node.pmxcfs.write("ha/manager_status", status.encode())
    for unit in ("pve-ha-lrm", "pve-ha-crm"):
        node.units.set_enabled(unit, enabled=True)
        node.units.start(unit)
    cluster.clock.advance(LATER)
