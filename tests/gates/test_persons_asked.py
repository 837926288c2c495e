"""Which questions a person is asked in a state, and where there is none to be asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gate_opening import PERSON, gates, opening
from gate_states import STATES, State
from pve_runbook.plan.model import Question
from pve_runbook.refusal.not_applicable import LEFT_ALREADY, NotApplicable
from pve_runbook.terminal.question import page

NOT_HERE = ("test_there_is_a_second_way_in",)
"""It rests on a key that is put on the nodes first."""
NOBODY, NOTHING = "--absent names no member", "nothing speaks against the run"
NO_START = "no start of all guests is held"
NO_JOB = "no scheduler is off that ran before, or nothing waits for it"
DEAD = replace(STATES["last-off"], hosts={"pve1": "pve1", "pve2": "pve2"}, options=("--leave=pve3", "--absent=pve3"))
WITHOUT = replace(STATES["broken"], hosts={"pve1": "pve1", "pve2": "pve2"}, options=("--absent=pve3",))
LEAVES = replace(STATES["quorate"], options=("--leave=pve3",))
OUT = replace(STATES["standalone"], hosts={"pve1": "pve1", "pve2": "pve2"}, options=("--absent=pve3",))


def asked(state: State, directory: Path) -> dict[str, list[str]]:
    """Question of the runbook → what is typed for a yes, or why it is not asked; each subject once."""
    return {
        name: [one.word if isinstance(one, Question) else one for one in found]
        for name, found in asked_in_full(state, directory).items()
    }


def asked_in_full(state: State, directory: Path) -> dict[str, list[Question | str]]:
    """The same with all of each question."""
    found: dict[str, list[Question | str]] = {}
    run = opening(state, "runbook", directory / "state")
    try:
        for gate in gates():
            name = gate.function.__name__
            if gate.kind != "runbook" or PERSON not in gate.asks_for or name in NOT_HERE:
                continue
            for _, about in run.subjects(gate):
                questions: list[Question] = []
                try:
                    run.judge(gate, {**about, PERSON: questions.append})
                except NotApplicable as error:
                    found.setdefault(name.removeprefix("test_operator_"), []).append(str(error))
                for question in questions:
                    found.setdefault(name.removeprefix("test_operator_"), []).append(question)
    finally:
        run.close()
    return found


@pytest.mark.parametrize(
    ("state", "questions"),
    [
        (
            STATES["broken"],
            {
                "says_who_is_powered_off": [NOBODY],
                "means_it_anyway": [NOTHING],
                "approves_the_freeze": ["labcluster"],
                "approves_forced_quorum": ["labcluster"],
                "approves_the_window": ["pve1", "pve3", "pve2"],
                "lets_guests_start": [NO_START],
                "approves_the_thaw": ["labcluster"],
            },
        ),
        (
            OUT,
            {
                "says_who_is_powered_off": ["every node has left already"],
                "means_it_anyway": [NOTHING],
                "approves_the_freeze": ["standalone"],
                "approves_forced_quorum": ["standalone"],
                "approves_the_window": [LEFT_ALREADY, LEFT_ALREADY],
                "lets_guests_start": [NO_START],
                "approves_the_thaw": [NO_JOB],
            },
        ),
        (
            WITHOUT,
            {
                "says_who_is_powered_off": ["pve3 is powered off"],
                "means_it_anyway": [NOTHING],
                "approves_the_freeze": ["labcluster"],
                "approves_forced_quorum": ["labcluster"],
                "approves_the_window": ["pve1", "pve2"],
                "lets_guests_start": [NO_START],
                "approves_the_thaw": ["labcluster"],
            },
        ),
        (
            DEAD,
            {
                "says_who_is_powered_off": ["pve3 is powered off"],
                "approves_the_freeze": ["pve3"],
                "approves_the_silence": ["nobody of those that leave is there, and those that stay have a majority"],
                "lets_the_nodes_go": ["pve3"],
            },
        ),
        (
            STATES["startall-held"],
            {
                "says_who_is_powered_off": [NOBODY],
                "means_it_anyway": [NOTHING],
                "approves_the_freeze": ["labcluster"],
                "approves_forced_quorum": ["labcluster"],
                "approves_the_window": ["pve2", "pve3", "pve1"],
                "lets_guests_start": ["labcluster"],
                "approves_the_thaw": ["labcluster"],
            },
        ),
    ],
    ids=["broken", "standalone", "one-absent", "dead-one-is-let-go", "startall-held"],
)
def test_what_is_asked(state: State, questions: dict[str, list[str]], tmp_path: Path) -> None:
    assert asked(state, tmp_path) == questions


@pytest.mark.parametrize("state", [STATES["broken"], LEAVES], ids=["all leave", "one leaves"])
def test_what_is_sworn_by_approving_the_freeze_is_seen_without_asking_for_more(state: State, tmp_path: Path) -> None:
    [question] = asked_in_full(state, tmp_path)["approves_the_freeze"]
    assert isinstance(question, Question)
    where = "Plan 0123456789ab: 42 commands until the next question, 92 in all.\nrecords/x/plan.md has them."
    shown = page(question.text, where, f"Type {question.word} to go on, ? for more, anything else to stop:")
    assert "By approving you say that you can reach the console of" in shown and "more lines" not in shown, shown
