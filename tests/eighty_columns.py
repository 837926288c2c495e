"""pytest on a terminal of 80 columns and 24 lines: a real pseudo-terminal, and a terminal's own rules."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyte
import warm
from bounded import no_longer_than, pieces, until_heard

COLUMNS, LINES = 80, 24
CTRL_C = "\x03"


@dataclass(frozen=True)
class Shown:
    """What came of it. ``cells``: every line that stood on the screen in the end, as pyte has it; ``sent``: to it."""

    status: int
    cells: Sequence[Mapping[int, Any]]
    sent: str

    @property
    def lines(self) -> list[str]:
        """The lines without colours and without what follows the last word."""
        return ["".join(line[column].data for column in range(COLUMNS)).rstrip() for line in self.cells]


def on_a_terminal(
    *argv: str, cwd: Path, environment: Mapping[str, str], answer: Callable[[list[str]], str | None] | None = None
) -> Shown:
    """Run pytest. ``answer``: what is typed when the screen shows these lines up to the cursor, None for nothing."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    process = warm.at_terminal(terminal, *argv, cwd=cwd, flags=warm.STRICT, more={"TERM": "xterm", **environment})
    os.close(terminal)
    screen = _Scrolled(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    sent = b""
    with os.fdopen(controller, "rb+", buffering=0) as keyboard, no_longer_than(process):
        for data in pieces(controller):
            stream.feed(data)
            sent += data
            typed = answer([line.rstrip() for line in screen.display[: screen.cursor.y + 1]]) if answer else None
            if typed is not None:
                keyboard.write(typed.encode())
            if typed == CTRL_C:
                until_heard(keyboard, typed.encode())
        status = process.wait(30)
    shown = [*screen.top, *(screen.buffer[row] for row in range(LINES))]
    return Shown(status, shown, sent.decode())


class _Scrolled(pyte.Screen):
    """A screen that keeps what went over its top; pyte's own with a history takes twice as long for each letter."""

    def __init__(self, columns: int, lines: int) -> None:
        self.top: list[Mapping[int, Any]] = []
        super().__init__(columns, lines)

    def index(self) -> None:
        if self.margins is None and self.cursor.y == self.lines - 1:
            self.top.append(self.buffer[0])
        super().index()
