"""What checks/ and runbook/ do with one starting state of the lab, as text that is read as a diff.

Left out is what is another in every run: ids, times, keys, and how often something was read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]

_OWN = (
    (re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}"), "RUN"),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+Z(-[a-z]+)?(-[0-9a-f]{4}\b)?"), "TIME"),
    (re.compile(r"canary-[0-9a-f]{4}"), "canary-TAG"),
    (re.compile(r"by=\S+"), "by=OPERATOR"),
    (re.compile(r"\bqm (create|start|stop|destroy) 90[0-9]{2}\b"), r"qm \1 VMID"),
)
_WORDS = {"passed": "ok", "failed": "FAILED", "unknown": "UNKNOWN", "not evaluated": "n/a"}


def transcript(title: str, record: Path | None, status: int) -> str:
    """One run: its exit status, the outcome of every gate, and what each node was sent, in its order."""
    lines = [f"## {title}: exit status {status}", ""]
    if record is None:
        return "\n".join([*lines, "No record: a node was not reached.", ""])
    events = [json.loads(line) for line in (record / "journal.jsonl").read_text().splitlines()]
    steps = [e for e in events if e["kind"] == "step"]
    lines += [*_gates([e for e in steps if e["outcome"] != "blocked"]), *_blocked(steps)]
    sent = [e for e in events if e["kind"] == "action-intent"]
    if title != "checks/":
        lines += _commands(sent, record.name)
    return "\n".join([*lines, ""])


def _gates(steps: Iterable[Event]) -> list[str]:
    """A line a gate and outcome, with the nodes that had it; in the order in which they were judged first."""
    found: dict[tuple[object, str, str], list[str]] = {}
    for step in steps:
        key = (step["phase"], str(step["title"]), str(step["outcome"]))
        found.setdefault(key, []).append(step["node"] or "all")
    return [
        f"{_WORDS[outcome]:<8} {'-' if phase is None else phase}  {title} [{', '.join(dict.fromkeys(nodes))}]"
        for (phase, title, outcome), nodes in found.items()
    ]


def _blocked(steps: Iterable[Event]) -> list[str]:
    count = sum(e["outcome"] == "blocked" for e in steps)
    return [f"blocked  {count} steps"] if count else []


def _commands(sent: Iterable[Event], record: str) -> list[str]:
    by_node: dict[str, list[str]] = {}
    for event in sent:
        line = " ".join(event["argv"]).replace(record, "RECORD")
        for pattern, name in _OWN:
            line = pattern.sub(name, line)
        by_node.setdefault(event["node"], []).append(f"    {line}")
    if not by_node:
        return ["", "Nothing is sent that changes a node."]
    lines = []
    before: dict[tuple[str, ...], str] = {}
    for node, commands in sorted(by_node.items()):
        same = before.setdefault(tuple(commands), node)
        lines += ["", *([f"{node}: the same as {same}"] if same != node else [f"{node}:", *commands])]
    leaving = [str(e["node"]) for e in sent if e["action"] == "window"]
    return [*lines, *(["", f"leaving: {', '.join(leaving)}"] if leaving else [])]
