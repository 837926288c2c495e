"""docs/states.md: what checks/ say of every starting state of the lab, made from the lab."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lab_bench import Bench
from lab_verdict import judged_case, quorate_by_own_votes
from pve_lab.expected import VERDICTS
from pve_lab.scenarios import SCENARIOS
from pve_runbook.diagnosis.verdict import MEANT_FOR, Verdict

HEAD = """\
# What checks/ say of every starting state of the lab

One row for each state that `pve-runbook lab --scenario=list` names, with three nodes: what it is, the verdict, the
first line of its evidence, the causes that have a name, and what to do next. How an answer looks from end to end is
in [verdicts.md](verdicts.md); try one with `pytest checks/ --hosts=lab --lab-scenario=own-link`.

A test makes this page from the lab and holds it. After a change that is meant to change it:

```sh
PVE_RUNBOOK_STATES=write .venv/bin/pytest -m sweep tests/lab/test_states_page.py
```
"""
COLUMNS = ("state", "what it is", "verdict", "first evidence", "cause", "what to do next")
THEN_RUNBOOK = (Verdict.DISMANTLE, Verdict.HALF, Verdict.SPLIT_BRAIN)
"""Verdicts whose next line is the runbook, which their advice does not name."""


@dataclass(frozen=True)
class State:
    """One starting state, judged. ``together``: a majority is quorate by its own votes, as the model has it;
    ``flaps``: its members come and go at this moment."""

    name: str
    verdict: Verdict
    evidence: str
    causes: tuple[str, ...]
    advice: str
    option: str
    together: bool
    flaps: bool

    @property
    def expected(self) -> str:
        """What is to be done, as the lab has it."""
        return VERDICTS.get(self.name, "dismantle")

    @property
    def is_taken_apart(self) -> bool:
        """Whether the runbook would go on by itself."""
        return self.verdict in MEANT_FOR


def judged_states(bench_of: Callable[[str], Bench]) -> list[State]:
    """Every starting state of the lab, in the order of its list."""
    found = []
    for name in SCENARIOS:
        bench = bench_of(name)
        case, said = judged_case(bench)
        together = quorate_by_own_votes(bench)
        causes = tuple(dict.fromkeys(cause.id for cause in case.causes))
        flaps = together and case.flaps_now
        found.append(
            State(name, said.verdict, next(iter(said.evidence), ""), causes, said.advice, said.option, together, flaps)
        )
    return found


def page(states: Iterable[State]) -> str:
    """The text of the page."""
    states = list(states)
    rows = [state for verdict in Verdict for state in states if state.verdict is verdict]
    lines = [HEAD, *_table(COLUMNS, map(_row, rows)), "", "## Right and found", "", *_matrix(states), "", *_law(states)]
    return "\n".join(lines) + "\n"


def _row(state: State) -> tuple[str, ...]:
    line = " ".join(filter(None, ("pytest runbook/", state.option)))
    following = f"{state.advice}: `{line}`" if state.verdict in THEN_RUNBOOK else state.advice
    causes = ", ".join(state.causes) or "-"
    return f"`{state.name}`", SCENARIOS[state.name].line, state.verdict, state.evidence, causes, following


def _matrix(states: Iterable[State]) -> Iterator[str]:
    """How often which verdict was found where which is the right one."""
    count = Counter((state.expected, str(state.verdict)) for state in states)
    there = [str(v) for v in Verdict if any(str(v) in pair for pair in count)]
    yield "How many states; a row is what is right (`plugins/pve_lab/expected.py`), a column what was found.\n"
    yield from _table(
        ("right, found", *there),
        ((right, *(str(count[right, found] or "") for found in there)) for right in there),
    )


def _law(states: list[State]) -> Iterator[str]:
    """Whether a cluster that works would be taken apart, in numbers."""
    together = [s for s in states if s.together]
    steady = [s for s in together if not s.flaps]
    wrong = [f"`{s.name}`" for s in steady if s.is_taken_apart]
    yield (
        f"Of {len(states)} states {len(together)} have a majority that is quorate by its own votes, as the lab's model "
        f"has it; {len(together) - len(steady)} of these flap at the moment of the check. Of the {len(steady)} that do "
        f"not, {len(wrong)} get a verdict by which the runbook goes on by itself{': ' * bool(wrong)}{', '.join(wrong)}."
    )
    if not wrong:
        yield "So no cluster with a quorate majority that does not flap gets dismantle."


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    head = list(head)
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
