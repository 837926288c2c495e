"""How a command is sent where the login is not root's, and how to see from what was sent which command it is."""

from __future__ import annotations

import shlex

WITHOUT_PASSWORD = ("sudo", "-n")
WITH_PASSWORD = ("sudo", "-S", "-k", "-p", "")
TRIAL = "cat"
"""Shows whether sudo takes the password from its input or leaves it to the command; changes nothing."""

_SHELL = ("--", "sh", "-c")


def wrapped(way: tuple[str, ...], command: str) -> str:
    """``command`` as it is sent with the options ``way`` of sudo; () is without sudo."""
    return shlex.join((*way, *_SHELL, command)) if way else command


def unwrapped(sent: str) -> str:
    """The command in what :func:`wrapped` made; anything else as it is."""
    for way in (WITHOUT_PASSWORD, WITH_PASSWORD):
        head = f"{wrapped(way, '')[:-2]}"
        if sent.startswith(head):
            try:
                command = shlex.split(sent)[-1]
            except ValueError:
                return sent
            return command if wrapped(way, command) == sent else sent
    return sent
