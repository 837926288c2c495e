"""A run in few lines, whatever the number of nodes: a line a step, or a line a module where that only reads.

A step is one line once all its nodes have answered; a node is named where it differs. Of a module that only reads the
steps that hold are counted; of steps in a row that only read, elsewhere, all but the last. What failed is whole, and
comes first; checks that fail for one reason are one paragraph. Everything that is left out here stands in the record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct, field

from pve_runbook.terminal.alike import names_in_words, shape, with_few_names
from pve_runbook.terminal.wrap import cut, wrapped

MARKS = {
    "passed": "ok",
    "failed": "FAILED",
    "unknown": "UNKNOWN",
    "blocked": "blocked",
    "not evaluated": "n/a",
    "warning": "warning",
}
WARNING = "a warning: "
"""How the reason of a check begins that found something which only wants to be known."""
BLOCKED = "every step after this one, in this phase and in all later ones"
COUNTED = ("passed", "failed", "unknown", "warning", "not evaluated")
WORST = ("failed", "unknown", "warning", "passed", "not evaluated")
ALL = "all"
"""In place of a node's name: the step is about all of them together."""
TITLES = 4
"""Names of checks that are written below the reason why they fail; of more the first few, and a count."""
INDENT = " " * 10
GATES = "Gates"
"""What steps that only read are called where they are counted."""


class Place(Struct, frozen=True):
    """Which step it is, on whichever node. ``part``: its module; ``turn``: which of the nodes that leave, -1 for no one
    of them; ``reads``: whether it sends nothing that changes a node, and asks nobody."""

    part: str
    name: str
    turn: int
    reads: bool = False


class StepLine(Struct, frozen=True):
    """A step that ended on a node, in words. ``reason``: why, where other steps fail for the same one; else ""."""

    outcome: str
    node: str
    title: str
    message: str
    traceback: str
    reason: str = ""

    @property
    def kind(self) -> str:
        """Its outcome; a warning is one of its own."""
        return "warning" if self.message.startswith(WARNING) else self.outcome

    @property
    def text(self) -> str:
        """Its message, without the word that makes a warning of it."""
        return self.message.removeprefix(WARNING)


class Line(Struct, frozen=True):
    """A line on the terminal: ``mark`` in the colour of ``kind``, then the text."""

    kind: str
    mark: str
    text: str


class _Part(Struct):
    """A module whose steps are counted."""

    name: str
    kinds: list[str] = field(default_factory=list)
    """Of each of its steps the worst that it was on a node."""
    told: list[StepLine] = field(default_factory=list)


