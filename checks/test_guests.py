"""Guests: all there, running or stopped for a reason, with all their volumes."""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis import refusals, refusals_cluster, volumes
from pve_runbook.diagnosis.agreement import two_owners
from pve_runbook.facts.guest_starts import by_name
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal
from pve_runbook.terminal.screen import WARNING


def test_every_guest_is_listed(host):
    """Every guest in the node's database is listed by Proxmox's own tools."""
    missing = sorted(set(host.pve.guests) - set(host.pve.listed))
    assert not missing, refusals.unlisted_guests(host.pve, missing)


def test_no_guest_stands_still(host):
    """No guest is paused or stopped by an error of its disk."""
    assert not host.pve.standing_still, refusals.standing_guests(host.pve)


def test_no_guest_is_locked(host):
    """No guest is locked."""
    assert not host.pve.locked, refusals.locked_guests(host.pve)


def test_guests_have_their_volumes(host, cluster):
    """Every volume of every guest is on the node that owns the guest."""
    refused = volumes.refuse(host.pve, [n.facts for n in cluster.nodes], host.pve.volumes_missing)
    assert not refused, refused


def test_no_loose_volume_is_gone(host):
    """Unused disks, cloud-init drives and ISO files are there too."""
    loose = volumes.told(host.pve)
    if loose:
        pytest.skip(f"{WARNING}not there, and nothing is lost with it: {loose}")


def test_every_running_guest_has_its_config_here(host):
    """Every guest process belongs to a guest of this node."""
    assert not host.pve.strays, refusals.stray_guests(host.pve)
    assert not host.pve.pids_apart, refusals_cluster.pids_apart(host.pve)


def test_no_guest_waits_for_quorum(host):
    """No guest is down and waits for quorum to be started."""
    waiting = host.pve.starts().startall
    assert not waiting, refusal(
        RefusalId.GUESTS_WAIT_FOR_QUORUM,
        host.pve.node,
        seen=f"guests are down, and start the moment the node has quorum: {by_name(waiting)}",
        why="the node booted without quorum; whatever gives it quorum, a repair or the runbook, starts them",
        do="See that this is what you want (`qm config VMID`, `onboot`), and that none of them runs elsewhere",
    )


def test_no_guest_is_down_that_nobody_starts(host):
    """No guest is down that HA would start, or that was down since the node's boot, while nobody starts it."""
    starts = host.pve.starts()
    assert not starts.unstarted, refusals_cluster.nobody_starts(host.pve, starts)
    if starts.missed:
        pytest.skip(f"{WARNING}marked to start at boot, and down: {by_name(starts.missed)}")


def test_nothing_else_waits_for_quorum(host):
    """No other start waits that would change the node the moment it has quorum."""
    assert not host.pve.held_starts, refusals_cluster.starts_wait(host.pve, host.pve.held_starts)


def test_every_guest_has_one_owner(cluster):
    """Every guest has one owner: no id is on two nodes."""
    problem = two_owners([n.facts for n in cluster.nodes])
    assert not problem, problem
