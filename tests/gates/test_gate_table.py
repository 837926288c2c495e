"""Every gate of checks/ and of the runbook's phases by every state: the outcome, as outcomes.txt has it.

The facts come from the embedded lab in this process, through the real wire, parsers and facts; no SSH, no subprocess of
ours. A change that is meant to change what a gate says is read in the `git diff` of

    PVE_RUNBOOK_GATES=write .venv/bin/pytest tests/gates -m 'sweep or not sweep' -n auto --dist worksteal
"""

from __future__ import annotations

import os
from functools import cache, partial
from pathlib import Path

import pytest
from gate_opening import PERSON, Opening, gates, opening
from gate_states import STATES, Kind
from gate_table import Column, Table, column, outcome_of, outcomes, parse, render, write
from msgspec.structs import replace
from pve_runbook.procedure.authority import Candidate

TABLE = Path(__file__).parent / "outcomes.txt"
WRITE = os.environ.get("PVE_RUNBOOK_GATES") == "write"

NOT_ASKED: dict[str, str] = {
    "runbook/test_phase0_freeze.py::test_backups_are_checked": "it looks at what the backup brought to this machine",
    "runbook/test_phase8_rollback.py::test_present_state_is_backed_up": "it looks at what the backup brought here",
}
"""Gates that judge what an action did, and no state of a node."""
NEVER_FAILS: dict[str, str] = {
    "runbook/test_phase0_conditions.py::test_lines_that_are_passed_over_are_told": "it writes, and judges nothing",
    "runbook/test_phase0_conditions.py::test_what_comes_with_the_next_boot_is_told": "it writes, and judges nothing",
    "runbook/test_phase1_authority.py::test_every_node_answers_reliably": "the test below has it: no state is slow",
    "runbook/test_phase7_survival.py::test_what_is_left_is_written_down": "it writes, and judges nothing",
    "runbook/test_phase8_rollback.py::test_what_is_left_is_written_down": "it writes, and judges nothing",
}


@cache
def written() -> Table:
    """What outcomes.txt has."""
    return parse(TABLE.read_text(encoding="utf-8"))


def judged(state: str, directory: Path) -> Column:
    """What every gate says in a state, each of it as it is at its beginning."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    run: Opening | None = None
    made = 0
    for kind in STATES[state].kinds:
        is_begun = False
        for gate in gates():
            if gate.kind != kind or PERSON in gate.asks_for or gate.id in NOT_ASKED:
                continue
            if run is None or run.has_moved or not is_begun:
                made += 1
                run = _next(run, state, kind, directory / str(made))
                is_begun = True
            said = found[gate.id] = {}
            for node, about in run.subjects(gate):
                if (outcome := outcome_of(partial(run.judge, gate, about))) is not None:
                    said[node] = outcome
    if run is not None:
        run.close()
        assert not run.unsimulated
    return column(found)


def _next(run: Opening | None, state: str, kind: Kind, directory: Path) -> Opening:
    """A run over the state's lab at its first moment: the lab of the run before, where that left it as it was."""
    is_struck = bool(STATES[state].struck) or STATES[state].strikes is not None
    if run is not None and not run.has_moved and not is_struck:
        return run.again(kind, directory, STATES[state])
    if run is not None:
        run.close()
        assert not run.unsimulated
    return opening(STATES[state], kind, directory)


@pytest.mark.parametrize(
    "state", [pytest.param(name, marks=pytest.mark.sweep) if s.takes_seconds else name for name, s in STATES.items()]
)
def test_every_gate_says_what_is_written(state: str, tmp_path: Path) -> None:
    found = judged(state, tmp_path)
    if WRITE:
        write(TABLE, state, found)
    else:
        assert found == written().get(state, {})


@pytest.mark.skipif(WRITE, reason="it is being written")
def test_nothing_else_is_written() -> None:
    """No gate and no state that there is not, and every gate that there is."""
    text = TABLE.read_text(encoding="utf-8")
    assert text == render(parse(text))


@pytest.mark.skipif(WRITE, reason="it is being written")
def test_every_gate_can_fail_and_pass() -> None:
    """A gate that says yes everywhere guards nothing, and one that says no everywhere stops everybody."""
    table = written()
    never_fail, never_pass = set(), set()
    for gate in gates():
        if PERSON in gate.asks_for or gate.id in NOT_ASKED:
            continue
        said = outcomes(table, gate, [name for name, state in STATES.items() if gate.kind in state.kinds])
        if not said & {"failed", "warning"}:
            never_fail.add(gate.id)
        if not said & {"ok", "n/a"}:
            never_pass.add(gate.id)
    assert never_fail == set(NEVER_FAILS)
    assert never_pass == set()


def test_every_exception_has_its_gate() -> None:
    assert {*NOT_ASKED, *NEVER_FAILS} <= {gate.id for gate in gates()}


def test_a_node_that_answers_slowly_is_refused() -> None:
    """By evidence made up: five seconds of the lab are none here."""
    gate = next(g for g in gates() if g.function.__name__ == "test_every_node_answers_reliably")
    quick = Candidate("pve1", 1, 1, 1, 1, 1, 0, (0.1, 0.1, 5.0))
    gate.function([quick])
    with pytest.raises(AssertionError, match=r"pve2: one of 3 small questions took 5\.1 s"):
        gate.function([quick, replace(quick, node="pve2", latencies=(0.1, 5.1, 0.1))])
