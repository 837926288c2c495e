"""The membership as it is now, looked at again and again: what the past does not tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from pve_runbook.facts.node import Glimpse

STEP = 5
"""Seconds between two looks: a flap takes 13 s up and 24 s down (recorded), a token timeout and consensus 8 s."""
PROGRESS_LINES = 10


class Lookout(Protocol):
    """What can look at all nodes at once."""

    def glimpse(self, seconds: int) -> Mapping[str, Glimpse]:
        """Node name → what it says now; takes ``seconds``."""


class Look(Struct, frozen=True):
    """One node at one moment; None where it did not say."""

    quorate: bool | None
    ring: str | None
    online: frozenset[str] | None

    def followed_by(self, later: Look) -> Look:
        """The last that is known after a later look."""
        return Look(
            self.quorate if later.quorate is None else later.quorate,
            self.ring if later.ring is None else later.ring,
            self.online if later.online is None else later.online,
        )


class Watched(Struct, frozen=True):
    """All looks at all nodes, STEP seconds apart."""

    looks: Mapping[str, tuple[Look, ...]]

    def silent(self, node: str) -> int:
        """How many looks got neither of the two answers."""
        return sum(look == _NOTHING for look in self.looks[node])

    def changes(self, node: str) -> tuple[str, ...]:
        """What changed from look to look, in words, with the second at which it was noticed."""
        found = []
        known, *later = self.looks[node]
        for number, look in enumerate(later, 1):
            words = ", ".join(_differences(known, look))
            if words:
                found.append(f"{words} (second {number * STEP})")
            known = known.followed_by(look)
        return tuple(found)


_NOTHING = Look(None, None, None)


def watch(lookout: Lookout, seconds: int, say: Callable[[str], None]) -> Watched:
    """Look at all nodes for about ``seconds``, and ``say`` how far it is."""
    count = max(2, -(-seconds // STEP))
    every = -(-count // PROGRESS_LINES)
    looks: dict[str, list[Look]] = {}
    for number in range(1, count + 1):
        for name, glimpse in lookout.glimpse(STEP).items():
            looks.setdefault(name, []).append(_look(glimpse))
        if number % every == 0 or number == count:
            so_far = Watched({n: tuple(found) for n, found in looks.items()})
            changed = sum(bool(so_far.changes(n)) for n in looks)
            say(f"watched {number * STEP} of {count * STEP} s; nodes that saw a change: {changed} of {len(looks)}")
    return Watched({n: tuple(found) for n, found in looks.items()})


def _look(glimpse: Glimpse) -> Look:
    pvecm, members = glimpse
    quorum = pvecm.quorum if pvecm is not None else None
    nodes = members.nodes if members is not None else None
    return Look(
        quorate=quorum.quorate if quorum is not None else None,
        ring=quorum.ring_id if quorum is not None else None,
        online=frozenset(n for n, m in nodes.items() if m.online) if nodes is not None else None,
    )


def _differences(before: Look, after: Look) -> list[str]:
    found = []
    if None not in (before.quorate, after.quorate) and before.quorate != after.quorate:
        found.append("quorum came" if after.quorate else "quorum went")
    if before.online is not None and after.online is not None:
        found += [f"{n} went offline" for n in sorted(before.online - after.online)]
        found += [f"{n} came online" for n in sorted(after.online - before.online)]
    if not found and None not in (before.ring, after.ring) and before.ring != after.ring:
        found.append(f"a new membership was formed, {before.ring} to {after.ring}")
    return found
