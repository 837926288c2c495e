"""The recorded outputs of tests/captures, as the parsers see them."""

from __future__ import annotations

from functools import cache

from captured_files import FOLDER, Step, load
from pve_runbook.parsers.output import Output


@cache
def steps(name: str) -> tuple[Step, ...]:
    """All commands of one capture, in order."""
    return load(FOLDER / f"{name}.json", FOLDER).steps


def output(name: str, command: str) -> Output:
    """What the (first) command of one capture said."""
    return next(step.output for step in steps(name) if step.command == command)
