"""Phase 6: validate standalone operation, on every node by itself.

Not as in the article: `pvecm status` never says "Not a member of any cluster"; it says that corosync.conf does not
exist, and the web UI says "standalone" of a half-dismantled node too. So the whole predicate is asked. And no
production guest is stopped as a test: a throw-away one without a disk is started instead.
"""

from __future__ import annotations

from pve_runbook.work import refusals
from pve_runbook.work.refusal import refusal


def test_pvecm_knows_no_cluster(host):
    """pvecm says that there is no cluster configuration."""
    assert host.pve.pvecm.kind == "standalone", refusals.knows_a_cluster(host.pve)


def test_etc_pve_is_writable(host):
    """/etc/pve is mounted once and writable, with no corosync.conf in its database."""
    facts = host.pve
    own = len(facts.pve_mounts) == 1 and facts.is_writable and not facts.has_corosync_conf_in_database
    assert own, refusals.not_its_own_master(facts)


def test_corosync_cannot_come_back(host):
    """Corosync is stopped, disabled, without configuration, and nothing listens on its ports."""
    facts = host.pve
    alive = facts.is_corosync_running or facts.corosync.is_enabled or facts.leftovers or facts.corosync_ports
    assert not alive, refusals.corosync_could_return(facts)


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
    assert not (facts.ha_units_on or facts.has_watchdog_client or facts.ha_resources), refusals.ha_left(facts)


def test_every_guest_is_listed(host, run):
    """Proxmox lists every guest of the baseline."""
    missing = sorted(run.guests_of(host.pve.hostname) - set(host.pve.listed))
    assert not missing, refusals.unlisted_guests(host.pve, missing)


def test_storages_are_as_before(host):
    """The storages of this node's guests are active and writable."""
    assert not host.pve.unusable_storages, refusals.storage_trouble(host.pve)


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
