"""Clusters that ran, as `--save-facts` kept them: where a majority is quorate together, nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FACTS = Path(__file__).parents[1] / "captures" / "facts"
LAW = "No majority is quorate together, or the operator said why the cluster is taken apart anyway."


@pytest.mark.parametrize(
    ("name", "off", "more", "words"),
    [
        ("one-off", ("pve3",), ("--absent=pve3",), "HEALTHY WITHOUT A MEMBER: the cluster works without pve3"),
        *(
            pytest.param(*case, marks=pytest.mark.sweep)
            for case in (
                ("quorate-quiet", (), (), "WAIT: wait five minutes"),
                ("one-separated", (), (), "ONE NODE IS OUT: pve3 is out"),
            )
        ),
    ],
)
def test_the_runbook_stops_at_the_law(
    start_lab: Callable[..., Any],
    run: Callable[..., Any],
    name: str,
    off: tuple[str, ...],
    more: tuple[str, ...],
    words: str,
) -> None:
    lab = start_lab(facts=FACTS / f"{name}.json")
    lab.hosts = [h for h in lab.hosts if h not in off]
    ran = run("runbook/", *lab.options, "--approve=all", *more, called_for=True)
    assert ran.status == 1
    [(failed, message)] = ran.failed()
    assert failed == LAW
    assert words in message and "--anyway='REASON'" in message
    assert lab.mutating() == []


@pytest.mark.sweep
def test_a_member_that_is_off_is_asked_for_before_anything_else(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    """Without --absent the run stops one gate earlier, and changes nothing either."""
    lab = start_lab(facts=FACTS / "one-off.json")
    lab.hosts.remove("pve3")
    ran = run("runbook/", *lab.options, "--approve=all", called_for=True)
    assert ran.status == 1
    [(failed, message)] = ran.failed()
    assert failed == "--hosts names every member of the cluster, and nobody else."
    assert "pve3" in message
    assert lab.mutating() == []
