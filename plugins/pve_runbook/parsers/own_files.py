"""The lock on a node: who works on it, since when, in which run.

It is a symbolic link whose target is the text: made in one step or not at all, and read without opening anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pve_runbook.facts.answers import excerpt, stdout_of
from pve_runbook.facts.output import Output, ParseError

_LOCK = re.compile(r"run=(?P<run>[A-Za-z0-9-]+);by=(?P<by>[^;]*);since=(?P<since>[^;]*);record=(?P<record>[^;]*)")
_NO_LOCK = 1


@dataclass(frozen=True, slots=True)
class Lock:
    """``by`` is user@host of the control host, ``since`` an ISO time in UTC, ``record`` the name of the record's
    folder there."""

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
