"""--rehearse: real nodes are only read, and their twin foretells the run on them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from untouched import Watch

pytestmark = pytest.mark.syslab

_OWN = re.compile(
    r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}|[0-9]{4}-[0-9-]{5}T[0-9:]{8}Z|ssh-ed25519 \S+|[0-9a-f]{64}|canary-[0-9a-f]{4}"
)
"""What is another one in every run: its id, times, keys, hashes of the database, the name of its canary."""


def told(record: Any) -> tuple[list[tuple[object, ...]], dict[str, list[str]]]:
    """(title, node, outcome) of every step, and every command that changes something by node: as the record says."""
    events = [json.loads(line) for line in (record / "journal.jsonl").read_text().splitlines()]
    sent: dict[str, list[str]] = {}
    for event in events:
        if event["kind"] == "action-intent":
            line = " ".join(event["argv"]).replace(record.name, "RECORD")
            sent.setdefault(event["node"], []).append(_OWN.sub("-", line))
    return [(e["title"], e["node"], e["outcome"]) for e in events if e["kind"] == "step"], sent


@pytest.mark.parametrize("state", ["broken", "half-dismantled"])
def test_a_rehearsal_foretells_the_run(stage: Any, state: str) -> None:
    """The same steps end the same way, with the same commands; until then nothing changed on the nodes."""
    stage.set(state)
    watch = Watch(stage)
    foretold, said = stage.run("runbook/", "--approve=all", "--rehearse")
    assert foretold == 0, said[-4000:]
    assert watch.differences() == []
    [rehearsal] = stage.records.iterdir()
    status, said = stage.run("runbook/", "--approve=all")
    assert status == foretold, said[-4000:]
    [run] = [record for record in stage.records.iterdir() if record != rehearsal]
    assert told(rehearsal) == told(run)
