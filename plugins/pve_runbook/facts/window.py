"""What a node's window left in its own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from pve_runbook.facts.output import Output, ParseError

Ending = Literal["done", "rolled-back", "stuck", "forward"]


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """How a window ended. ``done``: the node is standalone; ``rolled-back``: it is the member it was;
    ``forward``: pve-cluster was started standalone and something after it failed; ``stuck``: neither."""

    ending: Ending
    why: str


def parse_window_status(output: Output) -> WindowStatus | None:
    """Read the status file: ``ENDING why``; None while the window has not ended (no file yet)."""
    if output.exit_status == 1 and "No such file or directory" in output.stderr:
        return None
    if output.exit_status != 0:
        raise ParseError(output.stderr.strip() or f"exit status {output.exit_status}")
    ending, _, why = output.stdout.strip().partition(" ")
    if ending not in get_args(Ending):
        raise ParseError(f"the window's status is {output.stdout.strip()!r}, which it never writes")
    return WindowStatus(cast(Ending, ending), why)


def parse_text(output: Output) -> str:
    """Take stdout as it is; raises ParseError when the command failed."""
    if output.exit_status != 0:
        raise ParseError(" ".join(output.stderr.split()) or f"exit status {output.exit_status}")
    return output.stdout
