"""How a gate says no: what was seen, why it matters, what to type next, and under which id."""

from __future__ import annotations

import re

from pve_runbook.refusal.ids import RefusalId

_ID = re.compile(r"\[(PVE-R[0-9]{3})\]")


def refusal(of: RefusalId, node: str, *, seen: str, why: str, do: str) -> str:
    """Three lines for the operator. ``node`` is a node's name, or "cluster" where no single one is meant."""
    return with_id(of, f"{node}: {seen}.\n{why[0].upper()}{why[1:]}.\n{do}.")


def with_id(of: RefusalId, text: str) -> str:
    """``text`` with the id behind it."""
    return f"{text} [{of}]"


def ids_in(text: str) -> tuple[str, ...]:
    """The ids of the refusals that ``text`` says, in their order, each once."""
    return tuple(dict.fromkeys(_ID.findall(text)))
