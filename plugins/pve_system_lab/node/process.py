"""How a stand-in shows itself in the process table."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from typing import Any

import setproctitle

SOCKET = "/run/pmxcfs.sock"
_PR_SET_NAME = 15


class Refused(Exception):
    """pmxcfs does not run."""


def show_as(command: str, *arguments: str) -> None:
    """Be known by that command line and its base name, not as Python."""
    setproctitle.setproctitle(" ".join((command, *arguments)))
    ctypes.CDLL(None).prctl(_PR_SET_NAME, os.path.basename(command).encode()[:15])


def ask_pmxcfs(request: dict[str, Any] | None = None) -> dict[str, Any]:
    """One question to pmxcfs (what PVE's tools ask over its IPC); raises Refused."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(SOCKET)
        except (ConnectionRefusedError, FileNotFoundError) as error:
            raise Refused from error
        connection.sendall(json.dumps(request or {}).encode() + b"\n")
        answer = connection.makefile("rb").read()
    if not answer:
        raise Refused
    loaded: dict[str, Any] = json.loads(answer)
    return loaded


def journal(tag: str, message: str, priority: int) -> None:
    """One line into the node's journal; priorities as in syslog(3)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        try:
            connection.connect("/dev/log")
            connection.send(f"<{24 + priority}>{tag}[{os.getpid()}]: {message}".encode())
        except OSError:
            print(message, file=sys.stderr)
