"""A run that was not approved: what the refusal names is typed, and the run ends."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from at_a_terminal import at_a_terminal

pytestmark = pytest.mark.sweep

StartLab = Callable[..., Any]
Run = Callable[..., Any]


def over(lab: Any) -> bool:
    """Every node has left, and every guest has its process."""
    return all(n.standalone for n in lab.control.state().values()) and lab.changed_guests() == {}


def test_without_a_terminal_the_option_that_is_named(start_lab: StartLab, run: Run) -> None:
    lab = start_lab(nodes=2)
    refused = run("runbook/", *lab.options, "--approve=0")
    said = refused.failed()[0][1]
    assert refused.status == 1 and "[PVE-R142]" in said
    named = re.findall(r"--approve=[0-9a-z]+", said)
    assert named[-1] == "--approve=all"
    ran = run("runbook/", *lab.options, named[-1])
    assert ran.status == 0, ran.text
    assert over(lab)


def test_at_a_terminal_the_same_command_line(start_lab: StartLab, tmp_path: Path) -> None:
    lab = start_lab(nodes=2)
    status, screen = at_a_terminal(lab, tmp_path, ["no"])
    said = " ".join(screen.split())
    assert status == 1 and "[PVE-R143]" in said and "Run the same command line again when you are ready" in said
    status, screen = at_a_terminal(lab, tmp_path, ["labcluster", "labcluster", "pve1", "pve2", "labcluster"])
    assert status == 0, screen
    assert over(lab)


def test_of_another_plan_the_hash_that_is_named(start_lab: StartLab, run: Run) -> None:
    lab = start_lab(nodes=2)
    planned = re.search(r"--approve=all@[0-9a-f]{12}", run("runbook/", *lab.options, "--plan").text)
    assert planned is not None
    lab.control.run("pve2", "systemctl stop pvescheduler")
    refused = run("runbook/", *lab.options, planned[0])
    said = refused.failed()[0][1]
    assert refused.status == 1 and "[PVE-R144]" in said
    assert "Read what would be sent now with --plan in place of --approve" in said
    seen = run("runbook/", *lab.options, "--plan").text
    [named] = set(re.findall(r"--approve=all@[0-9a-f]{12}", said))
    assert named in seen and named != planned[0]
    ran = run("runbook/", *lab.options, named)
    assert ran.status == 0, ran.text
    assert over(lab)
