"""Mutants of Python files, made from the syntax tree: an assertion that always holds, a comparison turned round, a
guard that lets everything through, a bound a thousand times as large."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ASSERT, SKIP, CALL, COMPARE, BOOL, NOT, RAISE, NUMBER = (
    *("assert", "skip", "call", "compare", "bool", "not", "raise", "number"),
)
FLIPPED = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", ">="),
    ast.LtE: ("<=", ">"),
    ast.Gt: (">", "<="),
    ast.GtE: (">=", "<"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
BOUNDS = re.compile(r"timeout|seconds|grace|max_\w+|bound|maxsize", re.IGNORECASE)
"""Names of arguments that bound something."""
TIMES = 1000


class Change(NamedTuple):
    """``name`` says where and what: function, kind, and the how-manieth of its kind there."""

    name: str
    start: int
    end: int
    new: str


class _Finder(ast.NodeVisitor):
    def __init__(self, source: bytes, kinds: frozenset[str]) -> None:
        self._source = source
        self._kinds = kinds
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._where: list[str] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self.found: list[Change] = []

    def _start(self, node: ast.expr | ast.stmt) -> int:
        return self._lines[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._lines[node.end_lineno - 1] + node.end_col_offset

    def _add(self, kind: str, start: int, end: int, new: str) -> None:
        if kind not in self._kinds:
            return
        where = ".".join(self._where) or "module"
        self._counts[where, kind] += 1
        self.found.append(Change(f"{where}:{kind}-{self._counts[where, kind]}", start, end, new))

    def _instead(self, kind: str, node: ast.expr | ast.stmt, new: str) -> None:
        self._add(kind, self._start(node), self._end(node), new)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._inside(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name.startswith("test_") and not any(isinstance(n, ast.Assert) for n in ast.walk(node)):
            self._judges(node)
        self._inside(node)

    def _judges(self, node: ast.FunctionDef) -> None:
        """A gate without an assertion leaves it to one of its fixtures, which it calls."""
        given = {a.arg for a in node.args.args}
        self._where.append(node.name)
        for call in ast.walk(node):
            if isinstance(call, ast.Expr) and isinstance(call.value, ast.Call):
                name = call.value.func
                if isinstance(name, ast.Name) and name.id in given:
                    self._instead(CALL, call, "pass")
        self._where.pop()

    def _inside(self, node: ast.ClassDef | ast.FunctionDef) -> None:
        self._where.append(node.name)
        if isinstance(node, ast.FunctionDef):
            self._defaults(node.args)
        for child in node.body:
            self.visit(child)
        self._where.pop()

    def _defaults(self, arguments: ast.arguments) -> None:
        positional = arguments.args[len(arguments.args) - len(arguments.defaults) :]
        pairs = [
            *zip(positional, arguments.defaults, strict=True),
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        ]
        for argument, default in pairs:
            if BOUNDS.fullmatch(argument.arg) and default is not None:
                self._number(default)

    def visit_Assert(self, node: ast.Assert) -> None:
        self._instead(ASSERT, node.test, "True")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        first = node.body[0]
        if ast.unparse(first).startswith(("pytest.skip(", "raise NotApplicable(")):
            self._instead(SKIP, node.test, "False")
        elif isinstance(first, ast.Raise):
            self._instead(RAISE, node.test, "False")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        left: ast.expr = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            old, new = FLIPPED[type(operator)]
            self._operator(COMPARE, left, right, r"\s+".join(map(re.escape, old.split())), new)
            left = right
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._operator(BOOL, left, right, rf"\b{old}\b", new)
        self.generic_visit(node)

    def _operator(self, kind: str, left: ast.expr, right: ast.expr, old: str, new: str) -> None:
        begin = self._end(left)
        found = re.search(old.encode(), self._source[begin : self._start(right)])
        assert found is not None
        self._add(kind, begin + found.start(), begin + found.end(), new)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._add(NOT, self._start(node), self._start(node) + len("not"), "")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        name = node.targets[0]
        is_constant = not self._where and isinstance(name, ast.Name) and name.id.strip("_").isupper()
        if is_constant:
            self._where.append(name.id)
            self._number(node.value)
        self.generic_visit(node)
        if is_constant:
            self._where.pop()

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg is not None and BOUNDS.fullmatch(node.arg):
            self._number(node.value)
        self.generic_visit(node)

    def _number(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value:
            self._instead(NUMBER, node, str(node.value * TIMES))


def changes(path: Path, *kinds: str) -> Iterator[Change]:
    """Every mutant of these kinds in a file, in the order of the tree."""
    source = path.read_bytes()
    finder = _Finder(source, frozenset(kinds))
    finder.visit(ast.parse(source))
    yield from finder.found
