"""Standalone: whether the node is its own master, by everything that tells it from a half-dismantled one."""

from __future__ import annotations

from pve_runbook.work.refusal import refusal


def test_pvecm_knows_no_cluster(host, standalone):
    """pvecm says that there is no cluster configuration."""
    assert host.pve.pvecm.kind == "standalone", refusal(
        host.pve.node,
        seen=f"pvecm finds this node to be: {host.pve.pvecm.kind}",
        why="it tells a standalone node from a half-dismantled one",
        do="pytest runbook/ --hosts=... goes on from this state",
    )


def test_etc_pve_is_its_own(host, standalone):
    """/etc/pve is mounted once, writable, lists no members, and its database holds no corosync.conf."""
    facts = host.pve
    members = facts.members
    own = len(facts.pve_mounts) == 1 and facts.is_writable and not facts.has_corosync_conf_in_database
    assert own and members is not None and members.nodes is None, refusal(
        facts.node,
        seen=f"mounts: {len(facts.pve_mounts)}, writable: {facts.is_writable}, corosync.conf in the database: "
        f"{facts.has_corosync_conf_in_database}",
        why="without all of it a stopped guest may not start again after the next restart",
        do="pytest runbook/ --hosts=... goes on from this state",
    )


def test_corosync_cannot_come_back(host, standalone):
    """Corosync is stopped, has no configuration, and nothing listens on its ports."""
    facts = host.pve
    assert not (facts.is_corosync_running or facts.leftovers or facts.corosync_ports), refusal(
        facts.node,
        seen=f"corosync is {facts.corosync.active}; files: {', '.join(facts.leftovers) or 'none'}",
        why="it could find its old peers again",
        do="pytest runbook/ --hosts=... goes on from this state",
    )


def test_pmxcfs_is_the_units_own(host, standalone):
    """/etc/pve is served by the unit pve-cluster itself."""
    pids = [p.pid for p in host.pve.pmxcfs_processes]
    main = host.pve.units["pve-cluster.service"].main_pid
    assert pids == [main], refusal(
        host.pve.node,
        seen=f"pmxcfs runs as {pids or 'nothing'}, pve-cluster's own is {main}",
        why="a hand-started one is not restarted when it dies",
        do="End it (`pkill -TERM -x pmxcfs`), then `systemctl start pve-cluster`",
    )


def test_services_run(host, standalone):
    """Proxmox's services run."""
    names = ("pve-cluster.service", "pvedaemon.service", "pveproxy.service", "pvestatd.service")
    down = [n for n in names if not host.pve.units[n].is_active]
    assert not down, refusal(
        host.pve.node,
        seen=f"{', '.join(down)} does not run",
        why="guests run on, but nobody can manage them",
        do="Look at `systemctl --failed` there",
    )
