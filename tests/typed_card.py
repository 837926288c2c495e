"""The card of the work by hand, taken apart into what is typed where."""

from __future__ import annotations

import re
from collections.abc import Iterator

BLOCK = re.compile(r"^## \d+\. (?P<nodes>.+)\n(?P<about>(?:.*\n)*?)```sh\n(?P<lines>(?:.*\n)*?)```$", re.MULTILINE)


def typed(card: str) -> Iterator[tuple[str, str]]:
    """(node, lines) of every block at every node that it names, in their order."""
    blocks = list(BLOCK.finditer(card))
    assert card.count("```sh") == len(blocks)
    for block in blocks:
        for node in block["nodes"].split(", "):
            yield node, block["lines"]
