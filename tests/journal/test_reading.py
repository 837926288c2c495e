"""What was written is read as it was; what was not written by us is read all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pve_runbook.journal import events
from pve_runbook.journal.events import Entry, Event, Unknown
from pve_runbook.journal.journal import FIRST, Journal
from pve_runbook.journal.lines import encode
from pve_runbook.journal.reading import decode, entry_of
from pve_runbook.journal.rows import Asked, Command, GuestRow, GuestTruth, Identity, NodeRow
from pve_runbook.procedure.unfinished import Unfinished

GUEST = GuestTruth(101, "web", "qemu", "pve1", 812, 4711, "c" * 64, 2, 2)
STEP: dict[str, Any] = {"nodeid": "t", "phase": 0, "phase_title": "freeze", "title": "A step.", "node": None}
BASELINE = events.Baseline(
    guests=(GUEST,),
    boots={"pve1": "b"},
    network={"pve1": {"/etc/hosts": "0" * 64}},
    members=("pve1",),
    clusters={"pve1": "prod"},
    standalone=(),
    scheduled=("pve1",),
    quorate=(),
    leaving=(),
)
ONE_OF_EACH: list[Event] = [
    events.Run(
        run="r",
        work=None,
        mode="plan",
        folder="/r",
        cluster="prod",
        hosts=("pve1",),
        operator="änna",
        ticket=None,
        code="git",
        command="pytest",
        version="0.1.0",
    ),
    events.Continues(folder="f", head=FIRST),
    events.StepStart(**STEP),
    events.Step(**STEP, outcome="not evaluated", seconds=0.5, message=""),
    events.PhaseLine(phase=0, text="guests 1/1"),
    events.Note(topic="left", text="HA stays off", node=None),
    events.Batch(node="pve1", probes=(Asked(1, "uid", ("id", "-u"), "Who?"), 1)),
    events.Probe(batch=7, node="pve1", id="uid", exit_status=0, stdout="\udcff\n", stderr="", seconds=1),
    events.Probe(batch=7, node="pve1", id="uid", error="no answer", seconds=0.1),
    events.Unchanged(batch=7, node="pve1", same_as=(8,), as_others=(), seconds=0.1),
    events.Refused(node="pve1", batch=7, why="not one of ours"),
    events.GateCommand(node="pve1", command="true", exit_status=None, stdout="", stderr="", seconds=0.1),
    events.Approval(phase=0, subject="prod", text="?", answer="approved", how="typed", by="anna", at="now"),
    events.Plan(
        hash="0" * 12,
        commands=(Command(0, "freeze", "pve1", "stop", ("systemctl",), "why", "undo", None),),
        nodes=(Identity("pve1", "pve1", "b"),),
    ),
    events.ActionIntent(
        node="pve1", action="stop", argv=("a", "b"), why="w", undo="u", detached=True, stdin_sha256=None
    ),
    events.Action(
        action_id=14, node="pve1", exit_status=0, stdout="", stderr="", seconds=0.1, outcome="done", error=None
    ),
    events.Transfer(node="pve1", file="config.db", size=3, sha256="0" * 64),
    BASELINE,
    events.Continuity(
        phase=7,
        label="at the end",
        guests=1,
        rows=(GuestRow.unchanged(GUEST),),
        nodes=(NodeRow(node="pve1", boot_before="b", boot_after="b", same=True),),
    ),
    events.Sample(nodes=("pve1",), running=1, gone=(101,)),
    events.End(exit_status=0, verdict="It ended.", next="", signal=None),
]


def line_of(event: Event) -> dict[str, Any]:
    """The JSON object of an event's line."""
    line: dict[str, Any] = json.loads(encode(Entry(1, "now", None, event), FIRST).decode("utf-8", "surrogateescape"))
    return line


def test_one_of_each_is_one_of_each() -> None:
    assert {type(event) for event in ONE_OF_EACH} == set(get_args(Event))
    assert len({kind.kind for kind in get_args(Event)}) == len(get_args(Event))


def test_every_event_is_read_as_it_was_written(tmp_path: Path) -> None:
    journal = Journal()
    journal.step = "a step"
    for event in ONE_OF_EACH:
        journal.write(event)
    journal.attach(tmp_path / "journal.jsonl")
    journal.close()
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    found = [decode(line) for line in lines]
    assert [entry for entry, _ in filter(None, found)] == journal.events
    assert [encode(entry, prev) for entry, prev in filter(None, found)] == lines


