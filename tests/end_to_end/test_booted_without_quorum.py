"""Whole runs over a node that was booted and had no quorum since: what its boot still waits for is held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.sweep


def test_the_network_is_not_reloaded_at_any_moment_of_a_run(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    """SDN changes are pending, and the interfaces file was edited: the plan, the question and what is left name it."""
    lab = start_lab("sdn-pending")
    checked = run("checks/", *lab.options)
    assert "pve-sdn-commit.service, pve-firewall-commit.service is waiting or running" in checked.text
    planned = run("runbook/", *lab.options, "--plan", called_for=True)
    plan = " ".join((planned.record / "plan.md").read_text().replace("\n  > ", " ").split())
    assert "systemctl stop pve-sdn-commit.service" in plan and "systemctl stop pve-firewall-commit.service" in plan
    assert "reload the network there (`ifreload -a`) under running guests" in plan
    ran = run("runbook/", *lab.options, "--approve=all", called_for=True)
    assert ran.status == 0, ran.text
    after = lab.control.state()
    assert {name: node.network_reloads for name, node in after.items()} == dict.fromkeys(after, 0)
    assert all(node.standalone for node in after.values())
    assert lab.control.run("pve2", "grep -c vmbr7 /etc/network/interfaces").stdout == "2\n"
    page = (ran.record / "report.html").read_text()
    assert "pve-sdn-commit was stopped before it acted" in page


def test_a_start_that_nobody_knows_ends_the_run_before_a_change(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    lab = start_lab("start-waits")
    ran = run("runbook/", *lab.options, "--approve=all", called_for=True)
    assert ran.status == 1, ran.text
    [(title, message)] = ran.failed()
    assert title.startswith("No start waits that would act")
    assert "site-sync.service" in message and "PVE-R168" in message
    assert lab.mutating() == []
