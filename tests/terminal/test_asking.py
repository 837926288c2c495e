"""A question at a real terminal: what was typed before it is no answer to it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bounded import no_longer_than, pieces

ASKS = """
import select
from _pytest.config import get_config
from pve_runbook.terminal.screen import Screen
screen = Screen(get_config())
print("reads slowly", flush=True)
assert select.select([0], [], [], 60)[0]
print("answered:", repr(screen.ask("Type it: ")))
print("answered:", repr(screen.ask("Once more: ")))
"""


@contextmanager
def asked() -> Iterator[int]:
    """A process that asks twice once something was typed; the keyboard and screen of its terminal."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ASKS], stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    )
    os.close(terminal)
    with no_longer_than(process):
        yield controller
        process.wait(30)
    os.close(controller)


def dialogue(controller: int, *typed: tuple[str, bytes]) -> str:
    """Type each once its words are shown; all that was shown in the end."""
    shown, waiting = "", list(typed)
    for piece in pieces(controller, 60):
        shown += piece.decode()
        while waiting and waiting[0][0] in shown:
            os.write(controller, waiting.pop(0)[1])
    return shown


def test_what_was_typed_before_is_thrown_away() -> None:
    with asked() as controller:
        shown = dialogue(
            controller, ("reads slowly", b"labcluster\n"), ("Type it: ", b" pve1 \n"), ("Once more: ", b"\x04")
        )
    assert "answered: 'pve1'" in shown and "answered: ''" in shown and "answered: 'labcluster'" not in shown, shown


def test_without_a_terminal_there_is_no_answer() -> None:
    argv = [sys.executable, "-c", ASKS]
    done = subprocess.run(argv, input="labcluster\n" * 2, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("answered: None") == 2
