"""Cluster: quorum as Proxmox sees it, and whether the node is member, standalone, or something between."""

from __future__ import annotations

from pve_runbook.diagnosis import refusals, refusals_cluster
from pve_runbook.diagnosis.divergence import differences, newest
from pve_runbook.diagnosis.membership import old_name
from pve_runbook.diagnosis.votes import parts
from pve_runbook.facts.node_state import NodeState
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

BETWEEN = (
    NodeState.HALF_DISMANTLED,
    NodeState.LOCAL_MODE,
    NodeState.UNMOUNTED,
    NodeState.STANDALONE_COROSYNC_RUNNING,
    NodeState.STANDALONE_LEFTOVERS,
)
SEE_THE_VERDICT = "See the verdict at the end: it says whether to wait, to repair, to power on or to dismantle"


def test_etc_pve_is_mounted_once(host):
    """No second mount lies on /etc/pve."""
    assert len(host.pve.pve_mounts) <= 1, refusals.stacked_mount(host.pve)


def test_etc_pve_is_served(host):
    """/etc/pve is no stale mount."""
    assert not host.pve.pve_is_stale, refusals.stale_mount(host.pve)


def test_etc_pve_answers(host):
    """/etc/pve answers."""
    assert not host.pve.pve_hangs, refusals.hung_mount(host.pve)


def test_state_is_known(host):
    """The node is in a state that this tool knows."""
    assert host.pve.hostname  # a node that says nothing is unknown; one that says what nobody knows fails
    assert host.pve.state is not NodeState.UNKNOWN, refusals.unknown_state(host.pve)


def test_node_is_not_half_way(host):
    """The node is a member or standalone, not something between."""
    if host.pve.state is NodeState.UNKNOWN:
        raise UnknownFact(host.pve.node, "its state", "what it says does not agree, or is missing")
    assert host.pve.state not in BETWEEN, refusal(
        RefusalId.HALF_WAY,
        host.pve.node,
        seen=f"the node is {host.pve.state.meaning}",
        why="it goes read-only at the next restart of pve-cluster, or comes back as a member",
        do="Finish the dismantling: pytest runbook/ --hosts=... goes on from this state",
    )


def test_member_is_quorate(host, member):
    """The member has quorum, by pvecm's text and by the mode of /etc/pve."""
    facts = host.pve
    votes = f"{facts.quorum.total} of {facts.quorum.expected} votes" if facts.quorum else "corosync does not answer"
    assert facts.is_quorate, refusal(
        RefusalId.NOT_QUORATE,
        facts.node,
        seen=f"no quorum ({votes}); /etc/pve is {'writable' if facts.is_writable else 'read-only'}",
        why="running guests run on, but a guest that stops cannot be started again",
        do=SEE_THE_VERDICT,
    )


def test_hosts_are_the_members(cluster, members, options):
    """--hosts names every member of the cluster."""
    for node in cluster.nodes:
        old = old_name(node.facts)
        assert old is None, refusals_cluster.renamed(node.facts, old)
    missing = sorted(set(members.names) - {n.facts.hostname for n in cluster.nodes} - set(options.absent))
    assert not missing, refusals_cluster.missing_members(missing, [n.name for n in cluster.nodes])


def test_members_agree(cluster):
    """All members have the same corosync.conf in their databases."""
    versions = {}
    for node in cluster.nodes:
        conf = node.facts.corosync_conf
        if conf is not None:
            versions.setdefault((conf.config_version, conf.sha256), []).append(node.name)
    assert len(versions) <= 1, refusal(
        RefusalId.CONFIG_VERSIONS_DIFFER,
        "cluster",
        seen="; ".join(f"version {v} on {', '.join(names)}" for (v, _), names in versions.items()),
        why="nodes with different configurations do not find each other",
        do="Look at `grep config_version /etc/pve/corosync.conf` on each",
    )


def test_databases_hold_the_same(cluster):
    """The members' databases hold the same."""
    trees = {n.name: n.facts.tree for n in cluster.nodes if n.facts.has_corosync_conf_in_database}
    found = [str(difference) for difference in differences(trees)]
    versions = {name: tree.version for name, tree in trees.items()}
    assert not found, refusals_cluster.diverged(versions, newest(trees), found)


def test_votes_are_not_forced(cluster):
    """No part of the cluster is quorate by a forced number of expected votes."""
    forced = [part for part in parts([n.facts for n in cluster.nodes]) if part.is_forced]
    assert not forced, refusal(
        RefusalId.VOTES_ARE_FORCED,
        "cluster",
        seen="; ".join(f"quorate although {part}, of which {part.expected} are expected" for part in forced),
        why="somebody set expected votes by hand, or a unit does at every boot: each part writes into its own database",
        do="Look for it (`grep -rs 'pvecm expected' /etc/systemd /etc/cron* /root`), and connect no parts before you "
        "know which database counts. The value goes with `systemctl restart corosync` there, HA off",
    )
