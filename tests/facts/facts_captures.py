"""The recorded outputs of tests/captures, as the parsers see them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from pve_runbook.facts.output import Output

FOLDER = Path(__file__).parent.parent / "captures"


@dataclass(frozen=True)
class Step:
    """One recorded command."""

    node: str
    command: str
    output: Output


def steps(name: str) -> list[Step]:
    """All commands of one capture, in order."""
    record = json.loads((FOLDER / f"{name}.json").read_text())
    node = record.get("node")
    return [
        Step(node or step["node"], step["command"], Output(step["stdout"], step["stderr"], step["exit_status"]))
        for step in record.get("commands", record.get("steps"))
    ]


def output(name: str, command: str) -> Output:
    """What the (first) command of one capture said."""
    return next(step.output for step in steps(name) if step.command == command)


def with_asked_properties(recorded: Output) -> Output:
    """The recorded `systemctl show` did not ask for LoadState and Job; both were as on any installed, idle unit."""
    return Output(re.sub(r"(?m)^(Id=.*)$", r"\1\nLoadState=loaded\nJob=", recorded.stdout), "", 0)


STATES = sorted(path.stem for path in FOLDER.glob("*.pve?.json"))
TRANSCRIPTS = sorted(path.stem for path in FOLDER.glob("*.json") if path.stem not in STATES)
