"""What the checks of the network say: one text for one cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pve_runbook.diagnosis.network import Cause, Finding
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

_REDESIGN = (
    "Do not repair quorum on it: dismantle (pytest runbook/ --hosts=...), redesign the network, then build the cluster "
    "anew"
)

_SAID: Mapping[Cause, tuple[RefusalId, str, str]] = {
    Cause.SHARED_LINK: (
        RefusalId.SHARED_LINK,
        "a backup, a migration or a busy guest delays the token beyond its timeout, and the cluster falls apart",
        f"{_REDESIGN}, with a card or a VLAN for corosync alone",
    ),
    Cause.SEVERAL_GATEWAYS: (
        RefusalId.SEVERAL_GATEWAYS,
        "which way packets leave and with which address depends on the order in which the interfaces came up",
        f"{_REDESIGN}, with one gateway a node",
    ),
    Cause.ROUTED: (
        RefusalId.ROUTED,
        "a router adds delay, drops what it cannot take, and its outage splits the cluster",
        f"{_REDESIGN}, with all cluster addresses in one network",
    ),
    Cause.AMBIGUOUS_NAMES: (
        RefusalId.AMBIGUOUS_NAMES,
        "nodes look for each other, for migrations and for pmxcfs, in different places",
        f"{_REDESIGN}, with the same /etc/hosts everywhere",
    ),
    Cause.UNEXPECTED_INTERFACE: (
        RefusalId.UNEXPECTED_INTERFACE,
        "its peers send to an address where it does not listen, or answers leave over the wrong wire",
        f"{_REDESIGN}, with one interface for each cluster address",
    ),
    Cause.DEAD_LINK: (
        RefusalId.DEAD_LINK,
        "on one link every cluster is one failure away from losing quorum, and on none it has lost it",
        "Look at cable, card and switch port: `ip -s link` and `corosync-cfgtool -n` there",
    ),
    Cause.FILTERED: (
        RefusalId.FILTERED,
        "corosync needs UDP 5405 to 5412 both ways between all nodes; without it the node is alone",
        "Allow UDP 5405:5412 from the cluster's network: `iptables-save` or `nft list ruleset` there shows the rule, "
        "`pve-firewall status` whose it is",
    ),
    Cause.MTU: (
        RefusalId.MTU_DIFFERS,
        "small packets pass and large ones do not: links look alive, and the synchronisation of /etc/pve hangs",
        "Give the interface the same MTU everywhere, in /etc/network/interfaces and on the switch",
    ),
    Cause.SLOW_LINK: (
        RefusalId.SLOW_LINK,
        "the token passes every node, and is given up before a slow answer can come",
        "Raise `token` in corosync.conf (and config_version), or bring the nodes closer together",
    ),
}


def network_refusal(finding: Finding) -> str:
    """Three lines for a finding that is no warning."""
    id_, why, what = _SAID[finding.cause]
    node = finding.nodes[0] if len(finding.nodes) == 1 else "cluster"
    return refusal(id_, node, seen=finding.evidence, why=why, do=what)


def live_network_changed(node: str, changes: Sequence[str]) -> str:
    return refusal(
        RefusalId.LIVE_NETWORK_CHANGED,
        node,
        seen=f"its network is another one than when this run began: {'; '.join(changes)}",
        why="somebody, or an `ifreload`, changed it under running guests: they may run on, and be off the network",
        do="Look at `ip addr` there and at the guests, and put back what is wrong by hand. Then run the same command "
        "line again: it goes on from here, with the network as it is then",
    )
