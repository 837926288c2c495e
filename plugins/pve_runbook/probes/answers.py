"""The answers of one node's probes; an unknown fact cannot be read as yes or no."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from msgspec import Struct

from pve_runbook.parsers.output import ParseError
from pve_runbook.probes.probe import SUBJECT, Group, Probe, ProbeFamily

T = TypeVar("T")


class UnknownFact(Exception):
    """A gate asked for a fact that the node did not give: the gate is unknown, and unknown blocks."""

    def __init__(self, node: str, question: str, why: str, *, not_understood: bool = False) -> None:
        """``not_understood``: the node answered, in words that are not known; else it was silent."""
        super().__init__(f"{node}: {question}: {why}")
        self.node = node
        self.question = question
        self.why = why
        self.not_understood = not_understood


class Missing(Struct, frozen=True):
    """In place of a value: the node did not say, or not in words we know (``not_understood``); ``kind`` tells what kind
    of silence it is."""

    why: str
    kind: type[ParseError] = ParseError
    not_understood: bool = False


NOT_ASKED = Missing("it was not asked")


@dataclass
class Readings:
    """What the probes of one node said. ``readings`` maps a probe's name (``family:subject`` for a family)
    to its parsed value or :class:`Missing`."""

    node: str
    readings: dict[str, object]
    asked: float = field(default_factory=time.time)
    """Seconds since the epoch on the control host, when the first round trip began."""

    load: Callable[[Group], None] | None = None
    """Reads a further group of probes on all nodes, when a fact of it is asked for."""

    is_partial: bool = False
    """Whether only a few probes of the core were asked: for any other one the node is read whole first."""

    def get(self, probe: Probe[T]) -> T:
        """The value of ``probe``. Raises UnknownFact when the node did not give it."""
        if probe.name not in self.readings:
            self._complete()
            if probe.group is not Group.CORE and probe.name not in self.readings and self.load is not None:
                self.load(probe.group)
        return cast(T, self._get(probe.name, lambda: " ".join(probe.argv)))

    def family(self, family: ProbeFamily[T], subject: str) -> T:
        """The value of ``family`` for ``subject``. Raises UnknownFact."""
        self._complete()
        key = f"{family.name}:{subject}"
        return cast(T, self._get(key, lambda: " ".join(family.words).replace(SUBJECT, subject)))

    def about(self, family: ProbeFamily[T]) -> list[T]:
        """What is known of ``family``, whatever it was asked about."""
        self._complete()
        prefix = f"{family.name}:"
        found = (v for key, v in self.readings.items() if key.startswith(prefix) and not isinstance(v, Missing))
        return [cast(T, v) for v in found]

    def is_missing(self, probe: Probe[T] | ProbeFamily[T], kind: type[ParseError], subject: str = "") -> bool:
        """Whether ``probe`` was asked, a family about ``subject``, and got this kind of silence for an answer."""
        self._complete()
        value = self.readings.get(f"{probe.name}:{subject}" if isinstance(probe, ProbeFamily) else probe.name)
        return isinstance(value, Missing) and issubclass(value.kind, kind)

    def _complete(self) -> None:
        if self.is_partial and self.load is not None:
            self.load(Group.CORE)

    def _get(self, key: str, question: Callable[[], str]) -> object:
        value = self.readings.get(key, NOT_ASKED)
        if isinstance(value, Missing):
            asked = question()
            raise UnknownFact(
                self.node, asked if len(asked) < 90 else key, value.why, not_understood=value.not_understood
            )
        return value


def known(ask: Callable[[], T]) -> T | None:
    """The answer, or None where it is unknown: for evidence that is weighed, never for a gate."""
    try:
        return ask()
    except (UnknownFact, ParseError):
        return None


def known_or_why(ask: Callable[[], T]) -> T | UnknownFact:
    """The answer, or why it is unknown."""
    try:
        return ask()
    except UnknownFact as error:
        return error
