"""From every refusal that has a way on somebody gets on: what it says is done, and the gate holds; the run that is
begun anew, or taken up, comes to its end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gate_opening import Gate, Opening, gates, opening, type_on_nodes
from gate_states import STATES, Kind, State
from gate_table import outcome_of
from pve_lab.model.cluster import Cluster
from pve_runbook.plugin.steps.step import SPEAKING, UNKNOWN, judge
from pve_runbook.refusal.text import ids_in
from refusal_table import gates_that_say
from walks import WALKS, Walk

REASON = "--anyway=tried"
"""For runs on a cluster that the verdict would leave alone."""
HOLDS = (None, "n/a", "warning")


def gate_of(id_: str) -> Gate:
    """The gate that refuses; the first one, where several phases ask the same."""
    way, says = WALKS[id_], gates_that_say().get(id_)
    named = (g for g in gates() if g.kind == way.kind and g.function.__name__ == way.gate)
    return next(g for g in named if says is None or g.id in says)


def said_by(run: Opening, gate: Gate, id_: str) -> list[str]:
    """What the gate says under this id; what else it says of other nodes is no matter here."""
    texts = (words_of(run, gate, about) for _, about in run.subjects(gate))
    return [text for text in texts if text is not None and id_ in ids_in(text)]


def words_of(run: Opening, gate: Gate, about: Mapping[str, Any]) -> str | None:
    """What the gate says, on one line; None where it holds, or is not about that node."""
    try:
        run.judge(gate, about)
    except pytest.skip.Exception:
        return None
    except (*SPEAKING, *UNKNOWN, AssertionError, pytest.fail.Exception) as error:
        return " ".join(str(error).split())
    return None


def walked(way: Walk, run: Opening, text: str) -> State:
    """Do what the refusal says; what the next run is begun with."""
    assert way.at in text, text
    for node, line in way.typed:
        type_on_nodes(run.site, {node: line})
    if way.hand is not None:
        way.hand(run.cluster)
    run.clock.advance(way.passes)
    options = [o for o in run.state.options if o not in way.less] + [*way.more]
    if way.said:
        found = re.search(way.said, text)
        assert found is not None, text
        options.append(REASON if found[0] == "--anyway=" else found[0])
    return replace(
        run.state,
        options=tuple(options),
        hosts=run.state.hosts if way.hosts is None else way.hosts,
        says=run.state.says if way.says is None else way.says,
    )


def wrong_in(run: Opening, gate: Gate) -> list[str]:
    """What the gate says against it."""
    judged = ((node, outcome_of(partial(run.judge, gate, about))) for node, about in run.subjects(gate))
    return [f"{node}: {said}" for node, said in judged if said is not None and said[0] not in HOLDS]


def carry_out(runs: list[Opening], way: Walk, directory: Path, state: State) -> None:
    """The run, or the way back, to its end: every gate holds, and by the lab's own truth nodes and guests are as they
    are to be."""
    kind: Kind = "runbook" if way.kind == "checks" else way.kind
    cluster, leaves = runs[-1].cluster, [o.partition("=")[2] for o in state.options if o.startswith("--leave=")]
    before = processes(cluster)
    reason = () if kind == "rollback" or leaves else (REASON,)
    runs.append(runs[-1].again(kind, directory, replace(state, options=(*state.options, *reason))))
    for gate, node, about in runs[-1].carry_out(kind):
        said = outcome_of(partial(runs[-1].judge, gate, about))
        assert said is None or said[0] in HOLDS, f"{gate.id} {node}: {said}"
    after = processes(cluster)
    assert all(before[name].items() <= after[name].items() for name in before), (before, after)
    for name in leaves[0].split(",") if leaves else runs[-1].names:
        assert kind == "rollback" or cluster.nodes[name].standalone
    assert not runs[-1].unsimulated


def processes(cluster: Cluster) -> dict[str, dict[int, int]]:
    """Node → guest → its process."""
    return {name: {v: p.pid for v, p in node.guests.running.items()} for name, node in cluster.nodes.items()}


def is_run_again(way: Walk) -> bool:
    """Whether the runbook itself is the way on."""
    return way.runs or not (
        way.typed or way.hand or way.passes or way.said or way.more or way.less or way.says or way.hosts
    )


def in_turn(ids: Iterable[str]) -> list[Any]:
    """Those that take seconds carry the marker."""
    slow = {i for i in ids if is_run_again(WALKS[i]) or STATES[WALKS[i].state].takes_seconds}
    return [pytest.param(i, marks=pytest.mark.sweep) if i in slow else i for i in ids]


@pytest.mark.parametrize("id_", in_turn(WALKS))
def test_the_gate_holds_after_what_its_refusal_says(id_: str, runs: list[Opening], tmp_path: Path) -> None:
    way, gate = WALKS[id_], gate_of(id_)
    runs.append(opening(STATES[way.state], way.kind, tmp_path / "lab"))
    said = said_by(runs[-1], gate, id_)
    assert said, f"{gate.id} does not say {id_} in {way.state}"
    state = walked(way, runs[-1], said[0])
    if is_run_again(way):
        carry_out(runs, way, tmp_path / "run", state)
    if way.kind == "checks" or not is_run_again(way):
        runs.append(runs[-1].again(way.kind, tmp_path / "again", state))
        assert wrong_in(runs[-1], gate) == []


@pytest.mark.sweep
@pytest.mark.parametrize("id_", [i for i, w in WALKS.items() if w.kind != "checks" and w.ends and not is_run_again(w)])
def test_the_run_comes_to_its_end_after_what_its_refusal_says(id_: str, runs: list[Opening], tmp_path: Path) -> None:
    way = WALKS[id_]
    runs.append(opening(STATES[way.state], way.kind, tmp_path / "lab"))
    state = walked(way, runs[-1], said_by(runs[-1], gate_of(id_), id_)[0])
    carry_out(runs, way, tmp_path / "run", state)


@pytest.mark.parametrize(
    ("id_", "says"),
    [("PVE-R133", {}), ("PVE-R134", {"pve2": {"pvecm status": "what is this\n"}})],
    ids=["not answered", "not understood"],
)
def test_what_was_not_known_is_known_when_the_node_answers(
    id_: str, says: Mapping[str, Mapping[str, str]], runs: list[Opening], tmp_path: Path
) -> None:
    """One fact for all: every gate reads facts in the same way."""
    state = State("own-link" if says else "last-off", "a node does not answer", says=says)
    gate = next(g for g in gates() if g.id == "checks/test_cluster.py::test_member_is_quorate")
    runs.append(opening(state, "checks", tmp_path / "lab"))
    said = [str(error) for _, about in runs[-1].subjects(gate) if (error := unknown(runs[-1], gate, about))]
    assert len(said) == 1 and f"[{id_}]" in said[0], said
    if not says:
        runs[-1].cluster.nodes["pve3"].power_on()
        runs[-1].clock.advance(60.0)
    runs.append(runs[-1].again("checks", tmp_path / "again", replace(state, says={})))
    assert wrong_in(runs[-1], gate) == []


def unknown(run: Opening, gate: Gate, about: Mapping[str, Any]) -> str:
    """What the step of a gate that does not know is said to be, with its id."""
    call = pytest.CallInfo.from_call(lambda: run.judge(gate, about), "call", reraise=None)
    if call.excinfo is None:
        return ""
    report = pytest.TestReport(gate.id, (gate.id, None, ""), {}, "failed", None, "call")
    outcome, text = judge(call, report, evaluates=True, stopped_by=None)
    return text if outcome == "unknown" else ""
