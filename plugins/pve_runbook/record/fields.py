"""Read the fields of journal events: objects of unknown type in, typed values out.

Nothing here raises: a journal may have been written by another version, or stop in the middle, and the
record of a run must be readable all the same. A field that is missing or of another type reads as empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeGuard

Fields = Mapping[str, object]

Scalar = str | int | float | None
"""A value that is shown as it is: a pid, a start time, a hash, a count."""


def clean(value: str) -> str:
    """Return ``value`` as text that any encoder takes: lone surrogates become question marks."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def text(event: Fields, name: str) -> str:
    """Return a field as text, empty when it is missing."""
    value = event.get(name)
    return "" if value is None else clean(str(value))


def text_or_none(event: Fields, name: str) -> str | None:
    """Return a field as text, None when it is missing, null or empty."""
    return text(event, name) or None


def integer(event: Fields, name: str) -> int | None:
    """Return a whole number, None when the field is missing or anything else."""
    value = event.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def seconds(event: Fields, name: str = "seconds") -> float:
    """Return a duration in seconds, 0.0 when it is missing or not finite."""
    value = event.get(name)
    return float(value) if _is_number(value) else 0.0


def flag(event: Fields, name: str) -> bool:
    """Return whether a field is true; anything but true is false."""
    return event.get(name) is True


def scalar(event: Fields, name: str) -> Scalar:
    """Return a value as it stands when it can be shown in one cell, otherwise its text."""
    value = event.get(name)
    if value is None or _is_number(value):
        return value
    return clean(str(value))


def texts(event: Fields, name: str) -> tuple[str, ...]:
    """Return a list of texts, such as an argv."""
    value = event.get(name)
    return tuple(clean(str(item)) for item in value) if isinstance(value, list | tuple) else ()


def integers(event: Fields, name: str) -> tuple[int, ...]:
    """Return a list of whole numbers; what is none is left out."""
    value = event.get(name)
    found = value if isinstance(value, list | tuple) else ()
    return tuple(item for item in found if isinstance(item, int) and not isinstance(item, bool))


def rows(event: Fields, name: str) -> tuple[Fields, ...]:
    """Return a list of objects; what is not an object is left out."""
    value = event.get(name)
    if not isinstance(value, list | tuple):
        return ()
    return tuple(item for item in value if isinstance(item, Mapping))


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
