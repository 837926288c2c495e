"""Mutants by name: what once went wrong, or was tried against the tests, in the data files beside this one.

[[mutant]]
id = "short-name"
file = "plugins/pve_runbook/…"
find = "text that stands there once"
replace = "what stands there instead"
tests = ["tests/room"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from mutant import Mutant


class Stale(Exception):
    """An entry whose text does not stand in its file, once."""


def named(root: Path, folder: Path) -> Iterator[Mutant]:
    """Every entry of every data file. Raises Stale."""
    for data in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(data.read_text(encoding="utf-8"))["mutant"]:
            source = (root / entry["file"]).read_bytes()
            find = entry["find"].encode()
            if source.count(find) != 1:
                raise Stale(
                    f"{data.name}, {entry['id']}: its text stands {source.count(find)} times in {entry['file']}"
                )
            start = source.index(find)
            yield Mutant(
                f"{data.stem}:{entry['id']}",
                "named",
                entry["file"],
                start,
                start + len(find),
                entry["replace"],
                tuple(entry["tests"]),
            )
