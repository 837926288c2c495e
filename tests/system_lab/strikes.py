"""What can happen to a run, at a moment that its journal or the node's own files show."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pve_system_lab.container import Container

LOOK = 0.01
"""Seconds between two looks for the moment."""
SESSION = b"sshd: root@"
KEPT = "{}.kept"


def intent(stage: Any, action: str) -> str | None:
    """The node that the run is about to send the action to, by its journal; None before that."""
    for journal in stage.records.glob("*/journal.jsonl"):
        for line in journal.read_bytes().splitlines():
            if b'"action-intent"' in line:
                with contextlib.suppress(ValueError):  # the last line may be half written
                    event = json.loads(line)
                    if event["action"] == action:
                        return str(event["node"])
    return None


def in_window(container: Container, line: str) -> bool:
    """Whether the node's window has come to that command, by its own log."""
    logs = container.upper.glob("var/lib/pve-runbook/*/window-*.log")
    return any(f"+ {line}\n" in log.read_text(errors="replace") for log in logs)


def strike_when(run: subprocess.Popen[str], holds: Callable[[], bool], strike: Callable[[], None]) -> bool:
    """Strike at that moment; False when the run ended before it came."""
    while run.poll() is None:
        if holds():
            strike()
            return True
        time.sleep(LOOK)
    return False


def cut(container: Container) -> None:
    """All SSH connections of the node are gone, without a word."""
    for pid in container.pids():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(SESSION):
                os.kill(pid, signal.SIGKILL)


def break_program(container: Container, program: str, argument: str) -> None:
    """The program fails whenever that word is among its arguments."""
    kept = KEPT.format(program)
    container.run("mv", program, kept)
    text = f'#!/bin/sh\ncase " $* " in *" {argument} "*) echo broken by hand >&2; exit 1;; esac\nexec {kept} "$@"\n'
    container.run("tee", program, stdin=text.encode())
    container.run("chmod", "755", program)


def mend_program(container: Container, program: str) -> None:
    """It works again."""
    container.run("mv", KEPT.format(program), program)
