"""Every refusal as the code has it: found by reading, so that none is forgotten."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gate_table import parse
from pve_runbook.refusal.ids import RefusalId

ROOT = Path(__file__).parents[2]
PLACES = ("plugins/pve_runbook", "checks", "runbook")
HEAD = """\
# Refusals

Whatever stops a check, a gate, an action or a command line says why and what to do next, and bears an id. The id stays
with that refusal for good: it is printed behind it, stands in record.json (`refusals` of a step), and is never given to
another one. Each has a way on that needs no quorum, for without it /etc/pve is read-only, or says that there is none by
design; a test walks it to the end of the run. `…` stands for what is other each time. Written from the code by
`PVE_RUNBOOK_REFUSALS=write .venv/bin/pytest tests/gates/test_refusal_ids.py`.

"""
GATES = (
    "## Gates and actions\n\n| id | said by | what it says | what to do | way on |\n| --- | --- | --- | --- | --- |\n"
)
USAGE = (
    "\n## The command line, and what stands in a run's way before it begins\n\n| id | what it says |\n| --- | --- |\n"
)
INDIRECT = {
    RefusalId.VOLUMES_ARE_MISSING: (
        "volumes are not there: …",
        "Find the disk; a stopped guest's: --accept=volumes; one that another node has: move the config back",
    ),
    RefusalId.KNOWS_A_CLUSTER: ("pvecm status finds this node to be: …", "Run the same command line again"),
    RefusalId.NOT_ITS_OWN_MASTER: ("… mounts on /etc/pve, writable: …, …", "Run the same command line again"),
    RefusalId.FACT_IS_UNKNOWN: ("…: …: it was not answered, or not in time", "See that the node answers"),
    RefusalId.FACT_IS_NOT_UNDERSTOOD: (
        "…: …: the answer was not understood",
        "Type that command on the node; where nothing is wrong there, report it, take the node apart by hand, and "
        "leave it out by --absent",
    ),
    RefusalId.OUTCOME_IS_UNKNOWN: ("no outcome of `…`: …", "Run the same command line again"),
    RefusalId.JOURNAL_IS_LOST: ("the journal cannot be written: …", "Check the folder --records"),
    RefusalId.ACTION_IS_NOT_ALLOWED: ("`…` would change the node; checks only read", "(an error of the tool)"),
}
"""What is said by an error of another module, in words."""


@dataclass(frozen=True)
class Said:
    """One place in the code that says a refusal."""

    of: RefusalId
    file: str
    function: str
    seen: str
    do: str


@cache
def said_in_code() -> tuple[Said, ...]:
    """Every place that names a refusal, in the order of the files."""
    constants = _constants()
    return tuple(found for path in _files() for found in _said_in(path, constants))


def _files() -> list[Path]:
    return [p for place in PLACES for p in sorted((ROOT / place).rglob("*.py")) if p.parent.name != "refusal"]


def _constants() -> dict[str, ast.expr]:
    """Texts that modules keep as named constants."""
    found: dict[str, ast.expr] = {}
    for path in _files():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _is_text(node.value):
                found.setdefault(f"{path.stem}.{node.targets[0].id}", node.value)
                found.setdefault(node.targets[0].id, node.value)
    return found


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _said_in(path: Path, constants: dict[str, ast.expr]) -> Iterator[Said]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside: dict[ast.AST, str] = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.ClassDef):
            inside.update(dict.fromkeys(ast.walk(function), function.name))
    for node in ast.walk(tree):
        parts = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.Tuple) else []
        if not parts or not ast.unparse(parts[0]).startswith("RefusalId."):
            continue
        of = RefusalId[ast.unparse(parts[0]).removeprefix("RefusalId.")]
        by_name = {k.arg: k.value for k in node.keywords} if isinstance(node, ast.Call) else {}
        texts = [_text(p, path.stem, constants) for p in parts[1:]]
        if "seen" in by_name:
            seen, do = (_text(by_name[k], path.stem, constants) for k in ("seen", "do"))
        elif (
            len(texts) == 2
        ):  # a reason and a way on, or a reading and a way on: what is seen is another thing each time
            seen, do = ("…" if texts[0] == "…" else f"…: {texts[0]}"), texts[1]
        else:
            lines = [" ".join(line.split()) for line in texts[0].split("\n") if line.strip()]
            seen, do = lines[0], " ".join(lines[1:])
        yield Said(of, str(path.relative_to(ROOT)), inside.get(node, ""), *INDIRECT.get(of, (seen, do)))


def _text(node: ast.expr, module: str, constants: dict[str, ast.expr]) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(v.value) if isinstance(v, ast.Constant) else _value(v, module, constants) for v in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, module, constants) + _text(node.right, module, constants)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body, module, constants)} (or: {_text(node.orelse, module, constants)})"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _filled(_text(node.func.value, module, constants))
    name = ast.unparse(node).rpartition(".")[2]
    known = constants.get(f"{module}.{name}") or (constants.get(name) if name.isupper() else None)
    return _text(known, module, constants) if known is not None else "…"


def _value(node: ast.expr, module: str, constants: dict[str, ast.expr]) -> str:
    assert isinstance(node, ast.FormattedValue)
    return _text(node.value, module, constants)


def _filled(template: str) -> str:
    """A format string with … for what is filled in."""
    out, depth = "", 0
    for char in template:
        depth += char == "{"
        if not depth:
            out += char
        elif char == "{" and depth == 1:
            out += "…"
        depth -= char == "}"
    return out


@cache
def gates_that_say() -> dict[str, list[str]]:
    """Id → the gates that say it in a starting state of the lab."""
    table = parse((ROOT / "tests" / "gates" / "outcomes.txt").read_text(encoding="utf-8"))
    found: dict[str, dict[str, None]] = {}
    for column in table.values():
        for gate, rows in column.items():
            for row in rows:
                for word in row.text.split():
                    if word.startswith("PVE-R"):
                        found.setdefault(word, {})[gate] = None
    return {id_: sorted(gates) for id_, gates in found.items()}


def page() -> str:
    """docs/refusals.md."""
    gates, said = gates_that_say(), said_in_code()
    out = HEAD + GATES
    for of in RefusalId:
        places = [s for s in said if s.of is of]
        if of.number > 200 or not places:
            continue
        by = gates.get(str(of)) or sorted(
            {f"{s.file.removeprefix('plugins/pve_runbook/')}::{s.function}" for s in places}
        )
        cells = (
            _each(s.seen for s in places),
            _each(s.do for s in places) or "see what it says",
            of.way.value,
        )
        out += f"| {of} | {'<br>'.join(f'`{b}`' for b in by)} | {' | '.join(map(_cell, cells))} |\n"
    out += USAGE
    for of in RefusalId:
        places = [s for s in said if s.of is of]
        if of.number > 200 and places:
            out += f"| {of} | {_cell(_each(f'{s.seen} {s.do}'.strip() for s in places))} |\n"
    return out


def _each(texts: Iterator[str]) -> str:
    return "; or: ".join(dict.fromkeys(t.strip().rstrip(".") for t in texts))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
