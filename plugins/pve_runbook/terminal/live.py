"""What the operator sees while a step goes on: what is waited for, and with -v the commands as they run.

During a step pytest's capture owns file descriptor 1, so everything here goes to a duplicate of it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pve_runbook.cluster.progress import Wait, Waits
from pve_runbook.journal import events
from pve_runbook.journal.events import Entry
from pve_runbook.journal.journal import Journal
from pve_runbook.journal.probe_numbers import Questions
from pve_runbook.terminal.alike import names_in_words
from pve_runbook.terminal.wrap import WIDTH, wrapped

WORTH_A_LINE = 2.0
"""Seconds from which on a wait is shown on a terminal."""

EVERY_ON_PAPER = 30.0
"""Seconds between two such lines where there is no terminal to draw over."""

SHOWN_LINES = 40
"""Lines of one output that -vv shows; all of it is in the journal."""

_ERASE = "\r\x1b[K"


class Live:
    """One line that comes and goes on a terminal, and whole lines that stay. Thread-safe."""

    def __init__(self, fd: int, verbosity: int = 0) -> None:
        """``fd``: where to write. ``verbosity``: 1 shows commands, 2 their output too."""
        self._fd = fd
        self._waits = Waits()
        self._verbosity = verbosity
        self._is_terminal = os.isatty(fd) and os.environ.get("TERM", "dumb") != "dumb"
        self._lock = threading.RLock()
        self._drawn = ""
        """What stands in the line that comes and goes."""
        self._under_way = ""
        """What stands there while nothing is waited for."""
        self._said: dict[Wait, float] = {}
        self._sent_last: Sequence[str] = ()
        self._sent_to: list[str] = []
        """The command that was sent last, and the nodes to which."""
        self._questions = Questions()
        self._asked: dict[int, dict[str, Sequence[str]]] = {}
        """Batch number → probe → argv."""
        self._answers: dict[int, str] = {}
        """Line of an answer → probe."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="live", daemon=True)

    def start(self) -> None:
        """Begin to show what is waited for."""
        self._thread.start()

    def stop(self) -> None:
        """End it; the line that comes and goes is gone."""
        self._stop.set()
        self._thread.join()
        self.clear()

    def follow(self, journal: Journal, waits: Waits) -> None:
        """Show what is waited for there, and what that journal, a new one, is told, in place of any other's."""
        with self._lock:
            self._questions, self._asked, self._answers = Questions(), {}, {}
            self._waits = waits
        waits.ended = self.clear
        waits.say = self.line_of
        journal.tell = self.hear

    def say(self, text: str) -> None:
        """Write whole lines."""
        with self._lock:
            self._erase()
            self._write(text + "\n")

    def show(self, text: str) -> None:
        """What is under way, in one line, until that is told anew; on a terminal only."""
        with self._lock:
            self._under_way = text = _short(text)
            if self._is_terminal:
                self._draw(text)

    def line_of(self, node: str, text: str) -> None:
        """Write what is to be read of a node."""
        self.say("\n".join(wrapped(f"  {'..':<8} {node:<8} ", text)))

    def clear(self) -> None:
        """Take the line away, so that others can write."""
        with self._lock:
            self._erase()

    @contextmanager
    def held(self) -> Iterator[None]:
        """While others write: the line is gone, and does not come back meanwhile."""
        with self._lock:
            self._erase()
            yield

    def _tick(self) -> None:
        while not self._stop.wait(1.0):
            self.draw(time.monotonic())

    def draw(self, now: float) -> None:
        """Show what is waited for at ``now`` (of time.monotonic())."""
        with self._lock:
            waits = [wait for wait in self._waits.now if wait.elapsed(now) >= WORTH_A_LINE]
            if self._is_terminal:
                self._draw(in_words(waits, now) if waits else self._under_way)
                return
        self._said = {wait: at for wait, at in self._said.items() if wait in waits}
        due = [wait for wait in waits if now - self._said.get(wait, wait.since) >= EVERY_ON_PAPER]
        for wait in due:
            self._said[wait] = now
            self.say(in_words([wait], now))

    # --- the commands as they run

    def hear(self, entry: Entry) -> None:
        """Show one event of the journal: what is sent, on a terminal only until the step ends; with -v it stays, with
        -vv what is answered, too."""
        if not self._verbosity:
            if isinstance(entry.event, events.ActionIntent):
                self._show_sent(entry.event)
            return
        self._learn(entry)
        match entry.event:
            case events.ActionIntent() as sent:
                self._sent("$", sent.node, shlex.join(sent.argv))
            case events.GateCommand() as said:
                self._sent("$", said.node, said.command)
                self._answered(entry.number, said)
            case events.Action() as said:
                self._answered(entry.number, said)
            case events.Batch() as batch if self._verbosity == 1:
                self._batch(entry.number, batch)
            case events.Probe() as probe if self._verbosity > 1:
                self._probe(entry.number, probe)
            case events.Unchanged() as told if self._verbosity > 1:
                self._unchanged(told)

    def _show_sent(self, sent: events.ActionIntent) -> None:
        """A command and all the nodes that it went to one after the other, in the line that comes and goes."""
        with self._lock:
            if self._sent_last != sent.argv:
                self._sent_last, self._sent_to = sent.argv, []
            if sent.node not in self._sent_to:
                self._sent_to.append(sent.node)
            self.show(f"  {'$':<7} {names_in_words(self._sent_to):<5} {_visible(shlex.join(sent.argv))}")

    def _learn(self, entry: Entry) -> None:
        """Take in which question a number stands for and what a line answers."""
        if isinstance(entry.event, events.Batch):
            self._asked[entry.number] = {probe.id: probe.argv for probe in self._questions.of(entry.event)}
        elif isinstance(entry.event, events.Probe):
            self._answers[entry.number] = entry.event.id

    def _batch(self, number: int, batch: events.Batch) -> None:
        asked = self._asked[number]
        names = ", ".join(asked)
        head = f"  ?        {batch.node:<8} "
        self.say(_short(head + (f"{len(asked)} probes: {names}" if len(asked) > 1 else names)))

    def _probe(self, number: int, probe: events.Probe) -> None:
        self._question(probe.node, probe.batch, probe.id)
        if probe.error:
            self._said_by(probe.node, [probe.error])
        else:
            self._answered(number, probe)

    def _unchanged(self, told: events.Unchanged) -> None:
        for lines, how in ((told.same_as, "as before"), (told.as_others, "as another node")):
            for line in lines:
                self._question(told.node, told.batch, self._answers.get(line, ""))
                self._said_by(told.node, [f"{how}, line {line} of the journal"])

    def _question(self, node: str, batch: int, name: str) -> None:
        self._sent("?", node, shlex.join(self._asked.get(batch, {}).get(name, ())))

    def _sent(self, mark: str, node: str, command: str) -> None:
        self.say("\n".join(wrapped(f"  {mark:<8} {node:<8} ", command)))

    def _answered(self, number: int, said: events.Probe | events.Action | events.GateCommand) -> None:
        status = said.exit_status
        failed = status != 0 and not isinstance(said, events.Probe)
        if self._verbosity < 2 and not failed:
            return
        lines = [line for stream in (said.stdout, said.stderr) for line in (stream or "").splitlines()]
        shown = lines[:SHOWN_LINES]
        if len(lines) > SHOWN_LINES:
            shown.append(f"… {len(lines) - SHOWN_LINES} more lines in the journal, line {number}")
        if status != 0:
            shown.append(f"exit status {status}" if status is not None else "no exit status")
        self._said_by(said.node, shown)

    def _said_by(self, node: str, lines: Sequence[str]) -> None:
        """Show what a node said, cut to the terminal's width: the whole is in the journal."""
        if lines:
            head = f"{'':11}{node:<8} | "
            self.say("\n".join(_short(head + _visible(line)) for line in lines))

    # --- the terminal

    def _draw(self, text: str) -> None:
        if text != self._drawn:
            self._erase()
            self._write(text)
            self._drawn = text

    def _erase(self) -> None:
        if self._drawn:
            self._write(_ERASE)
            self._drawn = ""

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        with contextlib.suppress(OSError):  # a terminal that is gone must not end a run
            while data:
                data = data[os.write(self._fd, data) :]


def in_words(waits: Sequence[Wait], now: float) -> str:
    """Return ``  ..       pve1     waits for its window to end, 12 s of 180 s``, in one line of a terminal.

    What a node takes to be read comes to what is waited for, so a wait can outlast its bound; that is not said then.
    """
    first = waits[0]
    others = f", and {len(waits) - 1} more" if len(waits) > 1 else ""
    elapsed = first.elapsed(now)
    time_told = f", {elapsed:.0f} s" + (f" of {first.bound:.0f} s" if elapsed <= first.bound else "") + others
    head = f"  ..       {first.node:<8} waits for {first.what}"
    room = WIDTH - 1 - len(time_told)
    return (head if len(head) <= room else head[: room - 1] + "…") + time_told


def _short(line: str) -> str:
    return line if len(line) < WIDTH else line[: WIDTH - 2] + "…"


def _visible(line: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
