"""The card with what is left of the work, typed at the nodes' consoles, takes them where the tool takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pve_lab.control import NodeTruth
from typed_card import typed


def type_it(lab: Any, card: str) -> None:
    """Type every block of the card at every node that it names, in their order."""
    for node, lines in typed(card):
        said = lab.control.run(node, lines)
        assert said.exit_status == 0, (node, lines, said)
        if "systemd-run" in lines:
            assert said.stdout.splitlines()[-1] == "done", said


def end(lab: Any) -> dict[str, NodeTruth]:
    """What is true of the nodes, without what differs from one run to the next, or from one moment of the lab's start:
    its guests have started, and were made, before that."""
    return {
        name: replace(
            truth,
            version=0,
            tasks=(),
            guests={vmid: replace(guest, start=None, sha256="") for vmid, guest in truth.guests.items()},
        )
        for name, truth in lab.control.state().items()
    }


@pytest.mark.sweep
@pytest.mark.parametrize("scenario", ["broken", "ha-quorate-9"])
def test_the_card_ends_where_the_tool_ends(
    start_lab: Callable[..., Any], run: Callable[..., Any], scenario: str
) -> None:
    lab = start_lab(scenario, nodes=2)
    planned = run("runbook/", *lab.options, "--plan", "--canary=off")
    assert planned.status == 0, planned.text
    type_it(lab, (planned.record / "by-hand.md").read_text())
    assert lab.changed_guests() == {}
    typed = end(lab)
    assert all(node.standalone for node in typed.values())
    lab.control.reset()
    assert run("runbook/", *lab.options, "--approve=all", "--canary=off").status == 0
    assert typed == end(lab)


@pytest.mark.sweep
def test_the_card_on_a_node_ends_a_run_that_was_lost(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    """A run stops before its first window, and its machine is gone: the card beside the backup has what is left."""
    lab = start_lab(nodes=2)
    stopped = run("runbook/", *lab.options, "--approve=0,2")
    assert stopped.status == 1, stopped.text
    [work] = {e["work"] for e in stopped.journal() if e["kind"] == "run"}
    cards = {n: lab.control.run(n, f"cat /var/lib/pve-runbook/{work}/by-hand.md").stdout for n in lab.hosts}
    assert len(set(cards.values())) == 1
    card = cards[lab.hosts[0]]
    assert "sqlite3" not in card.partition("```sh")[2].partition("```")[0], "no backup is made anew"
    type_it(lab, card)
    assert lab.changed_guests() == {}
    truths = lab.control.state()
    assert all(node.standalone for node in truths.values())
    assert {n: t.units["pvescheduler.service"] for n, t in truths.items()} == {
        n: t.units["pvescheduler.service"] for n, t in lab.before.items()
    }
    assert lab.control.run(lab.hosts[0], "ls -A /var/lib/pve-runbook").stdout.split() == [work]
