"""What was seen on several nodes, in words."""

from __future__ import annotations

from collections.abc import Iterable


def said_once(seen: Iterable[tuple[Iterable[str], str]]) -> tuple[str, ...]:
    """``NODES: WHAT`` of pairs (nodes, what was seen there); what is alike on several nodes stands once."""
    where: dict[str, list[str]] = {}
    for nodes, what in seen:
        where.setdefault(what, []).extend(nodes)
    return tuple(f"{', '.join(nodes)}: {what}" for what, nodes in where.items())
