"""A plan, and what was sent, side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

PLACEHOLDER = re.compile(r"\b(RUN|ATTEMPT|LOCK|VMID|TAG)\b")


def planned(ran: Any) -> dict[str, Any]:
    """plan.json of a record."""
    found: dict[str, Any] = json.loads((ran.record / "plan.json").read_text())
    return found


def sent(ran: Any) -> list[tuple[str, str, list[str]]]:
    """(node, action, argv) of every command in the journal that changes a node, in its order."""
    events = ran.journal() if ran.record is not None else []
    return [(e["node"], e["action"], e["argv"]) for e in events if e["kind"] == "action-intent"]


def named(plan: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """(node, action, argv) of every command of a plan."""
    return [(c["node"], c["name"], c["argv"]) for c in plan["commands"]]


def fits(one: tuple[str, str, list[str]], other: tuple[str, str, list[str]]) -> bool:
    """Whether a command that was sent is the one that was planned, its placeholders filled."""
    pattern = PLACEHOLDER.sub(r"[^/ ]+", re.escape(" ".join(other[2])))
    if other[1] == "take-lock":
        pattern = pattern.replace("[^/ ]+", r"\S+")
    return one[:2] == other[:2] and re.fullmatch(pattern, " ".join(one[2])) is not None


def windows_of(text: str) -> dict[str, list[str]]:
    """Node → the commands that a plan's text names for its window, without those that have a condition."""
    found = {}
    for node, told in re.findall(r"  What window\.sh runs on (\S+?)[,:][^`]*```sh\n(.*?)  ```", text, re.DOTALL):
        runs = told.partition("  # Where a command")[0].splitlines()
        found[node] = [
            line[2:] for line in runs if re.match(r"  [^ #]", line) and not line.endswith("# see above when")
        ]
    return found


def is_run_in_order(told: list[str], ran: list[str]) -> bool:
    """Whether all that was told is among what ran, in its order."""
    rest = iter(ran)
    patterns = [re.compile(PLACEHOLDER.sub("[^/ ]+", re.escape(line)).replace(r"\*", r"\S*")) for line in told]
    return all(any(pattern.fullmatch(line) for line in rest) for pattern in patterns)


def does_not_fit(plan: dict[str, Any], ran: Any, *, whole: bool) -> list[str]:
    """Where what was sent leaves the plan: on each node, between the nodes that leave, between the stages."""
    found = []
    was, should = sent(ran), named(plan)
    nodes = [n["name"] for n in plan["nodes"]]
    orders: list[tuple[str, Callable[[tuple[str, str, list[str]]], bool]]] = [
        (f"on {n}", lambda c, n=n: c[0] == n) for n in nodes
    ]
    orders.append(("among the windows", lambda c: c[1] in ("put-window-script", "window")))
    for where, holds in orders:
        one, other = [c for c in was if holds(c)], [c for c in should if holds(c)]
        if whole and len(one) != len(other):
            found.append(f"{where}: {len(one)} were sent, {len(other)} planned")
        if len(one) > len(other):
            found.append(f"{where}: not planned: {one[len(other) :]}")
        found += [f"{where}: sent {a}, planned {b}" for a, b in zip(one, other, strict=False) if not fits(a, b)][:1]
    places = {name: i for i, name in enumerate(dict.fromkeys(c["stage"] for c in plan["commands"]))}
    stages: dict[str, list[int]] = {n: [places[c["stage"]] for c in plan["commands"] if c["node"] == n] for n in nodes}
    last = 0
    for node, action, _ in was:
        place = stages[node].pop(0) if stages[node] else last
        if place < last:
            found.append(f"{action} on {node} was sent after a later stage had begun")
        last = max(last, place)
    return found
