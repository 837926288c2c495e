"""Phase 6: validate standalone operation, on every node by itself.

Not as in the article: `pvecm status` never says "Not a member of any cluster"; it says that corosync.conf does not
exist, and the web UI says "standalone" of a half-dismantled node too. So the whole predicate is asked. And no
production guest is stopped as a test: a throw-away one without a disk is started instead.
"""

from __future__ import annotations

from pve_runbook.work.refusal import refusal


def test_pvecm_knows_no_cluster(host):
    """pvecm says that there is no cluster configuration."""
    kind = host.pve.pvecm.kind
    assert kind == "standalone", refusal(
        host.pve.node,
        seen=f"pvecm status finds this node to be: {kind}",
        why="it is the one check that tells a standalone node from a half-dismantled one",
        do="Run the same command line again: it goes on from the state it finds",
    )


def test_etc_pve_is_writable(host):
    """/etc/pve is mounted once and writable, with no corosync.conf in its database."""
    facts = host.pve
    assert len(facts.pve_mounts) == 1 and facts.is_writable and not facts.has_corosync_conf_in_database, refusal(
        facts.node,
        seen=f"{len(facts.pve_mounts)} mounts on /etc/pve, writable: {facts.is_writable}, corosync.conf in the "
        f"database: {facts.has_corosync_conf_in_database}",
        why="without all three a stopped guest cannot be started again after the next restart",
        do="Run the same command line again: it goes on from the state it finds",
    )


def test_corosync_cannot_come_back(host):
    """Corosync is stopped, disabled, without configuration, and nothing listens on its ports."""
    facts = host.pve
    alive = facts.is_corosync_running or facts.corosync.is_enabled or facts.leftovers or facts.corosync_ports
    assert not alive, refusal(
        facts.node,
        seen=f"corosync is {facts.corosync.active} and {facts.corosync.file_state}; files: "
        f"{', '.join(facts.leftovers) or 'none'}; ports: {facts.corosync_ports or 'none'}",
        why="it could find its old peers again, and the newest database would overwrite the others'",
        do="Run the same command line again: it goes on from the state it finds",
    )


def test_members_are_nobody(host):
    """pmxcfs lists no members."""
    members = host.pve.members
    assert members is not None and members.nodes is None, refusal(
        host.pve.node,
        seen=f"/etc/pve/.members lists {', '.join(members.nodes) if members and members.nodes else 'nothing readable'}",
        why="this pmxcfs still runs as a cluster member",
        do="Look at `systemctl status pve-cluster` there",
    )


def test_ha_is_off(host):
    """HA is off and disabled, and none of its files is left to act on."""
    facts = host.pve
    on = [
        u for u in ("pve-ha-lrm.service", "pve-ha-crm.service") if facts.units[u].is_active or facts.units[u].is_enabled
    ]
    assert not on and not facts.has_watchdog_client and not facts.ha_resources, refusal(
        facts.node,
        seen=f"HA: {', '.join(on) or 'units off'}; watchdog client: {facts.has_watchdog_client}; resources: "
        f"{', '.join(facts.ha_resources) or 'none'}",
        why="a standalone node with HA declares its former peers dead and starts their guests",
        do="Run the same command line again: phase 0 switches it off",
    )


def test_every_guest_is_listed(host, run):
    """Proxmox lists every guest of the baseline, with its config."""
    expected = {v for v, g in run.baseline.guests.items() if g.node == host.pve.hostname}
    missing = sorted(expected - set(host.pve.listed))
    assert not missing, refusal(
        host.pve.node,
        seen=f"qm list and pct list do not show {', '.join(map(str, missing))}",
        why="their configs are on the control host, in the record's backups folder",
        do="Compare `ls /etc/pve/nodes/*/` with the backup",
    )


def test_storages_are_as_before(host):
    """The storages of this node's guests are active and writable."""
    broken = host.pve.unusable_storages
    assert not broken, refusal(
        host.pve.node,
        seen=f"storage trouble: {', '.join(f'{i} is {why}' for i, why in broken.items())}",
        why="it was not so before the first change",
        do="Look at `pvesm status` and `dmesg` there",
    )


def test_guests_can_start_and_stop(host, canaries):
    """A throw-away guest was created, started, stopped and destroyed; none is left."""
    assert not host.pve.canaries, refusal(
        host.pve.node,
        seen=f"a throw-away guest is left: {', '.join(map(str, host.pve.canaries))}",
        why="nothing of the test may stay",
        do="Run the same command line again: it is removed first",
    )


def test_every_guest_runs_on(run):
    """Every guest runs on: same process, same config; no node was rebooted."""
    lost = run.losses(6)
    assert not lost, lost
