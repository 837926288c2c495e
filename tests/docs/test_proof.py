"""The list of guards and their tests: each line is there to be broken, each test is there to turn red."""

from __future__ import annotations

import ast
import tomllib

import pytest
from paper_blocks import ROOT

GUARDS = tomllib.loads((ROOT / "tests" / "mutations" / "thirty_three.toml").read_text())["mutant"]


def test_there_are_some_and_each_has_its_own_name() -> None:
    names = [guard["id"] for guard in GUARDS]
    assert len(names) >= 33 and len(set(names)) == len(names)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard["id"])
def test_a_guard_stands_once_in_its_file_and_its_tests_are_there(guard: dict[str, object]) -> None:
    assert (ROOT / str(guard["file"])).read_text().count(str(guard["find"])) == 1
    assert guard["replace"] != guard["find"] and guard["tests"]
    for test in guard["tests"]:  # type: ignore[attr-defined]
        path, _, name = test.partition("::")
        functions = {f.name for f in ast.parse((ROOT / path).read_text()).body if isinstance(f, ast.FunctionDef)}
        assert not name or name.partition("[")[0] in functions, test


def test_the_paper_names_them_all() -> None:
    text = (ROOT / "docs" / "proof.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "(`" in line]
    assert len(rows) == len(GUARDS)
    for row, guard in zip(rows, GUARDS, strict=True):
        named = [f"(`{guard['id']}`)", f"`{guard['file']}`", *(f"`{test}`" for test in guard["tests"])]
        assert [name for name in named if name not in row] == []
