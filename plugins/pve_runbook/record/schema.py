"""The schema of record.json, from its classes: python -m pve_runbook.record.schema > docs/record.schema.json"""

from __future__ import annotations

import ast
import inspect
import json
from textwrap import dedent
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from msgspec import Struct
from msgspec.structs import fields

from pve_runbook.record.document import SCHEMA_VERSION, Document

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of what ``record_json`` gives: every field, and no other."""
    found: dict[str, Any] = {}
    root = _object(Document, found)
    root["description"] = f"record.json, version {SCHEMA_VERSION}. {root['description']}"
    root["properties"]["schema_version"] = {"const": SCHEMA_VERSION}
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, "title": "pve-runbook change record", **root, "$defs": dict(sorted(found.items()))}


def _object(kind: type[Any], found: dict[str, Any]) -> dict[str, Any]:
    """One class; those that its fields name are put into ``found``."""
    told = _told(kind)
    return {
        "description": _flat(kind.__doc__ or ""),
        "type": "object",
        "properties": {item.name: {**_of(item.type, found), **told.get(item.name, {})} for item in fields(kind)},
        "required": [item.name for item in fields(kind)],
        "additionalProperties": False,
    }


def _of(kind: Any, found: dict[str, Any]) -> dict[str, Any]:
    """A field's type."""
    arguments = get_args(kind)
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _of(arguments[0], found)}
    if get_origin(kind) is Literal:
        return {"enum": list(arguments)}
    if get_origin(kind) in (Union, UnionType):
        if all(one in _TYPES for one in arguments):
            return {"type": [_TYPES[one] for one in arguments]}
        return {"oneOf": [_of(one, found) for one in arguments]}
    if isinstance(kind, type) and issubclass(kind, Struct):
        name = kind.__name__
        if name not in found:
            found[name] = {}
            found[name] = _object(kind, found)
        return {"$ref": f"#/$defs/{name}"}
    return {"type": _TYPES[kind]}


def _told(kind: type[Any]) -> dict[str, dict[str, str]]:
    """Field → what is said of it in the text below it."""
    (tree,) = ast.parse(dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            assert isinstance(below.value, ast.Constant)
            found[field.target.id] = {"description": _flat(str(below.value.value))}
    return found


def _flat(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    print(json.dumps(schema(), indent=1))
