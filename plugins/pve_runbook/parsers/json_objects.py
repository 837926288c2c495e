"""Reading JSON with types: every value is checked, and a surprise is a ParseError."""

from __future__ import annotations

import json

from pve_runbook.parsers.output import ParseError, excerpt


class JsonObject:
    """One JSON object; `what` names it in messages."""

    __slots__ = ("_values", "_what")

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            raise ParseError(f"{what} is not a JSON object: {excerpt(str(value))}")
        self._values: dict[str, object] = value
        self._what = what

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def names(self) -> tuple[str, ...]:
        """The names of all members, in the order of the text."""
        return tuple(self._values)

    def _value(self, key: str) -> object:
        if key not in self._values:
            raise ParseError(f"{self._what} has no {key!r}.")
        return self._values[key]

    def anything(self, key: str) -> object:
        """A member as it is, for who looks at what it is himself; ParseError if it is missing."""
        return self._value(key)

    def text(self, key: str) -> str:
        """A string member; ParseError if it is missing or no string."""
        value = self._value(key)
        if not isinstance(value, str):
            raise ParseError(f"{self._what}: {key!r} is not text but {excerpt(str(value))}")
        return value

    def text_or_none(self, key: str) -> str | None:
        """A string member; None if it is missing."""
        return self.text(key) if key in self._values else None

    def number(self, key: str) -> int:
        """A whole number; old Proxmox versions write numbers as strings. ParseError if missing or no
        number."""
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ParseError(f"{self._what}: {key!r} is not a whole number but {excerpt(str(value))}")
        try:
            return int(value)
        except ValueError:
            raise ParseError(f"{self._what}: {key!r} is not a whole number but {excerpt(str(value))}") from None

    def flag(self, key: str) -> bool:
        """A member that is 0 or 1."""
        number = self.number(key)
        if number not in (0, 1):
            raise ParseError(f"{self._what}: {key!r} is neither 0 nor 1 but {number}.")
        return number == 1

    def percent_or_none(self, key: str) -> float | None:
        """A decimal number written as a string; None if the string is empty."""
        value = self.text(key)
        if not value:
            return None
        try:
            return float(value)
        except ValueError:
            raise ParseError(f"{self._what}: {key!r} is not a number but {excerpt(value)}") from None

    def object(self, key: str) -> JsonObject:
        """A member that is an object itself."""
        return JsonObject(self._value(key), f"{key!r} of {self._what}")

    def objects(self, key: str) -> tuple[JsonObject, ...]:
        """A member that is a list of objects."""
        return _objects(self._value(key), f"{key!r} of {self._what}")


def _load(text: str, what: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        raise ParseError(f"{what} is not JSON: {excerpt(text)}") from None
    return value


def _objects(value: object, what: str) -> tuple[JsonObject, ...]:
    if not isinstance(value, list):
        raise ParseError(f"{what} is not a JSON list: {excerpt(str(value))}")
    return tuple(JsonObject(entry, f"an entry of {what}") for entry in value)


def parse_object(text: str, what: str) -> JsonObject:
    """The one object that `text` is; ParseError otherwise."""
    return JsonObject(_load(text, what), what)


def parse_objects(text: str, what: str) -> tuple[JsonObject, ...]:
    """The list of objects that `text` is; ParseError otherwise."""
    return _objects(_load(text, what), what)
