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


@pytest.mark.parametrize("scenario", ["startall-waiting", "startall-queued", "ha-reset"])
def test_the_start_of_all_guests_is_held_over_the_windows_and_let_go_by_name(
    start_lab: Callable[..., Any], run: Callable[..., Any], scenario: str
) -> None:
    """No guest starts before every node has left; then all that are marked, and the end says which."""
    lab = start_lab(scenario)
    planned = run("runbook/", *lab.options, "--plan", called_for=True)
    plan = " ".join((planned.record / "plan.md").read_text().replace("\n  > ", " ").split())
    assert "it is HELD until every node has left" in plan and "201 (mail201), 202 (ci202), 210 (files210)" in plan
    assert plan.index("--signal=SIGSTOP pve-guests.service") < plan.rindex("--signal=SIGCONT pve-guests.service")
    ran = run("runbook/", *lab.options, "--approve=all", called_for=True)
    assert ran.status == 0, ran.text
    after = lab.control.state()
    assert sorted(v for v, guest in after["pve2"].guests.items() if guest.running) == [201, 202, 210]
    said = " ".join(ran.text.split())
    assert "pve2: 3 of 3 guests were started: 201 (mail201), 202 (ci202), 210 (files210)" in said
    assert ("no guest ran at the start" in said) is (scenario == "ha-reset")
    assert "every guest ran on" not in said and "0/0 same pid" not in said
    assert "qm start 203" in said, "nobody starts it, and the end has its line"
    asked = [e["text"] for e in ran.journal() if e["kind"] == "approval"]
    assert any(text.startswith("GUESTS START on ") for text in asked)
    sent = [e["action"] for e in ran.journal() if e["kind"] == "action-intent"]
    assert sent.index("hold-startall") < sent.index("window")
    assert sent.index("window") < sent.index("release-startall") < sent.index("start-scheduler")
