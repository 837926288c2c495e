"""Which answers of a command are documented, and which make the fact unknown."""

from __future__ import annotations

from pve_runbook.facts.output import NotConnected, Output, ParseError, TimedOut

TIMED_OUT = frozenset({124, 137, 143})
"""Exit statuses of a command that timeout(1) ended: TERM, KILL, or TERM from outside."""

NOT_INSTALLED = 127
"""Exit status of a shell and of timeout(1) when the command does not exist."""

_NO_SUCH_FILE = "No such file or directory"
_NOT_CONNECTED = "Transport endpoint is not connected"
_ASKED_PMXCFS = ("ipcc_send_rec[", "Unable to load access control list:")
_EXCERPT = 160


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
