"""Read the lines of a journal.

A line is read as strictly as it was written. One that cannot be, of another version or changed, is read leniently
all the same: the record of a run must be readable, and a field that is missing or of another type reads as empty.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from cattrs import Converter
from cattrs.gen import make_dict_structure_fn

from pve_runbook.journal.events import Entry, Event, Unknown
from pve_runbook.journal.rows import Asked

Hook = Callable[[Any, Any], Any]
T = TypeVar("T")

_KINDS: dict[str, type[Event]] = {kind.kind: kind for kind in get_args(Event)}
_WRONG = (TypeError, ValueError, KeyError, AttributeError)


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
    try:
        return Entry(number, time, step, _STRICT.structure(line, kind))
    except _WRONG as error:
        return Entry(number, time, step, _LENIENT.structure(line, kind), f"{type(error).__name__}: {error}")


# --- as written, or not at all: each hook raises one of _WRONG ---


def _strict() -> Converter:
    converter = Converter(detailed_validation=False)
    for plain in (str, int, bool):
        converter.register_structure_hook(plain, _exactly(plain))
    converter.register_structure_hook(float, _finite)
    converter.register_structure_hook(Asked | int, lambda value, _: _asked(converter, value))
    converter.register_structure_hook_factory(_is_literal, lambda _: _one_of)
    converter.register_structure_hook_factory(_is_tuple, lambda kind: _list_of(converter, kind))
    return converter


def _exactly(kind: type[T]) -> Hook:
    def hook(value: Any, _: Any) -> T:
        if type(value) is kind:
            return value
        raise TypeError(f"{value!r:.40} is not of type {kind.__name__}")

    return hook


def _finite(value: Any, _: Any) -> float:
    if type(value) in (int, float) and math.isfinite(value):
        return value  # type: ignore[no-any-return]  # it is one of the two
    raise TypeError(f"{value!r:.40} is not a number")


def _one_of(value: Any, kind: Any) -> str:
    if value in get_args(kind):
        return value  # type: ignore[no-any-return]  # it is one of the words
    raise TypeError(f"{value!r:.40} is none of {', '.join(get_args(kind))}")


def _asked(converter: Converter, value: Any) -> Asked | int:
    if type(value) is int:
        return value
    if isinstance(value, dict):
        return converter.structure(value, Asked)
    raise TypeError(f"{value!r:.40} is no question")


def _list_of(converter: Converter, kind: Any) -> Hook:
    (item, _) = get_args(kind)
    read = converter.get_structure_hook(item)

    def hook(value: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{value!r:.40} is not a list")
        return tuple([read(one, item) for one in value])

    return hook


# --- leniently: no hook raises ---


def _lenient() -> Converter:
    converter = Converter(detailed_validation=False)
    converter.register_structure_hook(str, lambda value, _: _text(value))
    converter.register_structure_hook(int, lambda value, _: _int(value) or 0)
    converter.register_structure_hook(bool, lambda value, _: value is True)
    converter.register_structure_hook(float, lambda value, _: value if _is_number(value) else 0.0)
    converter.register_structure_hook_factory(is_dataclass, lambda kind: _object(converter, kind))
    converter.register_structure_hook_factory(_is_optional, _optional)
    converter.register_structure_hook_factory(_is_literal, lambda _: _word)
    converter.register_structure_hook_factory(_is_dict, lambda kind: _dict(converter, kind))
    converter.register_structure_hook_factory(_is_tuple, lambda kind: _items(converter, kind))
    one = converter.get_structure_hook(Asked)
    converter.register_structure_hook(Asked | int, lambda value, _: value if type(value) is int else one(value, Asked))
    return converter


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _is_dict(kind: Any) -> bool:
    return get_origin(kind) is dict


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType) and type(None) in get_args(kind)


def _optional(kind: Any) -> Hook:
    if str in get_args(kind):
        return lambda value, _: _text(value) or None
    assert int in get_args(kind), kind
    return lambda value, _: _int(value)


def _word(value: Any, kind: Any) -> str:
    """Of a few words; one that nobody knows is unknown, or else the first."""
    known: tuple[str, ...] = get_args(kind)
    return next((word for word in (value, "unknown") if word in known), known[0])


def _object(converter: Converter, kind: type) -> Hook:
    read: Hook = make_dict_structure_fn(kind, converter)
    empty = {item.name: None for item in fields(kind) if item.default is MISSING}
    return lambda value, _: read({**empty, **value} if isinstance(value, Mapping) else empty, kind)


def _dict(converter: Converter, kind: Any) -> Hook:
    _, item = get_args(kind)
    read = converter.get_structure_hook(item)

    def hook(value: Any, _: Any) -> dict[str, Any]:
        return {_text(k): read(v, item) for k, v in value.items()} if isinstance(value, Mapping) else {}

    return hook


def _items(converter: Converter, kind: Any) -> Hook:
    """Of a list; rows that are no objects and numbers that are none are left out."""
    (item, _) = get_args(kind)
    read = converter.get_structure_hook(item)

    def is_one(value: object) -> bool:
        if item is int:
            return _int(value) is not None
        return isinstance(value, Mapping) or not is_dataclass(item)

    def hook(value: Any, _: Any) -> tuple[Any, ...]:
        return tuple(read(one, item) for one in value if is_one(one)) if isinstance(value, list | tuple) else ()

    return hook


_STRICT, _LENIENT = _strict(), _lenient()
