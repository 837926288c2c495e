"""Phase 3: verify that the guests are intact.

Why: from here on nothing is repaired; what is broken has to be found now. If disks are unavailable, stop.
Not as in the article: `qm list` and `pvesm status` say "running" and "active" of guests that stand still on a
read-only disk, and exit with 0; so every volume is looked up and every mount is read.

With --leave: the guests of the nodes that leave.
"""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis import refusals, volumes
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

pytestmark = pytest.mark.leaving


def test_every_guest_is_listed(host, survival):
    """Every guest of the baseline is listed by Proxmox's own tools."""
    missing = sorted(survival.guests_of(host.pve.hostname) - set(host.pve.listed))
    assert not missing, refusals.unlisted_guests(host.pve, missing)


def test_web_ui_shows_every_guest(host, survival):
    """Every guest of the baseline is in what the web UI shows."""
    missing = sorted(survival.guests_of(host.pve.hostname) - set(host.pve.shown_by_api))
    assert not missing, refusal(
        RefusalId.WEB_UI_MISSES_GUESTS,
        host.pve.node,
        seen=f"/cluster/resources does not show {', '.join(map(str, missing))}",
        why="the article's check: all guests appear in the web UI",
        do="Look at `pvesh get /cluster/resources` there",
    )


def test_no_guest_stands_still(host):
    """No guest is paused or stopped by an error of its disk."""
    assert not host.pve.standing_still, refusals.standing_guests(host.pve)


def test_every_volume_exists(host, cluster, options):
    """Every volume of every guest exists, those of snapshots too, or the operator accepted that it does not."""
    missing = volumes.in_the_way(host.pve, options.accept)
    refused = volumes.refuse(host.pve, [n.facts for n in cluster.nodes], missing)
    assert not refused, refused


def test_storages_are_usable(host, options):
    """The storages of this node's guests are active and writable, or the operator accepted that they do not answer."""
    wrong = volumes.storages_in_the_way(host.pve, options.accept)
    assert not wrong, refusals.storage_trouble(host.pve, wrong)


def test_every_guest_runs_on(survival):
    """Every guest runs on: same process, same config; no node was rebooted."""
    lost = survival.losses(3)
    assert not lost, lost
