"""The file of --save-facts: what is not one is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import fields
from pve_runbook.facts_file import model
from pve_runbook.facts_file.model import FORMAT, VERSION, NoPortrait, dump, load

NODE = {
    "name": "pve1",
    "hostname": "pve1",
    "version": "8.3.0",
    "clock": 0,
    "names": {},
    "units": {},
    "pmxcfs": {"commands": [], "mounts": 0, "answers": "unmounted"},
    "database": None,
}
WHOLE = {"format": FORMAT, "version": VERSION, "taken": 1.5, "files": {}, "nodes": [NODE]}


def test_a_small_one_is_read() -> None:
    assert load(json.dumps(WHOLE)).nodes[0].pmxcfs.answers == "unmounted"
    assert load(dump(load(json.dumps(WHOLE)))) == load(json.dumps(WHOLE))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "x"}, "this is no file of --save-facts"),
        ({"version": 2}, "its format has version 2; this tool reads 1"),
        ({"nodes": []}, "it names no node, one of them twice"),
        ({"nodes": [NODE, NODE]}, "it names no node, one of them twice"),
        ({"nodes": [{**NODE, "hostname": "a b"}]}, "or one by what is no host name"),
        ({"nodes": [{**NODE, "hostname": "../../x"}]}, "'../../x' is nothing that a node says"),
        ({"nodes": [{**NODE, "storages": {"/var/lib/pve-cluster/../x": []}}]}, "is nothing that a node says"),
        ({"nodes": [{**NODE, "version": "\x1b[2J"}]}, "is nothing that a node says"),
        ({"nodes": [{**NODE, "clock": "0"}]}, "Expected `int`, got `str` - at `$.nodes[0].clock`"),
        ({"nodes": [{**NODE, "clock": True}]}, "Expected `int`, got `bool` - at `$.nodes[0].clock`"),
        ({"nodes": [{**NODE, "colour": 1}]}, "Object contains unknown field `colour` - at `$.nodes[0]`"),
        (
            {"nodes": [{k: v for k, v in NODE.items() if k != "units"}]},
            "missing required field `units` - at `$.nodes[0]`",
        ),
        (
            {"nodes": [{**NODE, "pmxcfs": {**NODE["pmxcfs"], "answers": "no"}}]},
            "value 'no' - at `$.nodes[0].pmxcfs.answers`",
        ),  # type: ignore[dict-item]
        (
            {"nodes": [{**NODE, "standing": {"x": "paused"}}]},
            "Expected `int`, got `str` - at `key` in `$.nodes[0].st",
        ),
        (
            {"nodes": [{**NODE, "database": {"version": 1, "mtime": 1, "writer": 1, "files": {"a.cfg": 0}}}]},
            "pve1: its database has a variant of a.cfg that is not there",
        ),
    ],
)
def test_what_is_none_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(NoPortrait) as refused:
        load(json.dumps({**WHOLE, **change}))
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "null"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(NoPortrait):
        load(text)


def test_every_field_survives(make: Callable[..., Any]) -> None:
    found = make("storage-readonly", 2).portrait()
    assert load(dump(found)) == found


def test_every_field_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "facts.md").read_text()
    kinds = [kind for kind in vars(model).values() if isinstance(kind, type) and issubclass(kind, model.Part)]
    assert len(kinds) > 10
    missing = [f"{kind.__name__}.{f.name}" for kind in kinds for f in fields(kind) if f"`{f.name}`" not in text]
    assert missing == []
