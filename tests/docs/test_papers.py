"""The papers name files, folders, modules and fixtures that exist, and their links lead somewhere."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from paper_blocks import ROOT, blocks

PAPERS = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")),
)
ROOMS = ROOT / "plugins" / "pve_runbook"
TREES = (ROOT / "tests", ROOMS)
"""Where a file may lie that a paper names without its folder."""
ELSEWHERE = re.compile(
    r"(?:records|backups|access|parked|images|private|priv|wheels|etc)/.*|[a-z.-]+\.(?:json|html|toml)|n/a|known_hosts|"
    r"(?:summary|plan|by-hand)\.md|test_phaseN_name\.py"
)
"""What looks like a file of the project, and is of a node, of a record, or none."""

_FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.M | re.S)
_TICKED = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]*)+|[\w-]+\.(?:py|sh|md|toml|css|txt|json)")
_MODULE = re.compile(r"pve_(?:runbook|lab|system_lab)(?:\.\w+)+")


def prose(paper: str) -> str:
    """The text without what stands in fences."""
    return _FENCED.sub("", (ROOT / paper).read_text())


def paths_in(paper: str) -> Iterator[str]:
    """Every path of the project that a paper names."""
    for token in _TICKED.findall(prose(paper)):
        if _PATH.fullmatch(token) and not ELSEWHERE.fullmatch(token):
            yield token


def there(token: str, paper: str) -> bool:
    """Whether a path leads somewhere: from the top, from the rooms, or, a name alone, to a file of some folder."""
    bases = (ROOT, ROOMS, (ROOT / paper).parent)
    if any((base / token).exists() for base in bases):
        return True
    return "/" not in token and any(any(tree.rglob(token)) for tree in TREES)


def is_module(name: str) -> bool:
    """Whether a dotted name leads to a module, or to what a module has."""
    parent, _, last = name.rpartition(".")
    try:
        return find_spec(name) is not None or hasattr(import_module(parent), last)
    except ModuleNotFoundError:
        try:
            return hasattr(import_module(parent), last)
        except ModuleNotFoundError:
            return False


@pytest.mark.parametrize("paper", PAPERS)
def test_what_a_paper_names_exists(paper: str) -> None:
    assert [token for token in paths_in(paper) if not there(token, paper)] == []
    assert [name for name in _MODULE.findall(prose(paper)) if not is_module(name)] == []


@pytest.mark.parametrize("paper", PAPERS)
def test_a_paper_links_to_what_exists(paper: str) -> None:
    text = _FENCED.sub("", (ROOT / paper).read_text())
    links = [link.partition("#")[0] for link in _LINK.findall(text) if "://" not in link]
    assert [link for link in links if not ((ROOT / paper).parent / link).exists()] == []


def test_paths_are_found_in_every_new_paper() -> None:
    """Otherwise the tests above would hold of anything."""
    found = {paper: len(set(paths_in(paper))) for paper in PAPERS}
    assert found["docs/architecture.md"] > 60 and found["CONTRIBUTING.md"] > 10 and found["SECURITY.md"] > 5, found
    assert len(set(_MODULE.findall(prose("docs/own-gates.md")))) >= 7


def test_the_layers_are_those_that_are_held() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    shown = _FENCED.search(text, text.index("## The layers"))
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    assert shown is not None and shown[2].splitlines() == layers
    rooms = {room for line in layers for room in line.split(" | ")}
    assert {row for row in re.findall(r"^\| `(\w+)` \|", text, re.M) if row in rooms} == rooms


def fixtures_of(path: Path) -> set[str]:
    """The fixtures that a file has for others."""
    tree = ast.parse(path.read_text())
    functions = [f for f in tree.body if isinstance(f, ast.FunctionDef)]
    return {f.name for f in functions if any("fixture" in ast.unparse(d) for d in f.decorator_list)}


def test_the_fixtures_that_are_named_are_there() -> None:
    text = prose("docs/own-gates.md")
    both, runbook = text[text.index("Fixtures for both") : text.index("The plugin writes")].split("In `runbook/` also")
    own = {f for f in fixtures_of(ROOT / "plugins/pve_runbook/plugin/fixtures.py") if not f.startswith("_")}
    assert set(re.findall(r"`(\w+)`", both)) == own
    named = set(re.findall(r"`(\w+)`", runbook))
    assert named and named <= fixtures_of(ROOT / "runbook" / "conftest.py")


def test_the_glossary_is_in_order() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    words = [re.sub(r"[^a-z0-9]+", " ", row.lower()).strip() for row in re.findall(r"^\| ([^|]+) \|", text, re.M)][2:]
    assert words == sorted(words) and len(words) > 80


def test_every_paper_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    files = {p.name for p in (ROOT / "docs").iterdir() if p.name != "README.md"}
    assert files <= set(_LINK.findall(index))


def test_a_block_that_is_to_be_written_names_a_known_folder() -> None:
    assert all((ROOT / b.file).parent.is_dir() for b in blocks(ROOT / "CONTRIBUTING.md"))
