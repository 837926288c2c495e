"""Standalone: whether the node is its own master, by everything that tells it from a half-dismantled one."""

from __future__ import annotations

from pve_runbook.work import refusals


def test_pvecm_knows_no_cluster(host, standalone):
    """pvecm says that there is no cluster configuration."""
    assert host.pve.pvecm.kind == "standalone", refusals.knows_a_cluster(host.pve)


def test_etc_pve_is_its_own(host, standalone):
    """/etc/pve is mounted once, writable, lists no members, and its database holds no corosync.conf."""
    facts = host.pve
    members = facts.members
    own = len(facts.pve_mounts) == 1 and facts.is_writable and not facts.has_corosync_conf_in_database
    assert own and members is not None and members.nodes is None, refusals.not_its_own_master(facts)


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
