"""A rehearsal of every starting state tells what the run on the nodes themselves would have done."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pve_runbook.lab.scenarios import SCENARIOS
from sampling import some

pytestmark = pytest.mark.sweep

EVERY = 12
"""A state costs two whole runs."""
_OWN = re.compile(
    r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}|[0-9]{4}-[0-9-]{5}T[0-9:]{8}Z|ssh-ed25519 \S+|[0-9a-f]{64}|canary-[0-9a-f]{4}"
)
"""What is another one in every run: its id, times, keys, hashes of the database, the name of its canary."""


def told(stage: Any) -> tuple[list[tuple[object, ...]], dict[str, list[str]]]:
    """(title, node, outcome) of every step, and every command that changes something by node: as the record says."""
    [record] = [p for p in stage.records.iterdir() if (p / "journal.jsonl").exists()]
    events = [json.loads(line) for line in (record / "journal.jsonl").read_text().splitlines()]
    sent: dict[str, list[str]] = {}
    for event in events:
        if event["kind"] == "action-intent":
            line = " ".join(event["argv"]).replace(record.name, "RECORD")
            sent.setdefault(event["node"], []).append(_OWN.sub("-", line))
    return [(e["title"], e["node"], e["outcome"]) for e in events if e["kind"] == "step"], sent


@pytest.mark.parametrize("scenario", some(SCENARIOS, EVERY))
def test_a_rehearsal_foretells_the_run(three: Any, scenario: str) -> None:
    three.set(scenario)
    foretold, _ = three.run("--rehearse")
    assert three.control.mutating_count() == 0
    if not three.records.exists() or not list(three.records.iterdir()):
        assert foretold == 4  # a node is not reached: neither was the run
        assert three.run()[0] == 4
        return
    rehearsal = told(three)
    three.set(scenario)
    status, said = three.run()
    real = told(three)
    assert foretold == status, said
    assert rehearsal[0] == real[0]
    assert rehearsal[1] == real[1]
