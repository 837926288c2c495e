"""Standalone: whether the node is its own master, by everything that tells it from a half-dismantled one.

And what stands between standalone nodes and a new cluster: that only wants to be known.
"""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis import rebuild, refusals
from pve_runbook.terminal.screen import WARNING


def test_pvecm_knows_no_cluster(host, taken_apart):
    """pvecm says that there is no cluster configuration."""
    assert host.pve.pvecm.kind == "standalone", refusals.knows_a_cluster(host.pve, refusals.IN_OR_OUT)


def test_etc_pve_is_its_own(host, taken_apart):
    """/etc/pve is mounted once, writable, lists no members, and its database holds no corosync.conf."""
    facts = host.pve
    members = facts.members
    own = len(facts.pve_mounts) == 1 and facts.is_writable and not facts.has_corosync_conf_in_database
    own = own and members is not None and members.nodes is None
    assert own, refusals.not_its_own_master(facts, refusals.IN_OR_OUT)


def test_corosync_cannot_come_back(host, standalone):
    """Corosync is stopped, has no configuration, and nothing listens on its ports."""
    facts = host.pve
    assert not (facts.is_corosync_running or facts.leftovers or facts.corosync_ports), refusals.corosync_could_return(
        facts
    )


def test_pmxcfs_is_the_units_own(host, standalone):
    """/etc/pve is served by the unit pve-cluster itself."""
    main = host.pve.units["pve-cluster.service"].main_pid
    assert [p.pid for p in host.pve.pmxcfs_processes] == [main], refusals.foreign_pmxcfs(host.pve)


def test_services_run(host, standalone):
    """Proxmox's services run."""
    assert not host.pve.dead_services, refusals.dead_services(host.pve)


@pytest.fixture
def ready(apart):
    """Tells what was found as a warning: nothing of it makes a standalone node a bad one."""

    def judge(findings):
        found = findings([n.facts for n in apart])
        if found:
            pytest.skip(WARNING + "; ".join(found))

    return judge


def test_no_key_ties_the_nodes_together(ready):
    """No key ties the standalone nodes together."""
    ready(rebuild.shared_keys)


def test_no_foreign_config_is_left(ready):
    """No standalone node has configs of another node's guests."""
    ready(rebuild.foreign_configs)


def test_no_storage_is_in_reach_of_two(ready):
    """No storage is in reach of several standalone nodes."""
    ready(rebuild.storages_in_reach)


def test_network_is_ready_for_a_cluster(ready):
    """Nothing in the nodes' network has to be fixed before a new cluster."""
    ready(rebuild.network_findings)


def test_at_most_one_node_has_guests(ready):
    """At most one standalone node has guests: that one may `pvecm create`, the others can join."""
    ready(rebuild.who_creates)
