"""How a gate says no: what was seen, why it matters, what to type next."""

from __future__ import annotations


def refusal(node: str, *, seen: str, why: str, do: str) -> str:
    """Three lines for the operator. ``node`` is a node's name, or "cluster" where no single one is meant."""
    return f"{node}: {seen}.\n{why[0].upper()}{why[1:]}.\n{do}."
