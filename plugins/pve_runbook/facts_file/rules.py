"""The rules of nftables as they may be told: nft's own objects, without what people wrote beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from pve_runbook.parsers.nftables import Ruleset, Where

_WORD = re.compile(r"[A-Za-z0-9_.:,/@+!*-]+|[=!<>]=|[<>]")
_WORDED = ("log", "counter", "comment")
MOST_ELEMENTS = 1000
"""A longer set is left out: what asks for it is in doubt in the twin."""


def nft_objects(ruleset: Ruleset) -> Iterator[str]:
    """Chains, sets and rules, each as JSON. The table that iptables-save shows is not among them; a rule or a set with
    a word of another form than usual is left out whole."""
    bases = {base.where: base for base in ruleset.bases}
    for where, rules in ruleset.chains.items():
        if where[:2] == ("ip", "filter"):
            continue
        base = bases.get(where)
        called = {"type": base.kind, "hook": base.hook, "prio": 0} if base is not None else {}
        policy = {"policy": "drop" if base.drops else "accept"} if base is not None else {}
        yield from _told("chain", where, "name", {**called, **policy})
        for rule in rules:
            yield from _told(
                "rule", where, "chain", {"expr": [{s.kind: s.value} for s in rule if s.kind not in _WORDED]}
            )
    for where, elements in ruleset.sets.items():
        if len(elements) <= MOST_ELEMENTS:
            yield from _told("set", where, "name", {"elem": [_bare(e) for e in elements]})


def _bare(element: object) -> object:
    """An element of a set without its comment and without what is left of its time."""
    inner = element.get("elem") if isinstance(element, dict) else None
    return inner.get("val") if isinstance(inner, dict) else element


def _told(kind: str, where: Where, name: str, value: dict[str, object]) -> Iterator[str]:
    family, table, own = where
    entry = {"family": family, "table": table, name: own, **value}
    if all(map(_WORD.fullmatch, _words(entry))):
        yield json.dumps({kind: entry}, separators=(",", ":"))


def _words(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _words(inner)
