"""What one command on a node said, and the error of a parser that cannot read it."""

from __future__ import annotations

from dataclasses import dataclass


class ParseError(ValueError):
    """A command answered, but its text is not one we know: the fact is unknown, never "no"."""


class TimedOut(ParseError):
    """The command did not end within its time."""


class Unsettled(ParseError):
    """The command caught the node in the middle of something that is soon over: worth asking again."""


class NotConnected(ParseError):
    """The command met a mount whose server is gone (ENOTCONN, as FUSE gives it after pmxcfs was killed)."""


@dataclass(frozen=True, slots=True)
class Output:
    """Both streams, decoded as UTF-8 with replacement, and the exit status of one command."""

    stdout: str
    stderr: str
    exit_status: int
