"""The files below tests/captures, by what they hold; one that is none of these is refused by its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pve_runbook.facts_file.model import FORMAT
from pve_runbook.parsers.output import Output

FOLDER = Path(__file__).parent / "captures"
EXPECTED = ".expect.json"
"""How the file beside a capture ends that says what it must come to."""
NOT_PROBES = "not-probes.txt"
READ_AS = "read-as.txt"
KNOWN_SURPRISES = "known-surprises.txt"
LISTS = (NOT_PROBES, READ_AS, KNOWN_SURPRISES)
OTHER = ("README.md", *LISTS)
_STEP = {"command": str, "exit_status": int, "stdout": str, "stderr": str}
_TOP = {"state", "transcript", "note", "node", "version", "taken", "commands", "steps", "expect"}


class Broken(ValueError):
    """A file that is no capture, or not whole; one line that names it."""


@dataclass(frozen=True)
class Step:
    """One recorded command."""

    node: str
    command: str
    output: Output


@dataclass(frozen=True)
class Capture:
    """One recorded file; ``name`` is its path below the folder. ``is_state``: one node that does not change meanwhile,
    and no transcript. ``expect`` is what it must come to."""

    name: str
    is_state: bool
    steps: tuple[Step, ...]
    expect: dict[str, Any]


def capture_paths(folder: Path) -> list[Path]:
    """Every capture below ``folder``; what is no JSON counts as one, so that it is refused."""
    return [p for p in _json_files(folder) if not p.name.endswith(EXPECTED) and not _holds_facts(p)]


def facts_paths(folder: Path) -> list[Path]:
    """Every file of ``--save-facts`` below ``folder``."""
    return [p for p in _json_files(folder) if not p.name.endswith(EXPECTED) and _holds_facts(p)]


def strangers(folder: Path) -> list[str]:
    """Files that nothing reads: they would be skipped without a word."""
    captures = {p.with_name(p.name.removesuffix(".json") + EXPECTED) for p in capture_paths(folder)}
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and "__pycache__" not in p.parts]
    return [
        str(p.relative_to(folder))
        for p in files
        if not (p.suffix == ".json" and (not p.name.endswith(EXPECTED) or p in captures))
        and not (p.parent == folder and p.name in OTHER)
    ]


def load(path: Path, folder: Path) -> Capture:
    """Read one capture. Raises Broken."""
    name = str(path.relative_to(folder))
    record = _object(path, name)
    if unknown := sorted(set(record) - _TOP):
        raise Broken(f"{name}: nothing is known of the key {unknown[0]!r}")
    if ("commands" in record) == ("steps" in record):
        raise Broken(f"{name}: it needs either 'commands' (one node in one state) or 'steps' (a transcript)")
    is_state = "commands" in record
    if is_state and not isinstance(record.get("node"), str):
        raise Broken(f"{name}: it does not say which node it is ('node')")
    listed = record["commands" if is_state else "steps"]
    if not isinstance(listed, list) or not listed:
        raise Broken(f"{name}: it holds no command")
    steps = tuple(_step(name, number, entry, record.get("node")) for number, entry in enumerate(listed, start=1))
    beside = path.with_name(path.name.removesuffix(".json") + EXPECTED)
    expect = {**record.get("expect", {}), **(_object(beside, f"{name} ({beside.name})") if beside.exists() else {})}
    if expect and not is_state:
        raise Broken(f"{name}: a transcript has no state to expect anything of")
    return Capture(name, is_state, steps, expect)


def sections(folder: Path, name: str) -> Iterator[tuple[str, str]]:
    """The entries of one of LISTS, each with the heading ("## …") that it stands under. Raises Broken."""
    heading = ""
    for line in (folder / name).read_text().splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ").strip()
        elif line.strip() and not heading:
            raise Broken(f"{name}: {line[:60]!r} stands under no heading")
        elif line.strip():
            yield heading, line


def _json_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.json"))


def _object(path: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise Broken(f"{name}: this is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Broken(f"{name}: this is no JSON object")
    return found


def _holds_facts(path: Path) -> bool:
    try:
        return _object(path, path.name).get("format") == FORMAT
    except Broken:
        return False


def _step(name: str, number: int, entry: Any, node: str | None) -> Step:
    where = f"{name}: command {number}"
    if not isinstance(entry, dict):
        raise Broken(f"{where} is no object")
    where += f" ({entry.get('command')})"
    for key, kind in _STEP.items():
        if type(entry.get(key)) is not kind:
            raise Broken(f"{where}: {key!r} is missing, or no {kind.__name__}")
    on = node if node is not None else entry.get("node")
    if not isinstance(on, str):
        raise Broken(f"{where}: it does not say on which node ('node')")
    return Step(on, entry["command"], Output(entry["stdout"], entry["stderr"], entry["exit_status"]))
