"""A run in a pseudo-terminal, whose questions are answered."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
import termios
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import warm
from bounded import Process, no_longer_than, pieces, until_heard

PROJECT = Path(__file__).parents[1]
PROMPT = "anything else to stop:"


CTRL_C, CTRL_D = b"\x03", b"\x04"
Answer = str | bytes | Callable[[], str]
"""Text is typed with a return after it, bytes as they are; what is called happens while the question stands."""


def at_a_terminal(
    lab: Any, tmp_path: Path, answers: list[Answer], *options: str, suite: str = "runbook/", prompt: str = PROMPT
) -> tuple[int, str]:
    """Run it in a pseudo-terminal and give ``answers``, one at each question; (exit status, screen)."""
    records = tmp_path / "records"
    argv = (suite, *lab.options, *options, f"--records={records}", "-p", "no:cacheprovider")

    def begin(terminal: int) -> warm.Run:
        return warm.at_terminal(terminal, *argv, cwd=PROJECT, flags=warm.STRICT)

    return _answered(begin, records, answers, prompt)


def typed_in(
    command: list[str],
    records: Path,
    answers: list[Answer],
    *,
    prompt: str = PROMPT,
    cwd: Path = PROJECT,
    env: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """A command in a pseudo-terminal that keeps its records there; (exit status, screen)."""

    def begin(terminal: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal
        )

    return _answered(begin, records, answers, prompt)


def _answered(begin: Callable[[int], Process], records: Path, answers: list[Answer], prompt: str) -> tuple[int, str]:
    controller, terminal = pty.openpty()
    process = begin(terminal)
    os.close(terminal)
    screen, waiting = "", [*answers]
    typed = b""
    with os.fdopen(controller, "rb+", buffering=0) as keyboard, no_longer_than(process):
        for data in pieces(controller):
            asked = screen.count(prompt)
            screen += data.decode(errors="replace")
            if screen.count(prompt) > asked:
                assert waiting, f"it asks once more than was answered: {screen}"
                typed = _keys(waiting.pop(0))
                keyboard.write(typed)
            if typed == CTRL_C:  # once it was heard, a second one would interrupt the record
                until_heard(keyboard, CTRL_C, lambda: bool(_approvals(records)))
        return process.wait(30), " ".join(screen.split())


def _keys(answer: Answer) -> bytes:
    if callable(answer):
        answer = answer()
    return answer.encode() + b"\n" if isinstance(answer, str) else answer


def approvals(tmp_path: Path) -> list[dict[str, Any]]:
    """The approvals in the newest journal."""
    return _approvals(tmp_path / "records")


def _approvals(records: Path) -> list[dict[str, Any]]:
    newest = max(records.glob("*/journal.jsonl"))
    events = [json.loads(line) for line in newest.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return [e for e in events if e["kind"] == "approval"]
