"""How much a whole run asks a node: what grows here costs every node of every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from pve_runbook.probes.probe import IN_PERL

WAITS = ("pause", "window_status", "window_log", "proc_stats")
"""What is asked again and again while something is waited for: how often depends on the machine."""

MOST = {
    "requests": 55,
    "questions": 560,
    "whole readings": 9,
    "pvecm": 12,
    "other tools of Proxmox": 16,
}
"""Of one node; before each of them was counted it was 100, 1500, 31, 31 and 46."""


def batches(journal: Iterable[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(node, questions) of each request."""
    known: dict[int, dict[str, Any]] = {}
    for event in journal:
        if event["kind"] == "batch":
            new = (asked for asked in event["probes"] if isinstance(asked, dict))
            known.update((asked["q"], asked) for asked in new)
            yield event["node"], [asked if isinstance(asked, dict) else known[asked] for asked in event["probes"]]


def counts(journal: Iterable[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Node → what it was asked."""
    found: dict[str, Counter[str]] = {}
    for node, asked in batches(journal):
        names = [one["id"].partition(":")[0] for one in asked]
        if set(names) <= set(WAITS):
            continue
        tools = [one["argv"][0] for one in asked if one["argv"][0] in IN_PERL]
        found.setdefault(node, Counter()).update(
            {
                "requests": 1,
                "questions": len(asked),
                "whole readings": "hostname" in names,
                "pvecm": tools.count("pvecm"),
                "other tools of Proxmox": len(tools) - tools.count("pvecm"),
            }
        )
    return found


@pytest.mark.parametrize("scenario", ["broken"])
def test_a_run_asks_a_node_no_more_than_it_needs(
    start_lab: Callable[..., Any], run: Callable[..., Any], scenario: str
) -> None:
    lab = start_lab(scenario)
    ran = run("runbook/", *lab.options, "--approve=all", called_for=True)
    assert ran.status == 0, ran.text
    found = counts(ran.journal())
    assert set(found) == set(lab.hosts)
    for node, asked in found.items():
        assert {what: number for what, number in asked.items() if number > MOST[what]} == {}, (node, asked)
