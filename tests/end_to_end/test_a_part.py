"""A part that was selected: it says that it is one, and what to type is the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

StartLab = Callable[..., Any]
Run = Callable[..., Any]


def test_a_phase_of_the_runbook(start_lab: StartLab, run: Run) -> None:
    lab = start_lab(nodes=2)
    part = run(
        "runbook/test_phase0_conditions.py",
        "runbook/test_phase0_freeze.py",
        *lab.options,
        "--approve=all",
        called_for=True,
    )
    assert part.status == 3
    assert "Not complete: what was selected passed, the rest of the runbook was not run." in part.text
    assert "the whole runbook goes on from here" in part.text
    whole = part.following()
    assert whole == ["runbook/", *lab.options, "--approve=all"]
    assert run(*whole, called_for=True).status == 0
    assert lab.changed_guests() == {}


def test_some_checks(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("standalone", nodes=1)
    ran = run("checks/", "-k", "clock", *lab.options, "--no-header")
    assert ran.status == 0
    assert "test_access.py" not in ran.said, "a step has a line in words, and no file's name"
    assert "What was selected passed; the cluster as a whole was not judged." in ran.text
    assert ran.following() == ["checks/", *lab.options, "--no-header"]
