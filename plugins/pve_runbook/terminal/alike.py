"""What is said alike of many nodes, said once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

NAMED = 3
"""Nodes that are named one by one; of more the first few, and a count."""


def names_in_words(names: Sequence[str], of: int = 0) -> str:
    """``pve1, pve2, pve3``, or ``pve1, pve2 and 12 more``; ``all 16 nodes`` where there are as many as ``of``."""
    if len(names) <= NAMED:
        return ", ".join(names)
    if len(names) == of:
        return f"all {of} nodes"
    return f"{', '.join(names[: NAMED - 1])} and {len(names) - NAMED + 1} more"


def with_few_names(text: str, names: Sequence[str]) -> str:
    """``text``, with each list of many nodes in few words: ``all 16 nodes``, or ``pve1 and 13 more``."""
    if len(names) <= NAMED:
        return text
    one = _any_of(tuple(names)).pattern
    return re.sub(f"{one}(?:, {one}){{{NAMED},}}", lambda m: names_in_words(m[0].split(", "), len(names)), text)


def shape(text: str, names: Sequence[str], *, with_numbers: bool = False) -> str:
    """``text`` without the nodes' names and, if not ``with_numbers``, without the numbers in it: what says the same of
    two nodes has one shape."""
    text = _any_of(tuple(names)).sub("NODE", text) if names else text
    if not with_numbers:
        text = re.sub(r"(?<![\w.-])\d+(?:\.\d+)*(?![\w-])", "NUMBER", text)
    return re.sub(r"(NODE|NUMBER)(?:, \1)+", r"\1", text)


@lru_cache(maxsize=8)
def _any_of(names: Sequence[str]) -> re.Pattern[str]:
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<![\w.-])(?:{known})(?![\w-])")


def named_in(text: str, names: Sequence[str]) -> list[str]:
    """The nodes that ``text`` begins with, as in ``pve1: ...`` or ``pve1, pve3: ...``; else the first that it names."""
    head = text.partition(":")[0].split(", ")
    if all(name in names for name in head):
        return head
    found = _any_of(tuple(names)).search(text) if names else None
    return [found[0]] if found else []


def folded(texts: Iterable[str], names: Sequence[str], *, with_numbers: bool = False) -> list[str]:
    """``texts`` with those of one shape as one: the first of them, and of which nodes it is said too."""
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(shape(text, names, with_numbers=with_numbers), []).append(text)
    return [likewise(same, lambda text: named_in(text, names)) for same in groups.values()]


def likewise(same: Sequence[str], nodes_of: Callable[[str], Sequence[str]]) -> str:
    """The first of texts that say the same of several nodes, and of which others it is said."""
    first, *rest = same
    others = [name for name in dict.fromkeys(n for t in rest for n in nodes_of(t)) if name not in nodes_of(first)]
    return f"{first}; likewise {names_in_words(others)}" if others else first
