"""Each module of runbook/ names in its docstring every command that its steps send."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from pve_runbook.actions.leave import DELNODE, HA_REMOVE
from pve_runbook.actions.registry import registry
from pve_runbook.procedure.forecast import _EFFECTS, WITHOUT_EFFECT
from pve_runbook.procedure.stages import STAGES
from pve_runbook.terminal.wrap import cut

RUNBOOK = Path(__file__).parents[2] / "runbook"
PHASES = sorted(RUNBOOK.glob("test_phase*.py"))
SENDS = re.compile(r"\nSends(?:, [^\n]*)?:\n((?: {4,}\S[^\n]*\n)+)")
SCRIPT = Path(__file__).parents[2] / "plugins" / "pve_runbook" / "procedure" / "window.sh"


def fixtures_of(tree: ast.Module) -> dict[str, set[str]]:
    """Function → what it asks for, of every function of a module."""
    return {f.name: {a.arg for a in f.args.args} for f in tree.body if isinstance(f, ast.FunctionDef)}


def asked_in(path: Path) -> set[str]:
    """Every fixture that the steps of a module ask for, by way of others too."""
    own = fixtures_of(ast.parse(path.read_text()))
    known = fixtures_of(ast.parse((RUNBOOK / "conftest.py").read_text())) | own
    found: set[str] = set()
    left = {name for step, names in own.items() if step.startswith("test_") for name in names}
    while left:
        found |= left
        left = {name for fixture in left for name in known.get(fixture, set())} - found
    return found


def sent_in(path: Path) -> set[str]:
    """The commands of the stages that come first in this module, or, on the way back, of all that it asks for."""
    earlier = {f for p in PHASES if p < path for f in asked_in(p)} if "phase8" not in path.name else set()
    asked = asked_in(path) - earlier
    lines = {" ".join(a.argv) for s in STAGES if s.fixture in asked for a in s.sends}
    return {re.sub(r"\{(\w+)\}", lambda field: field[1].upper(), line) for line in lines}


def named_in(path: Path) -> list[str]:
    """The commands that the module's docstring names."""
    found = SENDS.search(f"{ast.get_docstring(ast.parse(path.read_text())) or ''}\n")
    text = re.sub(r"\n {5,}", " ", found[1]) if found is not None else ""  # a long one goes on in the next line
    return [line.strip() for line in text.splitlines()]


@pytest.mark.parametrize("path", PHASES, ids=lambda path: path.stem)
def test_a_phase_names_what_it_sends(path: Path) -> None:
    named = named_in(path)
    assert sorted(named) == sorted(sent_in(path)), "one line a command, as actions/registry.py has it"


def test_every_stage_has_its_place_in_the_runbook() -> None:
    asked = {name for path in PHASES for name in asked_in(path)}
    assert [s.name for s in STAGES if s.fixture not in asked] == []


def test_every_action_is_sent_by_a_stage_and_foreseen() -> None:
    sent = {a.name for s in STAGES for a in s.sends}
    assert set(registry()) == sent
    foreseen = {*_EFFECTS, *WITHOUT_EFFECT, DELNODE.name, HA_REMOVE.name}
    unforeseen = [a.name for a in registry().values() if a.argv[0] != "systemctl" and a.name not in foreseen]
    assert unforeseen == []


def test_what_the_window_does_is_named_with_it() -> None:
    text = (RUNBOOK / "test_phase4_corosync.py").read_text()
    inside = re.search(r"\nThe script, on the node by itself:\n((?:    \S[^\n]*\n)+)", text)
    assert inside is not None
    script = " ".join(SCRIPT.read_text().split()) + " ".join(SCRIPT.with_name("node.sh").read_text().split())
    for line in inside[1].splitlines():
        assert " ".join(line.split()) in script, line


def test_the_modules_of_a_phase_have_its_title() -> None:
    titles: dict[str, set[str]] = {}
    for path in PHASES:
        title = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        titles.setdefault(path.name.split("_")[1], set()).add(title)
    assert {name: found for name, found in titles.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", PHASES, ids=lambda path: path.stem)
def test_the_title_of_a_phase_is_seen_whole_at_eighty_columns(path: Path) -> None:
    """Cut, "given quorum first and leaves last" read as if the authority left first."""
    number, _, title = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0].partition(": ")
    assert "…" not in cut(f"{number.upper()}  ", title.rstrip("."))
