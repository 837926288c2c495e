"""Phase 3: verify that the guests are intact.

Why: from here on nothing is repaired; what is broken now has to be found now. If disks are unavailable, stop.
Not as in the article: `qm list` and `pvesm status` say "running" and "active" of guests that stand still on a
read-only disk, and exit with 0; so every volume is looked up and every mount is read.
"""

from __future__ import annotations

from pve_runbook.work.refusal import refusal

TROUBLED = ("paused", "io-error", "internal-error", "guest-panicked", "suspended", "prelaunch")


def test_every_guest_is_listed(host, run):
    """Every guest of the baseline is listed by Proxmox's own tools."""
    expected = {v for v, g in run.baseline.guests.items() if g.node == host.pve.hostname}
    missing = sorted(expected - set(host.pve.listed))
    assert not missing, refusal(
        host.pve.node,
        seen=f"qm list and pct list do not show {', '.join(map(str, missing))}",
        why="a guest that Proxmox does not list cannot be managed after the split",
        do="Compare `ls /etc/pve/nodes/*/` with the backup in the record's folder",
    )


def test_web_ui_shows_every_guest(host, run):
    """Every guest of the baseline is in what the web UI shows."""
    expected = {v for v, g in run.baseline.guests.items() if g.node == host.pve.hostname}
    missing = sorted(expected - set(host.pve.shown_by_api))
    assert not missing, refusal(
        host.pve.node,
        seen=f"/cluster/resources does not show {', '.join(map(str, missing))}",
        why="the article's check: all guests appear in the web UI",
        do="Look at `pvesh get /cluster/resources` there",
    )


def test_no_guest_stands_still(host):
    """No guest is paused or stopped by an error of its disk."""
    troubled = {v: g.status for v, g in host.pve.listed.items() if g.status in TROUBLED}
    assert not troubled, refusal(
        host.pve.node,
        seen=f"guests stand still: {', '.join(f'{v} is {s}' for v, s in troubled.items())}",
        why="a guest that waits for its disk is not intact, and the dismantling would hide when that happened",
        do="Mend the storage and resume the guest, or shut it down, then run the same command line again",
    )


def test_every_volume_exists(host):
    """Every volume of every guest exists, those of snapshots too."""
    missing = host.pve.volumes_not_found
    assert not missing, refusal(
        host.pve.node,
        seen=f"volumes are not there: {', '.join(missing)}",
        why="if disks are unavailable, stop here",
        do="Find the disk before anything more is changed",
    )


def test_storages_are_usable(host):
    """The storages of this node's guests are active and writable."""
    broken = host.pve.unusable_storages
    assert not broken, refusal(
        host.pve.node,
        seen=f"storage trouble: {', '.join(f'{i} is {why}' for i, why in broken.items())}",
        why="guests that cannot write are not intact",
        do="Mend the storage first",
    )


def test_every_guest_runs_on(run):
    """Every guest runs on: same process, same config; no node was rebooted."""
    lost = run.losses(3)
    assert not lost, lost
