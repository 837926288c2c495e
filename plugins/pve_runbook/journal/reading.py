"""Read the lines of a journal.

The record of a run must be readable, also of another version or changed: a field that is missing or of another type
reads as empty. What was read is then held against the line, and the first that is not as it was written is named.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from pve_runbook.journal.events import Entry, Event, Unknown

S = TypeVar("S", bound=Struct)

_KINDS: dict[str, type[Event]] = {kind.kind: kind for kind in get_args(Event)}


def decode(line: bytes) -> tuple[Entry, str] | None:
    """Return what a line holds and the hash it names of the line before it; None when it is no line of a journal."""
    try:
        found = json.loads(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    prev = found.get("prev") if isinstance(found, dict) else None
    return (entry_of(found), prev) if isinstance(prev, str) else None


def entry_of(line: Mapping[str, object]) -> Entry:
    """Return what the JSON object of a line holds. Never raises on account of it."""
    number, time, step = line.get("n"), line.get("t"), line.get("step")
    if type(number) is not int or type(time) is not str or not (step is None or type(step) is str):
        number, time, step = _int(number) or 0, _text(time), _text(step)
    step = step or None
    name = line.get("kind")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        return Entry(number, time, step, Unknown(_text(name)))
    event = _object(line, kind)
    return Entry(number, time, step, event, _otherwise(event, line, ""))


def _otherwise(read: object, value: object, where: str) -> str:
    """What of a value does not stand in what was read of it, as words; "" when all of it does.

    A field that is not there is none where it has a default: a version without it wrote the line.
    """
    if isinstance(read, Struct) and isinstance(value, Mapping):
        for item in _fields(type(read)):
            if item.name not in value and item.required:
                return f"it has no {where}{item.name}"
            if item.name in value:
                found = _otherwise(getattr(read, item.name), value[item.name], f"{where}{item.name}.")
                if found:
                    return found
        return ""
    pairs: Iterable[tuple[object, object]] | None = None
    if isinstance(read, tuple) and isinstance(value, list) and len(read) == len(value):
        pairs = zip(read, value, strict=True)
    elif isinstance(read, dict) and isinstance(value, dict) and len(read) == len(value):
        pairs = [(read[key], value.get(key)) for key in read]
    elif type(read) is type(value) and read == value:
        return ""
    if pairs is None:
        return f"its {where[:-1]} is {value!r:.40}"
    return next(filter(None, (_otherwise(one, other, where) for one, other in pairs)), "")


# --- leniently: none of these raises ---


def _object(value: object, kind: type[S]) -> S:
    """A field that is not there has its default, or else reads as empty."""
    given = value if isinstance(value, Mapping) else {}
    asked = [item for item in _fields(kind) if item.required or item.name in given]
    return kind(**{item.name: _read(given.get(item.name), item.type) for item in asked})


@cache
def _fields(kind: type[Struct]) -> tuple[FieldInfo, ...]:
    return fields(kind)


def _read(value: Any, kind: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _word(value, arguments)
    if origin is tuple:
        return _items(value, arguments[0])
    if origin is dict:
        return {_text(k): _read(v, arguments[1]) for k, v in value.items()} if isinstance(value, Mapping) else {}
    if origin in (Union, UnionType):
        return _either(value, arguments)
    if issubclass(kind, Struct):
        return _object(value, kind)
    return _PLAIN[kind](value)


def _either(value: object, kinds: tuple[Any, ...]) -> object:
    if str in kinds:
        return value if isinstance(value, str) else _text(value) or None
    if type(None) in kinds:
        return _int(value)
    (row,) = (kind for kind in kinds if kind is not int)
    return value if type(value) is int else _object(value, row)


def _items(value: object, kind: Any) -> tuple[Any, ...]:
    """Of a list; rows that are no objects and numbers that are none are left out."""

    def is_one(item: object) -> bool:
        if kind is int:
            return _int(item) is not None
        return isinstance(item, Mapping) or not (isinstance(kind, type) and issubclass(kind, Struct))

    return tuple(_read(one, kind) for one in value if is_one(one)) if isinstance(value, list | tuple) else ()


def _word(value: object, known: tuple[str, ...]) -> str:
    """Of a few words; one that nobody knows is unknown, or else the first."""
    return next((word for word in known if word == value), "unknown" if "unknown" in known else known[0])


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_PLAIN: dict[type, Callable[[object], object]] = {
    str: _text,
    int: lambda value: _int(value) or 0,
    bool: lambda value: value is True,
    float: lambda value: value if _is_number(value) else 0.0,
}
