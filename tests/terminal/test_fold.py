"""Few lines of many: a line a step whatever the number of nodes, and failures whole, once for each reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from pve_runbook.terminal.alike import folded, names_in_words, shape, with_few_names
from pve_runbook.terminal.fold import Fold, Line, Place, StepLine
from pve_runbook.terminal.wrap import WIDTH, cut

NAMES = [f"pve{number}" for number in range(1, 17)]
SILENT = "Unknown is not yes.\nSee that the node answers [PVE-R133]"


def step(node: str, outcome: str = "passed", message: str = "", title: str = "It holds.", reason: str = "") -> StepLine:
    return StepLine(outcome, node, title, message, "", reason)


def shown(lines: Iterable[Line]) -> list[str]:
    return [(line.mark + line.text).rstrip() for line in lines]


class Run:
    """Steps that end one by one, in a module that is counted or in one that is not."""

    def __init__(self, names: Sequence[str] = NAMES, *, counted: bool = False, at_the_end: bool = False) -> None:
        self.fold = Fold(names, at_the_end=at_the_end)
        self.names = names
        self._counted = counted
        self._places: list[Place] = []
        self.lines: list[str] = []

    def __call__(self, *steps: list[StepLine]) -> list[str]:
        """Each list is a step on its nodes; what stands in the end."""
        part = "test_module.py"
        places = [Place(part, f"test_{number}", -1) for number, _ in enumerate(steps)]
        all_of_them = [place for place, ended in zip(places, steps, strict=True) for _ in ended]
        self.fold.expect(all_of_them, [part] if self._counted else [])
        self.lines += shown(self.fold.enters(part, "Module"))
        for place, ended in zip(places, steps, strict=True):
            for one in ended:
                self.lines += shown(self.fold.ends(place, one))
        self.lines += shown(self.fold.rest())
        return self.lines


@pytest.mark.parametrize("count", [1, 3, 16])
def test_a_step_is_one_line_whatever_the_number_of_nodes(count: int) -> None:
    names = NAMES[:count]
    who = f"{count}/{count}" if count > 1 else "pve1"
    assert Run(names)([step(name) for name in names]) == [f"  ok      {who:<5} It holds."]


def test_a_step_about_all_nodes_together_says_so() -> None:
    assert Run()([step("all")]) == ["  ok      all   It holds."]


def test_a_line_stands_as_soon_as_the_last_node_has_answered_and_not_before() -> None:
    run = Run(NAMES[:2])
    place = Place("test_module.py", "test_it", -1)
    run.fold.expect([place, place], [])
    assert shown(run.fold.ends(place, step("pve1"))) == []
    assert run.fold.under_way(place, "It holds.") == "  ..      1/2   It holds."
    assert shown(run.fold.ends(place, step("pve2"))) == ["  ok      2/2   It holds."]


def test_a_node_is_named_where_it_differs_and_its_failure_is_whole() -> None:
    seen = step("pve2", "failed", "pve2: HA is active.\nIt resets the node.\nTurn it off. [PVE-R001]")
    lines = Run(NAMES[:3])([step("pve1"), seen, step("pve3", "blocked")])
    assert lines == [
        "  FAILED  pve2: HA is active.",
        "          It resets the node.",
        "          Turn it off. [PVE-R001]",
        "          It holds.",
        "  blocked every step after this one, in this phase and in all later ones",
    ]


def passed(fold: Fold, on_nodes: Sequence[tuple[Place, str]]) -> list[str]:
    """Each step passes on its node, one after the other; what stands in the end."""
    fold.expect([place for place, _ in on_nodes], [])
    lines = [line for place, node in on_nodes for line in shown(fold.ends(place, step(node, title=place.name)))]
    return lines + shown(fold.rest())


def test_of_steps_in_a_row_that_only_read_all_but_the_last_are_counted() -> None:
    names = NAMES[:2]
    fold = Fold(names, at_the_end=False)
    titles = [("A.", True), ("B.", True), ("C.", True), ("D.", False), ("E.", True), ("F.", True)]
    places = [Place("test_module.py", title, -1, reads) for title, reads in titles]
    assert passed(fold, [(place, name) for place in places for name in names]) == [
        "  ok      Gates           2 ok",
        "  ok      2/2   C.",
        "  ok      2/2   D.",
        "  ok      2/2   E.",
        "  ok      2/2   F.",
    ]


def test_of_each_node_that_leaves_they_are_counted_by_themselves() -> None:
    fold = Fold(NAMES[:2], at_the_end=False)
    places = [Place("test_module.py", name, turn, True) for turn in (0, 1) for name in ("A.", "B.", "C.")]
    assert passed(fold, [(place, NAMES[place.turn]) for place in places]) == [
        "  ok      pve1  Gates           2 ok",
        "  ok      pve1  C.",
        "  ok      pve2  Gates           2 ok",
        "  ok      pve2  C.",
    ]


def test_what_passed_before_a_failure_stands_before_it() -> None:
    fold = Fold(NAMES[:1], at_the_end=False)
    places = [Place("test_module.py", name, -1, True) for name in ("A.", "B.")]
    fold.expect(places, [])
    lines = shown(fold.ends(places[0], step("pve1", title="A.")))
    lines += shown(fold.ends(places[1], step("pve1", "failed", "pve1: no.", title="B.")))
    assert lines == ["  ok      pve1  A.", "  FAILED  pve1: no.", "          B."]


def test_the_blocked_line_is_written_once() -> None:
    failed = [step("pve1", "failed", "pve1: no.")]
    lines = Run(NAMES[:1])(failed, [step("pve1", "blocked")], [step("pve1", "blocked")])
    assert sum(line.startswith("  blocked") for line in lines) == 1


def test_a_module_that_only_reads_is_a_count_and_what_failed_in_it_follows() -> None:
    lines = Run(NAMES[:3], counted=True)(
        [step(n) for n in NAMES[:3]],
        [step("pve1"), step("pve2", "failed", "pve2: no.", "That is so."), step("pve3")],
        [step(n, "not evaluated", "nobody asked") for n in NAMES[:3]],
        [step("all", "not evaluated", "a warning: pve1: it is slow", "It is fast.")],
    )
    assert lines == [
        "  FAILED  Module          1 ok, 1 failed, 1 warning, 1 n/a",
        "  FAILED  pve2: no.",
        "          That is so.",
        "  warning pve1: it is slow",
        "          should hold: It is fast.",
    ]


def test_what_fails_for_one_reason_is_one_paragraph_with_the_names_of_the_checks() -> None:
    run = Run(NAMES, counted=True, at_the_end=True)
    titles = [f"Number {number}." for number in range(6)]
    silent = [
        [step("pve16", "unknown", f"pve16: cat /{t}: it timed out\n{SILENT}", t, "pve16: it timed out")] for t in titles
    ]
    no_quorum = [step(n, "failed", f"{n}: no quorum.\nNothing starts.", "There is quorum.") for n in NAMES]
    assert run(*silent, no_quorum) == ["  FAILED  Module          1 failed, 6 unknown"]
    assert shown(run.fold.reasons("")) == [
        "  FAILED  all 16 nodes: no quorum.",
        "          Nothing starts.",
        "          There is quorum.",
        "  UNKNOWN pve16: it timed out",
        "          Unknown is not yes.",
        "          See that the node answers [PVE-R133]",
        "          Number 0.",
        "          Number 1.",
        "          Number 2.",
        "          and 3 more",
    ]


def test_what_is_seen_with_other_numbers_elsewhere_is_whole_once_and_the_others_are_named() -> None:
    lost = [step(n, "failed", f"{n}: pve9 went {i} s ago.\nIt is off.") for i, n in enumerate(NAMES[:3])]
    lines = Run([*NAMES[:3], "pve9"])(lost)
    assert lines[:3] == [
        "  FAILED  pve1: pve9 went 0 s ago.",
        "          It is off.",
        "          Likewise pve2, pve3: each stands in the record.",
    ]


def test_two_reasons_are_never_taken_for_one() -> None:
    lines = Run(NAMES[:2])([step("pve1", "failed", "pve1: no quorum."), step("pve2", "failed", "pve2: no clock.")])
    assert [line for line in lines if "FAILED" in line] == ["  FAILED  pve1: no quorum.", "  FAILED  pve2: no clock."]


def test_what_is_told_elsewhere_is_not_told_twice() -> None:
    run = Run(counted=True, at_the_end=True)
    run([step("all", "failed", "DISMANTLE: take it apart")])
    assert shown(run.fold.reasons("DISMANTLE: take it apart")) == []


def test_no_line_is_wider_than_the_terminal_and_no_failure_is_cut() -> None:
    words = " ".join(f"word{number}" for number in range(60))
    lines = Run()([step("pve1", "failed", f"pve1: {words}", words)])
    assert max(map(len, lines)) <= WIDTH
    assert words in " ".join(" ".join(lines).split())
    [line] = Run(NAMES[:1])([step("pve1", title=words)])
    assert len(line) <= WIDTH and line.endswith("…") and words.startswith(line[16:-1])


def test_a_step_that_was_cut_short_is_told_in_the_end() -> None:
    run = Run(NAMES[:3])
    place = Place("test_module.py", "test_it", -1)
    run.fold.expect([place] * 3, [])
    assert run.fold.ends(place, step("pve1", "unknown", "The run was interrupted.")) == []
    assert shown(run.fold.rest())[0] == "  UNKNOWN The run was interrupted."
    assert run.fold.rest() == []


def test_a_shape_knows_no_names_and_no_numbers_but_all_else() -> None:
    assert shape("pve1: 2 of 3, by pve2, pve3", NAMES) == shape("pve2: 1 of 3, by pve1", NAMES)
    assert shape("pve1: link 0", NAMES) != shape("pve1: node 0", NAMES)
    assert shape("pve1-backup is full", NAMES) != shape("pve2-backup is full", NAMES)


def test_evidence_alike_is_one_piece_with_the_other_nodes_behind_it() -> None:
    assert folded(["pve1 sees 1 of 3 votes", "pve2 sees 1 of 3 votes", "pve1: other"], NAMES) == [
        "pve1 sees 1 of 3 votes; likewise pve2",
        "pve1: other",
    ]


@pytest.mark.parametrize(
    ("count", "words"), [(1, "pve1"), (3, "pve1, pve2, pve3"), (15, "pve1, pve2 and 13 more"), (16, "all 16 nodes")]
)
def test_many_names_are_a_few_and_a_count(count: int, words: str) -> None:
    assert names_in_words(NAMES[:count], 16) == words
    assert with_few_names(f"lost: {', '.join(NAMES[:count])}; back", NAMES) == f"lost: {words}; back"


def test_a_word_that_is_too_long_is_cut_too() -> None:
    assert cut("", "x" * 100) == "x" * 79 + "…"


def test_what_has_to_be_done_is_alike_only_with_the_same_numbers() -> None:
    left = ["pve1: guest 101 is locked", "pve2: guest 202 is locked", "pve1: it is old", "pve2: it is old"]
    assert folded(left, NAMES, with_numbers=True) == [*left[:2], "pve1: it is old; likewise pve2"]
