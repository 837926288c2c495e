"""The runner that the wire sends, as the lab plays it: the same probes, the same frames, no perl."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Callable

from pve_lab.commands.base import Result

_PART = re.compile(r"""'([^']*)'|"([^"\\$`]*)"|([^\s'"\\]+)""")
_WORD = re.compile(r"""\s*(?:'([^']*)'(?=\s|$)|([^\s'"\\]+)(?=\s|$)|((?:'[^']*'|"[^"\\$`]*"|[^\s'"\\]+)+)|(\S))""")
"""A word as shlex.quote writes it: quoted as a whole, not at all, in pieces; last what is none."""

Timed = Callable[[str, list[str]], Result]
"""Runs an argv, for at most so many seconds."""


def probes_of(command: str) -> list[list[str]] | None:
    """The probes (id, seconds or seconds=hash, argv) where the command is `perl -e RUNNER batch ...`, else None."""
    if not command.startswith("perl -e "):
        return None
    probes, rest = [], _words(command)[4:]
    while rest:
        end = 1 + int(rest[0])
        probes.append(rest[1:end])
        rest = rest[end:]
    return probes


def _words(command: str) -> list[str]:
    """As shlex.split has it, which goes letter by letter: the runner alone has thousands of them."""
    words = list[str]()
    for whole, bare, pieces, other in _WORD.findall(command):
        if other:
            return shlex.split(command)
        words.append("".join(a or b or c for a, b, c in _PART.findall(pieces)) if pieces else whole or bare)
    return words


def run(probes: list[list[str]], timed: Timed) -> Result:
    """What the runner prints: both streams and the exit status of each probe."""
    lines = []
    for ident, time, *argv in probes:
        seconds, _, seen = time.partition("=")
        said = timed(seconds, argv)
        if seen and seen == _hash(said):
            lines.append(f"{ident} = ")
            continue
        lines += [f"{ident} o {_base64(said.stdout)}", f"{ident} e {_base64(said.stderr)}"]
        lines.append(f"{ident} x {said.exit_status}")
    return Result("".join(f"{line}\n" for line in lines))


def _hash(said: Result) -> str:
    out, err = _bytes(said.stdout), _bytes(said.stderr)
    return hashlib.sha256(b"%d %d\n%b%b" % (said.exit_status, len(err), err, out)).hexdigest()


def _base64(text: str) -> str:
    return base64.b64encode(_bytes(text)).decode()


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
