"""How a gate says no: what was seen, why it matters, what to type next, and under which id; and how its own sentence is
shown then."""

from __future__ import annotations

import re

from pve_runbook.refusal.ids import RefusalId

_ID = re.compile(r"\[(PVE-R[0-9]{3})\]")
REQUIRED = "required: "
"""Stands before the sentence of a gate that failed or is unknown: by itself the sentence says that the gate holds."""
_BEFORE = {"failed": REQUIRED, "unknown": REQUIRED, "blocked": "not reached: "}
_OF_NO_NODE = "cluster"
_HEADLINE = 100
"""Letters of a headline from which on it ends with a clause: the whole stands where the gate says it."""


def sentence(title: str, outcome: str) -> str:
    """A gate's sentence as it is shown once the gate ended so: only where it passed it stands as a statement."""
    return _BEFORE.get(outcome, "") + title


def headline(title: str, where: str, node: str | None, message: str) -> str:
    """A gate that did not pass, in one line: where, and what was seen there; what was required, where nothing is said.

    ``where``: its phase, or "". ``node``: None for all. ``message``: all that the gate said.
    """
    first = _ID.sub("", message.strip().partition("\n")[0]).strip().rstrip(".:")
    place, colon, rest = first.partition(": ")
    if colon and place in (node, _OF_NO_NODE):
        first = rest
    if len(first) > _HEADLINE:
        clause = first[:_HEADLINE].rpartition("; ")[0]
        first = f"{clause}, and more" if clause else first
    if not first or first.startswith("assert "):
        first = REQUIRED + title.rstrip(".")
    at = " on ".join(part for part in (where, node) if part)
    return f"{at}: {first}" if at else first


def is_said(seen: str, verdict: str) -> bool:
    """Whether a verdict has the first line of a gate that failed, word by word; or there is none."""
    return seen.removeprefix(f"{_OF_NO_NODE}: ").rstrip(".") in verdict


def refusal(of: RefusalId, node: str, *, seen: str, why: str, do: str) -> str:
    """Three lines for the operator. ``node`` is a node's name, or "cluster" where no single one is meant."""
    return with_id(of, f"{node}: {seen}.\n{why[0].upper()}{why[1:]}.\n{do}.")


def with_id(of: RefusalId, text: str) -> str:
    """``text`` with the id behind it."""
    return f"{text} [{of}]"


def ids_in(text: str) -> tuple[str, ...]:
    """The ids of the refusals that ``text`` says, in their order, each once."""
    return tuple(dict.fromkeys(_ID.findall(text)))
