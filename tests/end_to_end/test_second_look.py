"""What passes by itself is looked at again before it is called unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

StartLab = Callable[..., Any]
Run = Callable[..., Any]
OWNERS = "Every guest process belongs to a guest of this node."
LOOKS = 11
"""The first, and ten more."""


def looks(ran: Any) -> dict[str, int]:
    """Node → how often its guests' processes were searched."""
    events = ran.journal()
    answers = {e["n"] for e in events if e["kind"] == "probe" and e["id"] == "guest_processes"}
    found = [e["node"] for e in events if e["n"] in answers]
    for event in events:
        if event["kind"] == "unchanged":
            found += [event["node"] for n in (*event["same_as"], *event["as_others"]) if n in answers]
    return {node: found.count(node) for node in found}


def test_a_guest_that_is_just_starting(start_lab: StartLab, run: Run) -> None:
    """`kvm -daemonize` is two processes until the guest is ready."""
    lab = start_lab("guest-starting")
    ran = run("checks/", *lab.options)
    assert ran.status == 0, ran.text
    assert 1 < looks(ran)["pve1"] < LOOKS
    assert looks(ran)["pve2"] == looks(ran)["pve3"] == 1


@pytest.mark.sweep
def test_a_guest_that_stays_two_processes(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("guest-twice")
    ran = run("checks/", *lab.options)
    assert ran.status == 3
    assert looks(ran)["pve1"] == LOOKS
    [step] = [e for e in ran.journal() if e["kind"] == "step" and e["title"] == OWNERS and e["node"] == "pve1"]
    assert step["outcome"] == "unknown"
    assert "Two processes are guest 101" in step["message"]


def test_answers_that_are_long_on_their_way_are_no_clocks_that_disagree(start_lab: StartLab, run: Run) -> None:
    """Half a minute goes by after each node said its time."""
    lab = start_lab("own-link")
    for node in lab.hosts:
        lab.control.fault("run", when="after", argv=("date",), node=node, command="sleep 30")
    ran = run("checks/", *lab.options)
    assert ran.status == 0, ran.text
    assert [f.what for f in lab.control.faults_fired()] == ["run"] * 3
