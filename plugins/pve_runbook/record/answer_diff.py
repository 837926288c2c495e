"""What an answer has in common with one that a page shows already: nodes of one cluster say nearly the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from pve_runbook.record.model import Answer

SHORTER = 2
"""Only the lines that differ are shown where they are this many times shorter than the answer would be."""


class Likeness(Struct, frozen=True):
    """An answer by what sets it apart from another one that is shown."""

    node: str
    """That gave the other one."""
    line: int
    """Of the other one, in the journal."""
    gone: tuple[str, ...]
    """Its lines that are not in this one."""
    new: tuple[str, ...]
    """The lines that it has not."""

    @property
    def text(self) -> str:
        """Both, as in a diff."""
        return "\n".join([*(f"- {line}" for line in self.gone), *(f"+ {line}" for line in self.new)])


class Shown(Struct):
    """The answers that a page shows as they were given, the latest of each node to each question.

    Questions are told apart by name and command, as one name may ask different things.
    """

    _by_question: dict[tuple[str, tuple[str, ...]], dict[str, Answer]] = field(default_factory=dict)

    def likeness(self, node: str, answer: Answer, limit: int) -> Likeness | None:
        """Return how the answer differs from the node's own last one, or else from the last of any node.

        None where there is none to compare it with, or where the comparison would not be much shorter than the
        answer, of which a page shows ``limit`` letters: it counts as shown then. Linear in the answer's lines.
        """
        given = self._by_question.setdefault((answer.id, answer.argv), {})
        other = node if node in given else next(reversed(given), None)
        found = None if other is None else compare(other, given[other], answer)
        if found is not None and len(found.text) * SHORTER <= min(len(answer.stdout), limit):
            return found
        given.pop(node, None)
        given[node] = answer
        return None


def compare(node: str, other: Answer, answer: Answer) -> Likeness | None:
    """Return the lines that are in one of two answers only; None where nothing but their order differs."""
    lines, before = answer.stdout.splitlines(), other.stdout.splitlines()
    gone, new = tuple(_without(before, lines)), tuple(_without(lines, before))
    if not gone and not new and lines != before:
        return None
    return Likeness(node, other.line, gone, new)


def _without(lines: Sequence[str], others: Sequence[str]) -> Iterator[str]:
    """Yield the lines that are not among the others, as often as they are more."""
    left = Counter(others)
    for line in lines:
        if left[line] > 0:
            left[line] -= 1
        else:
            yield line


def alike_but_for_name(answers: Sequence[Answer]) -> list[list[Answer]]:
    """Group answers that are the same once each one's argument is taken out of it, in the order of their first.

    The argument of ``route_to:10.0.0.2`` is the address: each node is asked for the way to every other one.
    """
    groups: dict[object, list[Answer]] = {}
    for number, answer in enumerate(answers):
        name, _, argument = answer.id.partition(":")
        key: object = number
        if argument and answer.is_answered:
            said = answer.stdout.replace(argument, "\0"), answer.stderr.replace(argument, "\0")
            key = (name, answer.exit_status, *said)
        groups.setdefault(key, []).append(answer)
    return list(groups.values())
