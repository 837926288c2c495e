"""What a simulated command is given and what it gives back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pve_lab.model.node import Node

_PLAIN = re.compile(r"[A-Za-z0-9_./:,+@%=-]+")


class Session(Protocol):
    """What a command may ask of the channel it runs in."""

    def stdin(self) -> bytes:
        """All that the client sends on standard input."""

    def run(self, argv: list[str], stdin: str | None) -> Result:
        """Run another command in this channel and wait for it."""

    def sleep(self, seconds: float) -> None:
        """Let model time pass."""

    def detach(self, unit: str, argv: list[str], *, collect: bool, wait: bool, oneshot: bool) -> int:
        """Run a command as a transient unit; its exit status when waited for, else 0."""


@dataclass
class Result:
    """What a command did: streams, exit status, nominal seconds."""

    stdout: str = ""
    stderr: str = ""
    exit_status: int = 0
    seconds: float = 0.005


@dataclass
class Call:
    """One call of a simulated command on a node; `argv` is without the name."""

    node: Node
    name: str
    argv: list[str]
    session: Session
    piped: str | None = None
    cwd: str = "/root"

    def path(self, name: str) -> str:
        """A path argument made absolute."""
        return name if name.startswith("/") else f"{self.cwd.rstrip('/')}/{name}"

    def input(self) -> bytes:
        """Standard input: the pipe's, else the client's."""
        return self.piped.encode() if self.piped is not None else self.session.stdin()


Handler = Callable[[Call], Result]
Table = dict[str, Handler]


def quote(name: str) -> str:
    """A name as coreutils print it at a line's start: quoted only when it needs to be."""
    return name if _PLAIN.fullmatch(name) else "'" + name.replace("'", "'\\''") + "'"


def options(
    argv: list[str], with_value: str = "", long_with_value: tuple[str, ...] = ()
) -> tuple[dict[str, str], list[str]]:
    """Split argv in options (short ones by letter, long ones by name) and operands.

    `with_value` are short options that take a value, `long_with_value` long ones.
    """
    found: dict[str, str] = {}
    operands: list[str] = []
    rest = list(argv)
    while rest:
        item = rest.pop(0)
        if item == "--":
            operands.extend(rest)
            break
        if item.startswith("--"):
            name, equals, value = item[2:].partition("=")
            if not equals and name in long_with_value and rest:
                value = rest.pop(0)
            found[name] = value
        elif item.startswith("-") and len(item) > 1:
            letters = item[1:]
            for position, letter in enumerate(letters):
                if letter in with_value:
                    value = letters[position + 1 :]
                    found[letter] = value if value or not rest else rest.pop(0)
                    break
                found[letter] = ""
        else:
            operands.append(item)
    return found, operands
