"""What a run did, in words that two runs have in common."""

from __future__ import annotations

import json
import re
from pathlib import Path

_OWN = re.compile(
    r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}|[0-9]{4}-[0-9-]{5}T[0-9:]{8}Z|ssh-ed25519 \S+|[0-9a-f]{64}|canary-[0-9a-f]{4}"
)
"""What is another one in every run: its id, times, keys, hashes of the database, the name of its canary."""


def told(record: Path) -> tuple[list[tuple[object, ...]], dict[str, list[str]]]:
    """(title, node, outcome) of every step, and every command that changes something by node: as the record says."""
    events = [json.loads(line) for line in (record / "journal.jsonl").read_text().splitlines()]
    sent: dict[str, list[str]] = {}
    for event in events:
        if event["kind"] == "action-intent":
            line = " ".join(event["argv"]).replace(record.name, "RECORD")
            sent.setdefault(event["node"], []).append(_OWN.sub("-", line))
    return [(e["title"], e["node"], e["outcome"]) for e in events if e["kind"] == "step"], sent