class Fold:
    """Takes the steps as they end, and gives the lines that stand from then on."""

    def __init__(self, names: Sequence[str], *, at_the_end: bool) -> None:
        """``names``: the nodes'. ``at_the_end``: what failed is told after all steps, not below its module."""
        self._names = names
        self._at_the_end = at_the_end
        self._expected: Counter[Place] = Counter()
        self._counted: frozenset[str] = frozenset()
        self._place: Place | None = None
        self._ended: list[StepLine] = []
        self._part: _Part | None = None
        self._row: list[tuple[Place, Line]] = []
        """Steps in a row that only read, and passed; the last of them is owed a line."""
        self._not_evaluated = 0
        self._failed: list[StepLine] = []
        self._is_blocked = False

    def expect(self, places: Iterable[Place], counted: Iterable[str]) -> None:
        """Which steps come, one for each node that it is about; ``counted``: modules that only read."""
        self._expected = Counter(places)
        self._counted = frozenset(counted)

    def enters(self, part: str, name: str) -> list[Line]:
        """A module begins, called ``name``: what the one before still owes."""
        lines = self.rest()
        self._part = _Part(name) if part in self._counted else None
        return lines

    def under_way(self, place: Place, title: str) -> str:
        """The line of the step that begins, which goes when it ends."""
        done = len(self._ended) if place == self._place else 0
        of = self._expected[place]
        who = f"{done}/{of}" if of > 1 else ALL
        module = f"{self._part.name}: " if self._part is not None else ""
        return cut(f"  {'..':<7} {who:<5} ", module + title)

    def ends(self, place: Place, step: StepLine) -> list[Line]:
        """A step ended on a node: the lines that stand from now on."""
        lines = [] if place == self._place else self._end_step()
        if step.outcome == "blocked":
            lines += self.rest()
            if not self._is_blocked:
                self._is_blocked = True
                lines += _paragraph("blocked", [BLOCKED])
            return lines
        self._place = place
        self._ended.append(step)
        if len(self._ended) >= self._expected[place]:
            lines += self._end_step()
        return lines

    def rest(self) -> list[Line]:
        """What is owed by a module that ends here, or is cut here."""
        lines = [*self._end_step(), *self._end_row()]
        if self._part is not None and self._part.kinds:
            lines.append(self._summary(self._part))
            if not self._at_the_end:
                lines += self._reasons(self._part.told)
            self._failed += self._part.told
            self._part = _Part(self._part.name)
        if self._not_evaluated:
            lines.append(_line("not evaluated", "", f"{self._not_evaluated} with nothing to judge in this run"))
            self._not_evaluated = 0
        return lines

    def said(self, besides: str) -> str:
        """What the steps that failed or warn say, but for the one that says ``besides``."""
        return "\n".join(step.text for step in self._failed if step.message != besides)

    def reasons(self, told: str) -> list[Line]:
        """What failed and what warns, a paragraph for each reason; what says ``told`` is told elsewhere."""
        return self._reasons([step for step in self._failed if step.message != told]) if self._at_the_end else []

    # --- a step

    def _end_step(self) -> list[Line]:
        place, ended = self._place, self._ended
        self._place, self._ended = None, []
        if place is None:
            return []
        worst = min((step.kind for step in ended), key=WORST.index)
        wrong = [step for step in ended if step.kind in ("failed", "unknown", "warning")]
        if self._part is not None:
            self._part.kinds.append(worst)
            self._part.told += wrong
            return []
        passed = [step for step in ended if step.kind == "passed"]
        if not passed and not wrong:
            self._not_evaluated += 1
            return []
        line = self._passed(self._expected[place] - len(ended) + len(passed), passed) if not wrong else None
        if line is None or not place.reads:
            return [*self._end_row(), *(self._reasons(wrong) if line is None else [line])]
        before = self._end_row() if self._row and self._row[-1][0].turn != place.turn else []
        self._row.append((place, line))
        return before

    def _end_row(self) -> list[Line]:
        """The last of the steps in a row that only read, and how many there were before it."""
        row, self._row = self._row, []
        lines = [line for _, line in row]
        if len(lines) <= 2:
            return lines
        who = lines[-1].text.split()[0] if row[-1][0].turn >= 0 else ""
        return [_line("passed", who, f"{GATES:<15} {len(lines) - 1} ok"), lines[-1]]

    def _passed(self, of: int, passed: Sequence[StepLine]) -> Line:
        """``of``: on how many nodes there is something to judge."""
        who = f"{len(passed)}/{of}" if of > 1 else passed[0].node
        return _line("passed", who, passed[0].title)

    def _summary(self, part: _Part) -> Line:
        kinds = Counter(part.kinds)
        worst = next(kind for kind in WORST if kinds[kind])
        told = ", ".join(f"{kinds[kind]} {MARKS[kind].lower()}" for kind in COUNTED if kinds[kind])
        return _line(worst, "", f"{part.name:<15} {told}")

    # --- what is wrong

    def _reasons(self, wrong: Sequence[StepLine]) -> list[Line]:
        """Failures, then what is unknown, then warnings; a paragraph each for all that have one and the same reason."""
        groups: dict[tuple[str, str], list[StepLine]] = {}
        for step in wrong:
            why = step.reason or (shape(step.text, self._names) if step.text else step.title)
            groups.setdefault((step.kind, why), []).append(step)
        ordered = sorted(groups.items(), key=lambda item: WORST.index(item[0][0]))
        return [line for (kind, _), steps in ordered for line in self._paragraph(kind, steps)]

    def _paragraph(self, kind: str, steps: Sequence[StepLine]) -> list[Line]:
        first = steps[0]
        nodes = list(dict.fromkeys(step.node for step in steps if step.node != ALL))
        head, _, more = first.text.partition("\n")
        if first.reason and len({step.message for step in steps}) > 1:
            head = first.reason
        own = f"{first.node}: "
        if len({step.text.removeprefix(f"{step.node}: ") for step in steps}) == 1 and head.startswith(own):
            head = f"{names_in_words(nodes, len(self._names))}: {head.removeprefix(own)}"
        elif len(nodes) > 1:
            others = names_in_words([n for n in nodes if n != first.node])
            more += f"\nLikewise {others}: each stands in the record."
        head = with_few_names(head, self._names) or "it gives no reason"
        lines = [head, *more.strip().splitlines()]
        titles = list(dict.fromkeys(step.title for step in steps))
        return [*_paragraph(kind, lines), *_must_hold(kind, titles), *_as_it_is(first.traceback)]


def _line(kind: str, who: str, text: str) -> Line:
    mark = f"  {MARKS[kind]:<7} "
    head = f"{who:<5} " if who else ""
    return Line(kind, mark, cut(mark + head, text)[len(mark) :])


def _paragraph(kind: str, texts: Sequence[str]) -> Iterator[Line]:
    mark = f"  {MARKS[kind]:<7} "
    for text in texts:
        for part in wrapped(INDENT, text):
            yield Line(kind, mark, part.removeprefix(INDENT))
            kind, mark = "", INDENT


def _must_hold(kind: str, titles: Sequence[str]) -> Iterator[Line]:
    """The checks that failed, by what they require; of a warning, what it is that should hold."""
    label = INDENT + ("should hold: " if kind == "warning" else "")
    shown = titles if len(titles) <= TITLES else [*titles[: TITLES - 1], f"and {len(titles) - TITLES + 1} more"]
    for number, title in enumerate(shown):
        yield Line("", "", cut(" " * len(label) if number else label, title))


def _as_it_is(text: str) -> Iterator[Line]:
    return (Line("", "", INDENT + line) for line in text.splitlines())
