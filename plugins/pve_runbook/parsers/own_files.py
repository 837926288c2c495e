"""What this tool itself leaves on a node, read back: the lock, and how the node's window ended.

The lock is a symbolic link whose target is the text: made in one step or not at all, and read without opening anything.
"""

from __future__ import annotations

import re
from typing import Literal, cast, get_args

from msgspec import Struct

from pve_runbook.parsers.output import Output, ParseError, excerpt, file_text, stdout_of, unread

_LOCK = re.compile(r"run=(?P<run>[A-Za-z0-9-]+);by=(?P<by>[^;]*);since=(?P<since>[^;]*);record=(?P<record>[^;]*)")
_NO_LOCK = 1

Ending = Literal["done", "rolled-back", "stuck", "forward"]


class Lock(Struct, frozen=True):
    """Who works on a node, since when, in which run. ``by`` is user@host of the control host, ``since`` an ISO time in
    UTC, ``record`` the name of the record's folder there."""

    run: str
    by: str
    since: str
    record: str

    @property
    def text(self) -> str:
        """The link's target."""
        return f"run={self.run};by={self.by};since={self.since};record={self.record}"


def parse_lock(output: Output) -> Lock | None:
    """Read ``readlink LOCK``: None when there is no such link (exit status 1, nothing said).

    Raises ParseError for a link of another form, and when readlink itself complains.
    """
    if output.exit_status == _NO_LOCK and not output.stdout and not output.stderr.strip():
        return None
    text = stdout_of(output, "readlink of the lock").rstrip("\n")
    match = _LOCK.fullmatch(text)
    if match is None:
        raise ParseError(f"the lock is not one of ours: {excerpt(text)}")
    return Lock(match["run"], match["by"], match["since"], match["record"])


class WindowStatus(Struct, frozen=True):
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
