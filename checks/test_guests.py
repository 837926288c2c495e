"""Guests: all there, running or stopped for a reason, with all their volumes."""

from __future__ import annotations

from pve_runbook.work import refusals
from pve_runbook.work.compared import two_owners


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


def test_guests_have_their_volumes(host):
    """Every volume of every guest is on the node that owns the guest."""
    assert not host.pve.volumes_not_found, refusals.missing_volumes(host.pve)


def test_every_running_guest_has_its_config_here(host):
    """Every guest process belongs to a guest of this node."""
    assert not host.pve.strays, refusals.stray_guests(host.pve)


def test_every_guest_has_one_owner(cluster):
    """Every guest has one owner: no id is on two nodes."""
    problem = two_owners([n.facts for n in cluster.nodes])
    assert not problem, problem
