"""Text that any encoder takes: what a node said need not be text, and a record is written for people."""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

T = TypeVar("T")


def printable(value: T) -> T:
    """Return an event or an entry in whose texts lone surrogates are question marks; itself where there are none."""
    return _printable(value)  # type: ignore[no-any-return]  # each kind of value gives one of its kind


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else _text(value)
    if isinstance(value, tuple):
        items = tuple([_printable(item) for item in value])
        return items if items != value else value
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if not isinstance(value, Struct):
        return value
    changed = {}
    for name in value.__struct_fields__:
        before = getattr(value, name)
        if before is None or isinstance(before, float | int) or (isinstance(before, str) and before.isascii()):
            continue  # as nearly everything is: a call for each was a thirtieth of a run
        after = _printable(before)
        if after is not before and after != before:
            changed[name] = after
    return replace(value, **changed) if changed else value


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode("utf-8")
