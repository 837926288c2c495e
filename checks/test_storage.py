"""Storage: mounted and writable where guests live; read passively, nothing is mounted for it."""

from __future__ import annotations

from pve_runbook.work import refusals
from pve_runbook.work.refusal import refusal


def test_storages_are_writable(host):
    """No storage of this node's guests is mounted read-only."""
    broken = host.pve.read_only_storages()
    assert not broken, refusal(
        host.pve.node,
        seen=f"mounted read-only: {', '.join(f'{i} at {t}' for i, t in broken.items())}",
        why="the guests on it cannot write",
        do="Look at `dmesg` there, then remount",
    )


def test_there_is_space(host):
    """There is space for the configuration database."""
    for where in host.pve.free_space:
        enough = where.target == "/run" or where.available_kib >= 65_536
        assert enough, refusals.no_space(host.pve, where.target, where.available_kib)
