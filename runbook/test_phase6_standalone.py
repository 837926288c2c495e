"""Phase 6: validate standalone operation, on every node by itself.

Not as in the article: `pvecm status` never says "Not a member of any cluster"; it says that corosync.conf does not
exist, and the web UI says "standalone" of a half-dismantled node too. So the whole predicate is asked. And no
production guest is stopped as a test: a throw-away one without a disk is started instead.

With --leave: the nodes that left are validated; then the others forget them (`pvecm delnode`), and are validated as
a quorate cluster without them. Until then there is a way back.

Sends, where it is still to be done:
    qm stop VMID
    qm destroy VMID
    qm create VMID --memory 16 --name pve-runbook-canary-TAG --kvm 0
    qm start VMID
    pvecm expected VOTES
    pvecm delnode NODE
"""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis import leaving, refusals, volumes
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal


@pytest.mark.leaving
def test_pvecm_knows_no_cluster(host):
    """pvecm says that there is no cluster configuration."""
    assert host.pve.pvecm.kind == "standalone", refusals.knows_a_cluster(host.pve)


@pytest.mark.leaving
def test_etc_pve_is_writable(host):
    """/etc/pve is mounted once and writable, with no corosync.conf in its database."""
    facts = host.pve
    own = len(facts.pve_mounts) == 1 and facts.is_writable and not facts.has_corosync_conf_in_database
    assert own, refusals.not_its_own_master(facts)


@pytest.mark.leaving
def test_corosync_cannot_come_back(host):
    """Corosync is stopped, disabled, without configuration, and nothing listens on its ports."""
    facts = host.pve
    alive = facts.is_corosync_running or facts.corosync.is_enabled or facts.leftovers or facts.corosync_ports
    assert not alive, refusals.corosync_could_return(facts)


@pytest.mark.leaving
def test_members_are_nobody(host):
    """pmxcfs lists no members."""
    members = host.pve.members
    assert members is not None and members.nodes is None, refusal(
        RefusalId.MEMBERS_ARE_LISTED,
        host.pve.node,
        seen=f"/etc/pve/.members lists {', '.join(members.nodes) if members and members.nodes else 'nothing readable'}",
        why="this pmxcfs still runs as a cluster member",
        do="Look at `systemctl status pve-cluster` there",
    )


@pytest.mark.leaving
def test_ha_is_off(host):
    """HA is off and disabled, and none of its files is left to act on."""
    facts = host.pve
    assert not (facts.ha_units_on or facts.has_watchdog_client or facts.ha_resources), refusals.ha_left(facts)


@pytest.mark.leaving
def test_every_guest_is_listed(host, survival):
    """Proxmox lists every guest of the baseline."""
    missing = sorted(survival.guests_of(host.pve.hostname) - set(host.pve.listed))
    assert not missing, refusals.unlisted_guests(host.pve, missing)


@pytest.mark.leaving
def test_storages_are_as_before(host, options):
    """The storages of this node's guests are active and writable, or the operator accepted that they do not answer."""
    wrong = volumes.storages_in_the_way(host.pve, options.accept)
    assert not wrong, refusals.storage_trouble(host.pve, wrong)


@pytest.mark.leaving
def test_guests_can_start_and_stop(host, canaries):
    """A throw-away guest was created, started, stopped and destroyed; none is left."""
    assert not host.pve.canaries, refusal(
        RefusalId.CANARY_IS_LEFT,
        host.pve.node,
        seen=f"a throw-away guest is left: {', '.join(map(str, host.pve.canaries))}",
        why="nothing of the test may stay",
        do="Run the same command line again: it is removed first",
    )


@pytest.mark.staying
def test_operator_lets_the_nodes_go(members, questions, approve):
    """The operator approves, by each name, that those that stay forget the nodes that left."""
    for name in members.still_listed():
        approve(questions.let_go(name))


@pytest.mark.staying
def test_those_that_left_are_forgotten(host, let_go, members):
    """The node counts those that left no more: nodelist, expected votes and membership are without them."""
    known = [name for name in members.is_let_go if name in members.known_to(host.pve)]
    assert not known, leaving.still_listed(host.pve, known)


@pytest.mark.staying
def test_those_that_stay_are_quorate(host, node, members):
    """The node is quorate with the others that stay, and its /etc/pve is writable."""
    members.settle(node)
    assert host.pve.is_quorate, leaving.not_quorate(host.pve)
    apart = leaving.apart([n.facts for n in members.staying])
    assert not apart, apart


def test_every_guest_runs_on(survival):
    """Every guest runs on: same process, same config; no node was rebooted."""
    lost = survival.losses(6)
    assert not lost, lost
