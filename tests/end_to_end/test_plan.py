"""--plan names what a run sends, in its order; an approval holds for the plan it names and for no other."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plan_compared import does_not_fit, is_run_in_order, planned, sent, windows_of
from pve_lab.scenarios import SCENARIOS
from sampling import some

PROJECT = Path(__file__).parents[2]
ACTIONS = Path("pve_runbook", "actions", "registry.py")
TAKEN = ("half-dismantled",)
"""Starting states that the default suite tries."""
CHOSEN = some((s for s in SCENARIOS if s not in TAKEN), 8)
"""With the sweeps."""
ACCEPT = "--accept=shared-storage,ceph,locks,volumes"


@pytest.mark.parametrize("scenario", [*TAKEN, *(pytest.param(s, marks=pytest.mark.sweep) for s in CHOSEN)])
def test_a_run_sends_what_its_plan_names(start_lab: Callable[..., Any], run: Callable[..., Any], scenario: str) -> None:
    """All of it, in its order, where the run ends; the first part of it where a gate stops the run."""
    lab = start_lab(scenario)
    plan_run = run("runbook/", *lab.options, ACCEPT, "--plan")
    assert lab.mutating() == [] and sent(plan_run) == []
    if plan_run.record is None or not (plan_run.record / "plan.json").exists():
        assert plan_run.record is None or (plan_run.status in (1, 3) and "No plan can be made" in plan_run.text)
        ran = run("runbook/", *lab.options, ACCEPT, "--approve=all")
        assert ran.status != 0 and lab.mutating() == [], "without a plan no run goes on"
        return
    plan = planned(plan_run)
    told = windows_of(plan_run.said)
    assert list(told) == [c["node"] for c in plan["commands"] if c["name"] == "window"]
    for commands in told.values():
        assert {"pmxcfs -l", "rm -f /etc/pve/corosync.conf", "systemctl start pve-cluster.service"} <= set(commands)
    bound = f"--approve=all@{plan['hash']}" if plan_run.status == 0 else "--approve=all"
    ran = run("runbook/", *lab.options, ACCEPT, bound)
    assert does_not_fit(plan, ran, whole=ran.status == 0) == []
    if ran.status == 0:
        for node, commands in told.items():
            assert is_run_in_order(commands, [" ".join(x.argv) for x in lab.control.log(node) if x.via == "unit"])
    if plan_run.status == 1:
        assert ran.status == 1 and lab.mutating() == [], "a gate that failed for the plan stops the run"


def copy_of_the_project(folder: Path) -> Path:
    """The project with its package, to be changed."""
    for name in ("runbook", "checks", "plugins"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(PROJECT / name, folder / name)
    return folder


def refused(lab: Any, ran: Any, *words: str) -> None:
    """The run stopped at the freeze, said ``words``, and changed nothing."""
    assert ran.status == 1, ran.text
    [(title, message)] = ran.failed()
    assert title == "The operator approves the freeze, and has the consoles at hand."
    for word in words:
        assert word in message, message
    [answer] = [e for e in ran.journal() if e["kind"] == "approval"]
    assert answer["answer"] == "refused" and answer["how"].startswith("--approve=...@")
    assert lab.mutating() == []


@pytest.mark.sweep
def test_an_approval_holds_for_its_own_plan_only(
    start_lab: Callable[..., Any], run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A swapped node, a changed byte of an action: refused before the first change, with the difference."""
    lab = start_lab(nodes=2)
    plan = planned(run("runbook/", *lab.options, "--plan"))
    bound = f"--approve=all@{plan['hash']}"
    swapped = [f"--hosts={','.join(reversed(lab.hosts))}", lab.options[1]]
    ran = run("runbook/", *swapped, bound)
    refused(lab, ran, "nodes: pve1, pve2 -> pve2, pve1")
    other = copy_of_the_project(tmp_path / "other")
    actions = other / "plugins" / ACTIONS
    actions.write_text(
        actions.read_text().replace('"mask", "--runtime", "pvescheduler', '"mask", "--Runtime", "pvescheduler')
    )
    monkeypatch.setenv("PYTHONPATH", str(other / "plugins"))
    ran = run("runbook/", *lab.options, bound, project=other)
    refused(
        lab,
        ran,
        f"code: {ACTIONS} was changed",
        "- phase 0 pve1: systemctl mask --runtime pvescheduler.service",
        "+ phase 0 pve1: systemctl mask --Runtime pvescheduler.service",
    )


@pytest.mark.sweep
def test_a_run_that_was_cut_short_goes_on_within_its_plan(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    """The same command line, bound to the same plan: all that is left was named by it."""
    lab = start_lab(nodes=2)
    plan = planned(run("runbook/", *lab.options, "--plan"))
    bound = f"--approve=all@{plan['hash']}"
    lab.control.fault("fail", argv=("systemctl", "restart", "pvedaemon.service"))
    assert run("runbook/", *lab.options, bound).status == 1
    again = run("runbook/", *lab.options, bound)
    assert again.status == 0, again.text
    assert {e["how"] for e in again.journal() if e["kind"] == "approval"} == {f"--approve=...@{plan['hash']}"}


@pytest.mark.sweep
def test_what_changes_on_the_way_is_refused_at_the_next_approval(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    """Somebody stops corosync on the nodes after the freeze: a bound approval ends there, a bare one notes it."""
    lab = start_lab(nodes=2)
    last = ("systemctl", "disable", "pve-ha-crm.service")

    def other_hand() -> None:
        for node in lab.hosts:
            lab.control.fault("run", when="after", argv=last, node=node, command="systemctl stop corosync")

    plan = planned(run("runbook/", *lab.options, "--plan"))
    other_hand()
    ran = run("runbook/", *lab.options, f"--approve=all@{plan['hash']}")
    assert ran.status == 1
    [(title, message)] = ran.failed()
    assert title == "The operator approves that the authority counts its own vote alone."
    assert "systemctl stop corosync.service" in message and "- phase 2" in message
    lab.control.reset()
    other_hand()
    bare = run("runbook/", *lab.options, "--approve=all")
    assert bare.status == 0, bare.text
    assert any(e["kind"] == "note" and e["topic"] == "plan" and "- phase 2" in e["text"] for e in bare.journal())
    hows = {e["how"] for e in bare.journal() if e["kind"] == "approval"}
    assert hows == {"--approve, bound to no plan"}


@pytest.mark.sweep
def test_a_name_that_leads_to_another_machine_is_refused(
    start_lab: Callable[..., Any], run: Callable[..., Any], tmp_path: Path
) -> None:
    """Two names swapped in ~/.ssh/config after the plan was read."""
    lab = start_lab(nodes=2)
    plan = planned(run("runbook/", *lab.options, "--plan"))
    text = Path(lab.ssh_config).read_text()
    swapped = tmp_path / "swapped"
    swapped.write_text(
        re.sub(r"^Host (pve[12])$", lambda m: f"Host {'pve1' if m[1] == 'pve2' else 'pve2'}", text, flags=re.M)
    )
    ran = run("runbook/", lab.options[0], f"--ssh-config={swapped}", f"--approve=all@{plan['hash']}")
    refused(lab, ran, "node: - pve1 is pve1", "node: + pve1 is pve2")
