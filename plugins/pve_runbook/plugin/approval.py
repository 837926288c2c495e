"""Questions to the operator: what cannot be taken back is approved by typing a name in full."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from pve_runbook.plugin.options import PHASES_THAT_ASK
from pve_runbook.plugin.run import Run

NO_TERMINAL = (
    "not approved: phase {phase} ({name}) asks before it goes on, and there is no terminal to ask on.\n"
    "{text}\n"
    "Give --approve={phase}, or --approve=all, once you have read what it will do."
)
REFUSED = (
    "not approved: {by} typed {typed!r} where {word!r} was asked for.\n"
    "Nothing after this step is done; what was done so far stays as the record says.\n"
    "Run the same command line again when you are ready: it goes on from what it finds."
)


class NotApproved(Exception):
    """The operator said no, or could not be asked."""


def approve(run: Run, phase: int, word: str, text: str) -> None:
    """Ask for ``word`` to be typed before going on. Raises NotApproved.

    ``text`` says what will happen, to which node, what is at stake and how it is undone; it stands in the record.
    """
    by = getpass.getuser()
    if phase in run.options.approve:
        _record(run, phase, word, text, "approved", "--approve", by)
        return
    with run.cluster.brakes.asking():
        typed = ask_at_terminal(run.config, f"\n{text}\nType {word} to go on, anything else to stop: ")
    if typed is None:
        _record(run, phase, word, text, "refused", "no terminal", by)
        raise NotApproved(NO_TERMINAL.format(phase=phase, name=PHASES_THAT_ASK[phase], text=text.rstrip()))
    run.cluster.forget()
    if typed != word:
        _record(run, phase, word, text, "refused", "typed", by)
        raise NotApproved(REFUSED.format(by=by, typed=typed, word=word))
    _record(run, phase, word, text, "approved", "typed", by)


def ask_at_terminal(config: pytest.Config, prompt: str, read: Callable[[str], str] = input) -> str | None:
    """Read one line past pytest's capture, by ``read``; None without a terminal. The end of the input is no line."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend(in_=True)
    try:
        if not (os.isatty(0) and os.isatty(1)):
            return None
        return read(prompt).strip()
    except EOFError:
        return ""
    finally:
        if capture is not None:
            capture.resume()


def _record(run: Run, phase: int, word: str, text: str, answer: str, how: str, by: str) -> None:
    run.journal.write(
        "approval",
        sync=True,
        phase=phase,
        subject=word,
        text=text,
        answer=answer,
        how=how,
        by=by,
        at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    )
