"""Every refusal has an id of its own, a way on, a test that provokes it, and a line in docs/refusals.md."""

from __future__ import annotations

import ast
import os
import tomllib
from functools import cache
from pathlib import Path

import pytest
from pve_runbook.refusal.ids import RefusalId
from refusal_table import gates_that_say, page, said_in_code

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "refusals.md"
PROVOKED = tomllib.loads((Path(__file__).parent / "provoked.toml").read_text(encoding="utf-8"))
"""Id → a test that provokes it, for what no gate says in a starting state of the lab."""


def test_the_page_is_what_the_code_says() -> None:
    if os.environ.get("PVE_RUNBOOK_REFUSALS") == "write":
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_id_is_said_somewhere() -> None:
    assert set(RefusalId) - {said.of for said in said_in_code()} == {RefusalId.OF_YOUR_OWN}


def test_one_id_is_one_refusal() -> None:
    """Said in two places it says the same: otherwise a page that names it would be wrong in one of them."""
    words: dict[RefusalId, set[str]] = {}
    for said in said_in_code():
        if said.seen != "…":  # handed on from where it is written
            words.setdefault(said.of, set()).add(said.seen)
    assert {of for of, texts in words.items() if len(texts) > 1} == set()


@pytest.mark.parametrize("of", [of for of in RefusalId if of is not RefusalId.OF_YOUR_OWN], ids=str)
def test_every_refusal_is_provoked_by_a_test(of: RefusalId) -> None:
    if gates_that_say().get(str(of)):
        return
    file, _, name = PROVOKED[str(of)].partition("::")
    assert name in functions(ROOT / file)


@cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_refusal_of_a_gate_says_what_to_do() -> None:
    assert {said.of for said in said_in_code() if said.of.number <= 200 and not said.do.strip(" …")} == {
        RefusalId.WINDOW_FAILED  # one text for each of its endings
    }
