"""What an action is: a change to one node as data, never as shell text, with why, undo and bounds."""

from __future__ import annotations

import re

from msgspec import Struct

_SAFE_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:;=+-]*\Z")


class Action(Struct, frozen=True):
    """One change to one node, ready to be sent. ``timeout`` in seconds."""

    name: str
    argv: tuple[str, ...]
    why: str
    undo: str
    repeatable: bool
    timeout: int
    detached: bool
    """Runs as a unit of its own, so that a dropped line neither ends nor hides it."""
    kept: bool = True
    """The node keeps its outcome until that is read. False: it may be sent again as it is, the end is the same."""
    unmounts: bool = False
    """/etc/pve is away from the node for a while after it, and root's keys with it."""


class ActionTemplate(Struct, frozen=True):
    """An action whose argv still has fields to fill."""

    name: str
    argv: tuple[str, ...]
    why: str
    undo: str
    repeatable: bool
    timeout: int
    detached: bool
    kept: bool = True
    unmounts: bool = False

    def bind(self, **values: str) -> Action:
        """Fill the fields. Raises ValueError when a value could be read as an option, a path or shell text."""
        for field, value in values.items():
            if not _SAFE_VALUE.match(value):
                raise ValueError(f"{self.name}: {field}={value!r} is not a plain name")
        argv = tuple(a.format(**values) for a in self.argv)
        why, undo = self.why.format(**values), self.undo.format(**values)
        return Action(
            self.name, argv, why, undo, self.repeatable, self.timeout, self.detached, self.kept, self.unmounts
        )
