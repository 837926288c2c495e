"""The line of an event, as it stands in a journal.

Nothing is imported for it: a run that only reads its nodes writes from its first second, and reads no journal.
"""

from __future__ import annotations

import json
from typing import Any

from pve_runbook.journal.events import Entry, Probe


def encode(entry: Entry, prev: str) -> bytes:
    """Return the line of an event; ``prev`` is the SHA-256 (hex) of the line before it."""
    head = {"n": entry.number, "t": entry.time, "kind": entry.event.kind, "step": entry.step}
    line = {**head, **_fields(entry.event), "prev": prev}
    return _ENCODER.encode(line).encode("utf-8", "surrogateescape") + b"\n"


def _fields(row: Any) -> dict[str, Any]:
    given = {name: getattr(row, name) for name in row.__struct_fields__}
    if isinstance(row, Probe):
        return {name: value for name, value in given.items() if value is not None}
    return given


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_fields)
