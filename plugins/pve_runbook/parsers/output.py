"""What one command on a node said; which answers are documented, and which make the fact unknown."""

from __future__ import annotations

from msgspec import Struct

TIMED_OUT = frozenset({124, 137, 143})
"""Exit statuses of a command that timeout(1) ended: TERM, KILL, or TERM from outside."""

NOT_INSTALLED = 127
"""Exit status of a shell and of timeout(1) when the command does not exist."""

_NO_SUCH_FILE = "No such file or directory"
_NOT_CONNECTED = "Transport endpoint is not connected"
_ASKED_PMXCFS = ("ipcc_send_rec[", "Unable to load access control list:")
_EXCERPT = 160


class ParseError(ValueError):
    """A command answered, but its text is not one we know: the fact is unknown, never "no"."""


class TimedOut(ParseError):
    """The command did not end within its time."""


class Unsettled(ParseError):
    """The command caught the node in the middle of something that is soon over: worth asking again."""


class NotConnected(ParseError):
    """The command met a mount whose server is gone (ENOTCONN, as FUSE gives it after pmxcfs was killed)."""


class Damaged(ParseError):
    """The file that was to be read is broken."""


class Skipped(Struct, frozen=True):
    """A line of a file that its own program passes over, and so it is passed over here. `why` is a clause for people
    that never shows the line itself: it may hold a password."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        """``FILE, line N: WHY``."""
        return f"{self.file}, line {self.line}: {self.why}"


class Output(Struct, frozen=True):
    """Both streams, decoded as UTF-8 with replacement, and the exit status of one command."""

    stdout: str
    stderr: str
    exit_status: int


def excerpt(text: str) -> str:
    """The last line of `text` that says something, short and printable enough for a message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = "".join(sign if sign.isprintable() else "?" for sign in lines[-1]) if lines else "nothing"
    return last if len(last) <= _EXCERPT else last[:_EXCERPT] + "..."


def pmxcfs_is_silent(output: Output) -> bool:
    """True if a Proxmox tool said that it could not reach pmxcfs (exit status 111 or 255; recorded on PVE
    8.3)."""
    return any(mark in output.stderr for mark in _ASKED_PMXCFS)


def unknown(output: Output, command: str) -> ParseError:
    """The error for an answer of `command` that is none of the documented ones."""
    if output.exit_status in TIMED_OUT:
        return TimedOut(f"{command} timed out.")
    if pmxcfs_is_silent(output):
        return ParseError(f"{command} could not be answered: pmxcfs does not answer.")
    said = output.stderr if output.stderr.strip() else output.stdout
    kind = NotConnected if _NOT_CONNECTED in output.stderr else ParseError
    return kind(f"{command} ended with exit status {output.exit_status} and said: {excerpt(said)}")


def unread(command: str, text: str) -> ParseError:
    """The error for a line of `command` that has no known form."""
    return ParseError(f"{command} said something that cannot be read: {excerpt(text)}")


def lines_of(text: str) -> list[str]:
    """The lines of `text`, ended by a line feed alone: names may hold what str.splitlines takes for an end."""
    return text.removesuffix("\n").split("\n") if text else []


def stdout_of(output: Output, command: str) -> str:
    """The text of a command whose only documented exit status is 0.

    Raises ParseError for every other exit status, and if the tool could not reach pmxcfs.
    """
    if output.exit_status != 0 or pmxcfs_is_silent(output):
        raise unknown(output, command)
    return output.stdout


def only_missing_files(output: Output) -> bool:
    """True if the command complained of nothing but files that do not exist."""
    complaints = [line for line in output.stderr.splitlines() if line.strip()]
    return bool(complaints) and all(line.endswith(_NO_SUCH_FILE) for line in complaints)


def file_text(output: Output, command: str) -> str | None:
    """What `cat` of one file said; None if the file does not exist.

    Raises ParseError for every other complaint ("Permission denied", "Transport endpoint is not connected").
    """
    if output.exit_status == 1 and not output.stdout and only_missing_files(output):
        return None
    return stdout_of(output, command)


def parse_text(output: Output) -> str:
    """Take stdout as it is; raises ParseError when the command failed."""
    return stdout_of(output, "the command")
