"""Guests: all there, running or stopped for a reason, with all their volumes."""

from __future__ import annotations

from pve_runbook.work.refusal import refusal

TROUBLED = ("paused", "io-error", "internal-error", "guest-panicked", "suspended", "prelaunch")


def test_every_guest_is_listed(host):
    """Every guest in the node's database is listed by Proxmox's own tools."""
    missing = sorted(set(host.pve.guests) - set(host.pve.listed))
    assert not missing, refusal(
        host.pve.node,
        seen=f"qm list and pct list do not show {', '.join(map(str, missing))}",
        why="a guest that is not listed cannot be managed",
        do="Compare with `ls /etc/pve/nodes/*/` there",
    )


def test_no_guest_stands_still(host):
    """No guest is paused or stopped by an error of its disk."""
    troubled = {v: g.status for v, g in host.pve.listed.items() if g.status in TROUBLED}
    assert not troubled, refusal(
        host.pve.node,
        seen=f"guests stand still: {', '.join(f'{v} is {s}' for v, s in troubled.items())}",
        why="they do not serve, though Proxmox lists them as running",
        do="Look at the storage, then `qm resume VMID`",
    )


def test_no_guest_is_locked(host):
    """No guest is locked."""
    locked = {g.vmid: g.lock for g in host.pve.guests.values() if g.lock}
    assert not locked, refusal(
        host.pve.node,
        seen=f"guests are locked: {', '.join(f'{v} ({why})' for v, why in locked.items())}",
        why="an operation on them is under way or was cut short",
        do="Wait for it; if nothing works on the guest any more, `qm unlock VMID`",
    )


def test_guests_have_their_volumes(host):
    """Every volume of every guest is on the node that owns the guest."""
    missing = host.pve.volumes_not_found
    assert not missing, refusal(
        host.pve.node,
        seen=f"volumes are not there: {', '.join(missing)}",
        why="the guest runs from somewhere else, or does not run after its next stop",
        do="Find the disk",
    )


def test_every_running_guest_has_its_config_here(host):
    """Every guest process belongs to a guest of this node."""
    strays = sorted(v for v in host.pve.running if v not in host.pve.guests)
    assert not strays, refusal(
        host.pve.node,
        seen=f"guests run here whose config is not here: {', '.join(map(str, strays))}",
        why="their config is on another node or lost",
        do="Find the config (`ls /etc/pve/nodes/*/*/`)",
    )
