"""Phase 3: verify that the guests are intact.

Why: from here on nothing is repaired; what is broken now has to be found now. If disks are unavailable, stop.
Not as in the article: `qm list` and `pvesm status` say "running" and "active" of guests that stand still on a
read-only disk, and exit with 0; so every volume is looked up and every mount is read.
"""

from __future__ import annotations

from pve_runbook.work import refusals
from pve_runbook.work.refusal import refusal


def test_every_guest_is_listed(host, run):
    """Every guest of the baseline is listed by Proxmox's own tools."""
    missing = sorted(run.guests_of(host.pve.hostname) - set(host.pve.listed))
    assert not missing, refusals.unlisted_guests(host.pve, missing)


def test_web_ui_shows_every_guest(host, run):
    """Every guest of the baseline is in what the web UI shows."""
    missing = sorted(run.guests_of(host.pve.hostname) - set(host.pve.shown_by_api))
    assert not missing, refusal(
        host.pve.node,
        seen=f"/cluster/resources does not show {', '.join(map(str, missing))}",
        why="the article's check: all guests appear in the web UI",
        do="Look at `pvesh get /cluster/resources` there",
    )


def test_no_guest_stands_still(host):
    """No guest is paused or stopped by an error of its disk."""
    assert not host.pve.standing_still, refusals.standing_guests(host.pve)


def test_every_volume_exists(host):
    """Every volume of every guest exists, those of snapshots too."""
    assert not host.pve.volumes_not_found, refusals.missing_volumes(host.pve)


def test_storages_are_usable(host):
    """The storages of this node's guests are active and writable."""
    assert not host.pve.unusable_storages, refusals.storage_trouble(host.pve)


def test_every_guest_runs_on(run):
    """Every guest runs on: same process, same config; no node was rebooted."""
    lost = run.losses(3)
    assert not lost, lost
