"""What is told of whole runs on the system lab, and of a reading, is what was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import spent
from light import Packet, Reading, Weight, longest_hold
from light import table as table_of_readings

WINDOW = "runbook/test_phase4_corosync.py::test_node_leaves[1of1]"


def journal(folder: Path, events: Iterable[dict[str, Any]]) -> Path:
    """A journal with these events, each at its second."""
    file = folder / "journal.jsonl"
    lines = ({"n": n, "prev": "", **e, "t": f"2026-12-01T00:00:{e['t']:06.3f}Z"} for n, e in enumerate(events, 1))
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def asked(at: float, step: str | None, *tools: str) -> dict[str, Any]:
    """A batch to pve1 with a question for each of these tools."""
    probes = [{"q": n, "id": tool, "argv": [tool, "status"], "why": ""} for n, tool in enumerate(tools, int(at * 100))]
    return {"t": at, "kind": "batch", "step": step, "node": "pve1", "probes": probes}


def answered(at: float, step: str | None, batch: int, tool: str, seconds: float) -> dict[str, Any]:
    """One of its answers."""
    said = {"exit_status": 0, "stdout": "", "stderr": "", "seconds": seconds}
    return {"t": at, "kind": "probe", "step": step, "batch": batch, "node": "pve1", "id": tool, **said}


@pytest.fixture
def events() -> list[dict[str, Any]]:
    """A run of 10 s: 2 s of questions before its only step, then a window of 4 s and a question of 1 s, 6 s in all."""
    about = {"nodeid": WINDOW, "phase": 4, "phase_title": "remove corosync, then go on", "title": "", "node": "pve1"}
    intent = {"node": "pve1", "action": "window", "argv": ["x"], "why": "", "undo": "", "detached": True}
    outcome = {"node": "pve1", "exit_status": 0, "stdout": "", "stderr": "", "outcome": "done", "error": None}
    return [
        asked(0, None, "pvecm", "cat", "qm"),
        answered(2, None, 1, "pvecm", 2),
        {"t": 3, "kind": "step-start", "step": WINDOW, **about},
        {"t": 3, "kind": "action-intent", "step": WINDOW, **intent, "stdin_sha256": None},
        {"t": 7, "kind": "action", "step": WINDOW, "action_id": 4, "seconds": 4, **outcome},
        asked(7.5, WINDOW, "pvecm"),
        answered(8.5, WINDOW, 6, "pvecm", 1),
        {"t": 9, "kind": "step", "step": WINDOW, **about, "outcome": "passed", "seconds": 6, "message": ""},
    ]


def test_what_was_measured_can_be_kept(tmp_path: Path, events: list[dict[str, Any]]) -> None:
    record = spent.read(journal(tmp_path, events))
    ran = spent.Run("now", 10, 6, 1, 0.5, 0, spent.parts(record, 10), spent.Asked(2, 4, 2, 1))
    read = json.loads(spent.as_json({"runs": [ran], "cards": [(1.5, 0.2)]}))
    assert read["cards"] == [[1.5, 0.2]]
    assert next(part["waited"]["proxmox"] for part in read["runs"][0]["parts"]) == 4


def test_a_run_is_told_apart(tmp_path: Path, events: list[dict[str, Any]]) -> None:
    found = {part.name: part for part in spent.parts(spent.read(journal(tmp_path, events)), 10)}
    assert list(found) == ["4: remove corosync", spent.OUTSIDE, spent.TOGETHER, spent.WINDOWS]
    told = {name: (p.seconds, p.waited.proxmox, p.waited.round_trips, p.waited.own) for name, p in found.items()}
    assert told["4: remove corosync"] == told[spent.WINDOWS] == (6, 4, 1, 1)
    assert told[spent.OUTSIDE] == (4, 0, 2, 2)
    assert told[spent.TOGETHER] == (10, 4, 3, 3)


def test_questions_are_counted(tmp_path: Path, events: list[dict[str, Any]]) -> None:
    assert spent.asked(spent.read(journal(tmp_path, events))) == spent.Asked(2, 4, 2, 1)


def test_runs_are_compared_in_medians() -> None:
    runs = [
        spent.Run("now", wall, 4, 1, load, 0, (), spent.Asked(2, 4, 2, 1)) for wall, load in ((9, 1), (10, 7), (30, 3))
    ]
    told = spent.compared(runs, [(20, 2), (24, 4)]).splitlines()
    assert told[2] == "| now | 3 | 10.0 | 4.0 | 6.0 | 1.0 | 2 | 4 | 2 | 1 | 1.0 to 7.0 |"
    assert told[3].startswith("| the card, typed | 2 | 22.0 |")
    assert {line.count("|") for line in told if line} == {12}


def test_the_token_is_kept_from_its_coming_in_to_its_going_out() -> None:
    came_and_went = [(0.0, True), (1.0, False), (1.2, False), (1.5, True), (1.6, True), (4.0, False), (4.1, True)]
    packets = [Packet(at, is_from_node, 136) for at, is_from_node in came_and_went]
    assert longest_hold(packets[::-1]) == pytest.approx(0.3)
    assert longest_hold(packets[:2]) is None
    others = [Packet(1.3, True, 104), Packet(5.0, False, 104), Packet(9.0, True, 300)]
    assert longest_hold([*packets, *others]) == pytest.approx(0.3), "what is not the token"
    assert longest_hold([]) is None


def test_a_reading_is_what_is_more_than_at_rest() -> None:
    rest = {"pve1": Weight(10, 1, 0, 5, 0.7), "pve2": Weight(10, 2, 0, 1, 0.001)}
    busy = {"pve1": Weight(2, 9, 0.5, 2, 0.9), "pve2": Weight(2, 11, 0.4, 1.5, 0.003)}
    one = Reading("now", 1, 0, rest, busy)
    assert (one.processes(), one.logins_cpu(), round(one.node_cpu(), 6)) == (9, 0.5, 1.3)
    assert one.token(busy) == pytest.approx(3), "the first node keeps an idle token on purpose"
    assert math.isnan(one.token({"pve1": rest["pve1"]}))
    told = table_of_readings([one]).splitlines()
    assert told[2] == "| now | 1 | 2.0 | 9 | 0.50 | 1.30 | 1.0 | 3.0 | 3.0 | 1.0 |"
    assert {line.count("|") for line in told if line} == {11}
