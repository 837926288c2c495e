"""What the operator sees while a run goes on: a banner a phase, a line a step, the verdict last."""

from __future__ import annotations

import contextlib
import os
import termios
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pytest

from pve_runbook.terminal.live import Live
from pve_runbook.terminal.wrap import wrapped

MARKS = {
    "passed": "ok",
    "failed": "FAILED",
    "unknown": "UNKNOWN",
    "blocked": "blocked",
    "not evaluated": "n/a",
}
COLOURS = {
    "passed": "green",
    "failed": "red",
    "unknown": "red",
    "blocked": "yellow",
    "not evaluated": "yellow",
}
BLOCKED_LINE = "  blocked  every step after this one, in this phase and in all later ones"
WARNING = "a warning: "
"""How the reason of a check begins that found something which only wants to be known."""


@dataclass(frozen=True, slots=True)
class Banner:
    """What a module is for. ``name``: "PHASE 4", or "" in checks/."""

    name: str
    title: str
    purpose: str


@dataclass(frozen=True, slots=True)
class StepLine:
    """A step that ended, in words."""

    outcome: str
    node: str
    title: str
    message: str
    traceback: str


class Screen:
    """pytest's terminal, as this tool writes on it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.verbosity = 0
        """How often -v was given: 1 shows the commands as they run, 2 their output too."""
        self.live: Live | None = None
        """What the operator sees while a step goes on."""
        self._part: str | None = None
        self._blocked_shown = False
        self._phase_is_open = False
        """Whether the terminal owes the last line of a phase."""

    @property
    def _reporter(self) -> pytest.TerminalReporter | None:
        return self._config.pluginmanager.getplugin("terminalreporter")  # type: ignore[no-any-return]

    def take_over(self) -> None:
        """Have pytest keep its header and its own verbosity to itself: every step has a line in words."""
        self.verbosity = max(0, self._config.option.verbose)
        self._config.option.verbose = min(0, self._config.option.verbose)

    def hide_file_names(self) -> None:
        """Have pytest print no file name before the steps of a file."""
        if self._reporter is not None:
            self._reporter.showfspath = False

    def flush(self) -> None:
        """Let all that was written be seen, in a pipe too."""
        if self._reporter is not None:
            self._reporter.flush()

    def enters(self, part: str) -> bool:
        """Whether the step that begins is the first of another phase or module; it is not any more when this is asked
        again."""
        is_new = self._part != part
        self._part = part
        return is_new

    def announce(self, banner: Banner, guests: str, *, is_phase: bool, is_over: bool) -> None:
        """Where a new module begins: the last line of the phase before, a banner with its purpose, and its first line.

        ``guests``: how they are. ``is_phase``: whether it says so first and last. ``is_over``: whether nothing of it
        will be carried out.
        """
        with self._writing() as reporter:
            if reporter is None:
                return
            self._end_phase(reporter, guests)
            if self._blocked_shown or is_over:
                return
            reporter.ensure_newline()
            reporter.write_line("")
            for line in wrapped(f"{banner.name}  " if banner.name else "", banner.title):
                reporter.write_line(line, bold=True)
            for line in wrapped(" " * 9, banner.purpose) if banner.purpose else ():
                reporter.write_line(line)
            if is_phase:
                _write_guests(reporter, guests)
                self._phase_is_open = True

    def _end_phase(self, reporter: pytest.TerminalReporter, guests: str) -> None:
        if self._phase_is_open:
            self._phase_is_open = False
            _write_guests(reporter, guests)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[pytest.TerminalReporter | None]:
        """While lines are written nothing that comes and goes is on the terminal; then they are out, in a pipe too."""
        with self.live.held() if self.live is not None else contextlib.nullcontext():
            yield self._reporter
            self.flush()

    def step(self, line: StepLine, *, is_over: bool) -> None:
        """One line for a step that ended; all that an earlier failure blocks is one line, and what a plan does not
        come to (``is_over``) is none."""
        with self._writing() as reporter:
            if reporter is not None:
                self._step(reporter, line, is_over)

    def _step(self, reporter: pytest.TerminalReporter, step: StepLine, is_over: bool) -> None:
        if step.outcome == "blocked":
            if not self._blocked_shown:
                self._blocked_shown = True
                reporter.ensure_newline()
                reporter.write_line(BLOCKED_LINE, yellow=True)
            return
        if is_over and step.outcome == "not evaluated":
            return
        reporter.ensure_newline()
        is_warning = step.message.startswith(WARNING)
        mark = f"  {'warning' if is_warning else MARKS[step.outcome]:<8} "
        first, *rest = wrapped(f"{mark}{step.node:<8} ", step.title)
        reporter.write(mark, **{COLOURS[step.outcome]: True})
        reporter.write_line(first[len(mark) :])
        for line in rest:
            reporter.write_line(line)
        if step.outcome in ("failed", "unknown", "not evaluated"):
            for line in step.message.removeprefix(WARNING).splitlines():
                for part in wrapped(" " * len(mark), line):
                    reporter.write_line(part)
            for line in step.traceback.splitlines():
                reporter.write_line(" " * len(mark) + line)

    def progress(self, text: str) -> None:
        """A line while a step takes its time, past pytest's capture."""
        reporter = self._reporter
        capture = self._config.pluginmanager.getplugin("capturemanager")
        if reporter is None:
            return
        with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
            reporter.ensure_newline()
            for line in wrapped(" " * 11, text):
                reporter.write_line(line)
            reporter.flush()

    def ask(self, prompt: str, read: Callable[[str], str] = input) -> str | None:
        """Read one line past pytest's capture, by ``read``; None without a terminal. The end of the input is no line.

        What was typed before the question was there is thrown away: it answers something else.
        """
        capture = self._config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.suspend(in_=True)
        try:
            if not (os.isatty(0) and os.isatty(1)):
                return None
            termios.tcflush(0, termios.TCIFLUSH)
            return read(prompt).strip()
        except EOFError:
            return ""
        finally:
            if capture is not None:
                capture.resume()

    def closing(
        self, title: str, verdict: str, *, is_good: bool, guests: str, plan: str, lines: Iterable[tuple[str, str]]
    ) -> None:
        """The last lines: the verdict, and ``lines`` of a label and a text each; a ``plan`` before all of it."""
        reporter = self._reporter
        if reporter is None:
            return
        self._end_phase(reporter, guests)
        reporter.ensure_newline()
        if plan:
            reporter.write_line(plan)
        reporter.write_sep("=", title)
        for line in wrapped("verdict   ", verdict):
            reporter.write_line(line, bold=True, green=is_good, red=not is_good)
        for label, text in lines:
            head = f"{label:<10}"
            for line in [head + text] if label == "record" else wrapped(head, text):  # a path stays in one piece
                reporter.write_line(line)


def _write_guests(reporter: pytest.TerminalReporter, guests: str) -> None:
    reporter.ensure_newline()
    for line in wrapped("", guests):
        reporter.write_line(line)
