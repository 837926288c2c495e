"""Dataclasses as plain JSON values and back, strictly: what a type does not say is refused, not guessed."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


class NotPlain(ValueError):
    """A value is not what its place asks for; one line that names the place."""


def to_plain(value: object) -> object:
    """A dataclass, tuple or mapping as dicts and lists; a field that has its default is left out."""
    if is_dataclass(value) and not isinstance(value, type):
        found = {}
        for field in fields(value):
            content = getattr(value, field.name)
            default = field.default_factory() if field.default_factory is not MISSING else field.default
            if content != default:
                found[field.name] = to_plain(content)
        return found
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_plain(content) for key, content in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(content) for content in value]
    return value


def from_plain(wanted: type[T], value: object, where: str = "") -> T:
    """``value`` as ``wanted``: a dataclass of plain values, Literal, Enum, tuples, dicts and dataclasses.

    Raises NotPlain for a missing or unknown field and for any other type.
    """
    return cast(T, _read(wanted, value, where or "the file"))


def _read(wanted: Any, value: object, where: str) -> object:
    origin, arguments = get_origin(wanted), get_args(wanted)
    if is_dataclass(wanted):
        return _dataclass(wanted, value, where)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _read(next(a for a in arguments if a is not type(None)), value, where)
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        if value in [member.value for member in wanted]:
            return wanted(value)
    elif origin is Literal:
        if value in arguments:
            return value
    elif origin is tuple and isinstance(value, list):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_read(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        if len(arguments) == len(value):
            pairs = zip(arguments, value, strict=True)
            return tuple(_read(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(pairs))
    elif origin is dict and isinstance(value, dict):
        return {_key(arguments[0], k, where): _read(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    elif wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(wanted, type) and type(value) is wanted:
        return value
    raise NotPlain(f"{where}: {str(value)[:40]!r} does not belong there")


def _key(wanted: Any, key: str, where: str) -> object:
    if wanted is int:
        if not key.isdecimal():
            raise NotPlain(f"{where}: {key[:40]!r} is no number")
        return int(key)
    return key


def _dataclass(wanted: Any, value: object, where: str) -> object:
    if not isinstance(value, dict):
        raise NotPlain(f"{where}: {str(value)[:40]!r} does not belong there")
    hints = get_type_hints(wanted)
    known = {f.name: f for f in fields(wanted)}
    for name in value:
        if name not in known:
            raise NotPlain(f"{where}: nothing is known of {str(name)[:40]!r}")
    found = {}
    for name, field in known.items():
        if name in value:
            found[name] = _read(hints[name], value[name], f"{where}.{name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise NotPlain(f"{where}: {name!r} is missing")
    return wanted(**found)
