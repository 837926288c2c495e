"""Outside runbook/ no test changes a node: one that asks for an action fixture is refused at collection."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.usage import usage_error

ASKS_FOR_AN_ACTION = (
    "{item} asks for {name!r} of {file}: the fixtures there change nodes, and only runbook/ may; move the test there, "
    "or read what it needs from host.pve"
)


def refuse_actions(items: Iterable[pytest.Item], root: Path) -> None:
    """Look at every item outside ``root``/runbook. Raises UsageError for the first that asks for an action fixture."""
    folder = root / "runbook"

    @cache
    def is_inside(path: Path) -> bool:
        return folder in path.parents

    @cache
    def is_at_home(fixture: pytest.FixtureDef[object]) -> bool:
        return is_inside(_home(fixture))

    @cache
    def actions() -> dict[str, Path]:
        return _fixtures(folder)

    for item in items:
        if not isinstance(item, pytest.Function) or is_inside(item.path):
            continue
        own = item._fixtureinfo.name2fixturedefs
        for name in item.fixturenames:
            defined = own.get(name)
            if name == "request" or (defined is not None and not is_at_home(defined[-1])):
                continue  # runbook/ is read for the others only
            if name in actions():
                raise usage_error(
                    RefusalId.CHECK_ASKS_FOR_AN_ACTION,
                    ASKS_FOR_AN_ACTION.format(item=item.nodeid, name=name, file=actions()[name].relative_to(root)),
                )


def _home(fixture: pytest.FixtureDef[object]) -> Path:
    code = getattr(fixture.func, "__code__", None)
    return Path(code.co_filename if code is not None else "")


def _fixtures(folder: Path) -> dict[str, Path]:
    """The fixtures of runbook/ by name, with their file: read, not imported."""
    return {name: path for path in folder.glob("*.py") for name in _fixtures_in(path)}


def _fixtures_in(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and any("fixture" in ast.unparse(d) for d in node.decorator_list):
            yield node.name
