"""What a node's window left in its own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from pve_runbook.facts.answers import file_text, stdout_of, unread
from pve_runbook.facts.output import Output

Ending = Literal["done", "rolled-back", "stuck", "forward"]


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """How a window ended. ``done``: the node is standalone; ``rolled-back``: it is the member it was;
    ``forward``: pve-cluster was started standalone and something after it failed; ``stuck``: neither."""

    ending: Ending
    why: str


def parse_window_status(output: Output) -> WindowStatus | None:
    """Read the status file: ``ENDING why``; None while the window has not ended (no file yet). Raises ParseError."""
    text = file_text(output, "cat of the window's status")
    if text is None:
        return None
    ending, _, why = text.strip().partition(" ")
    if ending not in get_args(Ending):
        raise unread("the window's status", text)
    return WindowStatus(cast(Ending, ending), why)


def parse_text(output: Output) -> str:
    """Take stdout as it is; raises ParseError when the command failed."""
    return stdout_of(output, "the command")
