"""What can happen to a run, at a moment that its journal or the node's own files show."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pve_system_lab.container import Container
from system_lab_stage import ended

LOOK = 0.01
"""Seconds between two looks for the moment."""
SESSION = re.compile(rb"sshd(-session)?: root@")
"""OpenSSH, and OpenSSH from 9.8 on."""
KEPT = "{}.kept"
COMMANDS = {
    "unmounted": "systemctl stop pve-cluster.service",
    "local mode": "pmxcfs -l",
    "out of the database": "rm -f /etc/corosync/corosync.conf /etc/corosync/authkey",
    "standalone": "systemctl start pve-cluster.service",
}
"""Where a node's window is, by the command that its log shows last."""


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


def first_in(stage: Any, line: str) -> Any:
    """The first node whose window has come to that command; None before that."""
    return next((c for c in stage.lab.each() if in_window(c, line)), None)


def unmounted(stage: Any) -> bool:
    """Whether a node is in its window, and has no /etc/pve."""
    container = first_in(stage, COMMANDS["unmounted"])
    return container is not None and container.run("findmnt", "-n", "/etc/pve").returncode == 1


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
            if SESSION.match(Path(f"/proc/{pid}/cmdline").read_bytes()):
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


def cut_at(stage: Any, action: str) -> None:
    """A run, and every SSH session of the node ends when the journal has that action's intent: it ends the work."""
    run = stage.start("runbook/", "--approve=all")

    def strike() -> None:
        cut(stage.lab.containers[intent(stage, action)])

    assert strike_when(run, lambda: intent(stage, action) is not None, strike)
    ended(stage, run)


def cut_while_unmounted(stage: Any) -> None:
    """The same, when a node in its window has no /etc/pve."""
    run = stage.start("runbook/", "--approve=all")
    assert strike_when(run, lambda: unmounted(stage), lambda: cut(first_in(stage, COMMANDS["unmounted"])))
    ended(stage, run)