def test_a_line_is_what_it_always_was() -> None:
    """Hash chains of journals that were written before hold on."""
    answered, silent = (event for event in ONE_OF_EACH if isinstance(event, events.Probe))
    assert encode(Entry(8, "T", "s", answered), "p") == (
        b'{"n":8,"t":"T","kind":"probe","step":"s","batch":7,"node":"pve1","id":"uid","exit_status":0,'
        b'"stdout":"\xff\\n","stderr":"","seconds":1,"prev":"p"}\n'
    )
    assert encode(Entry(9, "T", None, silent), "p") == (
        b'{"n":9,"t":"T","kind":"probe","step":null,"batch":7,"node":"pve1","id":"uid","error":"no answer",'
        b'"seconds":0.1,"prev":"p"}\n'
    )


@pytest.mark.parametrize("event", {event.kind: event for event in ONE_OF_EACH}.values(), ids=lambda event: event.kind)
@pytest.mark.parametrize("odd", [None, [], {}, [None], True, -1, 1e400, "x", [[]], {"a": []}])
def test_a_field_of_another_type_reads_as_empty_and_is_told(event: Event, odd: object) -> None:
    line = line_of(event)
    for name in event.__struct_fields__:
        entry = entry_of({**line, name: odd})
        assert type(entry.event) is type(event)
        assert entry.amiss or getattr(entry.event, name) in (odd, tuple(odd) if isinstance(odd, list) else odd)
        rest = [other for other in event.__struct_fields__ if other != name]
        assert [getattr(entry.event, other) for other in rest] == [getattr(event, other) for other in rest]
        assert entry_of(line_of(entry.event)).amiss == "", "what was read in its place is of the field's own type"
        lacking = entry_of({key: value for key, value in line.items() if key != name})
        assert type(lacking.event) is type(event)


def test_what_no_version_of_ours_wrote_is_unknown() -> None:
    assert entry_of({}) == Entry(0, "", None, Unknown(""))
    assert entry_of({"kind": "telemetry", "n": 3, "t": "T", "x": 1}) == Entry(3, "T", None, Unknown("telemetry"))
    assert decode(b"[1]\n") is None and decode(b'{"n":1}\n') is None and decode(b"{\n") is None


@pytest.mark.parametrize("odd", [True, 1e400, float("nan"), "1", None])
def test_only_a_number_is_a_number(odd: object) -> None:
    event = next(event for event in ONE_OF_EACH if isinstance(event, events.Action))
    entry = entry_of({**line_of(event), "seconds": odd})
    assert entry.amiss.startswith("its seconds is ") and isinstance(entry.event, events.Action)
    assert entry.event.seconds == 0.0 and type(entry.event.seconds) is float


def test_an_exit_status_that_cannot_be_read_is_none_and_not_zero() -> None:
    event = next(event for event in ONE_OF_EACH if isinstance(event, events.Action))
    for odd in ("0", True, [0], {}):
        entry = entry_of({**line_of(event), "exit_status": odd})
        assert entry.amiss and isinstance(entry.event, events.Action) and entry.event.exit_status is None


def test_the_head_of_a_line_is_read_field_by_field() -> None:
    line = {"kind": "telemetry", "n": 3, "t": "T", "step": "s"}
    assert entry_of(line) == Entry(3, "T", "s", Unknown("telemetry"))
    assert entry_of({**line, "n": "3"}) == Entry(0, "T", "s", Unknown("telemetry"))
    assert entry_of({**line, "t": 5}) == Entry(3, "5", "s", Unknown("telemetry"))
    assert entry_of({**line, "step": 7}) == Entry(3, "T", "7", Unknown("telemetry"))


@pytest.mark.parametrize("missing", BASELINE.__struct_fields__)
def test_a_baseline_that_is_not_whole_is_not_relied_on(missing: str) -> None:
    line = line_of(BASELINE)
    assert taken_up(entry_of(line)).baseline == BASELINE
    del line[missing]
    with pytest.raises(ValueError, match=f"the baseline in line 1: it has no {missing}"):
        _ = taken_up(entry_of(line)).baseline


def taken_up(entry: Entry) -> Unfinished:
    return Unfinished("w", Path("r"), (Path("r"),), FIRST, (entry,), (entry,))
