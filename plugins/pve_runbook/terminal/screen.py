"""What the operator sees while a run goes on: a banner a phase, a line a step, the verdict last."""

from __future__ import annotations

import contextlib
import os
import termios
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest
from msgspec import Struct

from pve_runbook.terminal.fold import BLOCKED, INDENT, MARKS, WARNING, Fold, Line, Place, StepLine
from pve_runbook.terminal.live import Live
from pve_runbook.terminal.wrap import cut, wrapped

__all__ = ["WARNING", "Banner", "Screen"]

COLOURS = {
    "passed": "green",
    "failed": "red",
    "unknown": "red",
    "blocked": "yellow",
    "warning": "yellow",
    "not evaluated": "yellow",
}


class Banner(Struct, frozen=True):
    """What a module is for. ``name``: "PHASE 4", or "" in checks/."""

    name: str
    title: str
    purpose: str


class Screen:
    """pytest's terminal, as this tool writes on it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.verbosity = 0
        """How often -v was given: 1 shows the commands as they run, 2 their output too."""
        self.live: Live | None = None
        """What the operator sees while a step goes on."""
        self.fold: Fold | None = None
        """What makes few lines of many; None with -v, where every step has a line for every node."""
        self._part: str | None = None
        self._module = ""
        self._blocked_shown = False
        self._phase_is_open = False
        """Whether the terminal owes the last line of a phase."""
        self._guests = ""
        """How the guests were when that was said last."""

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

    def enters_module(self, part: str, name: str) -> None:
        """The first step of a module, called ``name``, begins: what the one before still owes."""
        if self.fold is not None and part != self._module:
            self._module = part
            self._stand(self.fold.enters(part, name))

    def under_way(self, place: Place, title: str) -> None:
        """A step begins: on a terminal its line is there until it ends."""
        if self.fold is not None and self.live is not None:
            self.live.show(self.fold.under_way(place, title))

    def announce(self, banner: Banner, guests: str, *, is_phase: bool, is_over: bool) -> None:
        """Where a new module begins: the last line of the phase before, a banner with its purpose, and its first line.

        ``guests``: how they are, "" for nothing to be said. ``is_phase``: whether it says so first and last.
        ``is_over``: whether nothing of it will be carried out.
        """
        with self._writing() as reporter:
            if reporter is None:
                return
            self._end_phase(reporter, guests)
            if self._blocked_shown or is_over:
                return
            reporter.ensure_newline()
            if self.fold is not None and not banner.name:  # its modules are lines of one table
                return
            reporter.write_line("")
            head = f"{banner.name}  " if banner.name else ""
            for line in wrapped(head, banner.title) if self.fold is None else [cut(head, banner.title)]:
                reporter.write_line(line, bold=True)
            for line in wrapped(" " * 9, banner.purpose) if banner.purpose else ():
                reporter.write_line(line)
            if is_phase:
                self._write_guests(reporter, guests)
                self._phase_is_open = True

    def _end_phase(self, reporter: pytest.TerminalReporter, guests: str) -> None:
        if self._phase_is_open:
            self._phase_is_open = False
            self._write_guests(reporter, guests)

    def _write_guests(self, reporter: pytest.TerminalReporter, guests: str) -> None:
        if not guests or (self.fold is not None and guests == self._guests):
            return
        self._guests = guests
        reporter.ensure_newline()
        for line in wrapped("", guests):
            reporter.write_line(line)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[pytest.TerminalReporter | None]:
        """While lines are written nothing that comes and goes is on the terminal; then they are out, in a pipe too."""
        with self.live.held() if self.live is not None else contextlib.nullcontext():
            yield self._reporter
            self.flush()

    def step(self, place: Place, line: StepLine, *, is_over: bool) -> None:
        """A step ended on a node. All that an earlier failure blocks is one line, and what a plan does not come to
        (``is_over``) is none."""
        if self.fold is None:
            with self._writing() as reporter:
                if reporter is not None:
                    self._step(reporter, line, is_over)
            return
        self._blocked_shown |= line.outcome == "blocked"
        if not is_over or line.outcome != "not evaluated":
            self._stand(self.fold.ends(place, line))

    def said(self, besides: str) -> str:
        """What is shown of the checks that failed or warn, but for the one that says ``besides``."""
        return self.fold.said(besides) if self.fold is not None else ""

    def no_more_steps(self) -> None:
        """All steps have ended: nothing is under way any more, and what their lines still owe is said."""
        if self.live is not None:
            self.live.show("")
        if self.fold is not None:
            self._stand(self.fold.rest())

    def _stand(self, lines: Sequence[Line]) -> None:
        """Write lines that stay."""
        if not lines:
            return
        if self.live is not None:
            self.live.show("")
        with self._writing() as reporter:
            if reporter is None:
                return
            reporter.ensure_newline()
            for line in lines:
                colour = COLOURS.get(line.kind)
                reporter.write(line.mark, **({colour: True} if colour else {}))
                reporter.write_line(line.text)

    def _step(self, reporter: pytest.TerminalReporter, step: StepLine, is_over: bool) -> None:
        if step.outcome == "blocked":
            if not self._blocked_shown:
                self._blocked_shown = True
                reporter.ensure_newline()
                reporter.write_line(f"  blocked  {BLOCKED}", yellow=True)
            return
        if is_over and step.outcome == "not evaluated":
            return
        reporter.ensure_newline()
        mark = f"  {MARKS[step.kind]:<8} "
        first, *rest = wrapped(f"{mark}{step.node:<8} ", step.title)
        reporter.write(mark, **{COLOURS[step.outcome]: True})
        reporter.write_line(first[len(mark) :])
        for line in rest:
            reporter.write_line(line)
        if step.outcome in ("failed", "unknown", "not evaluated"):
            for line in step.text.splitlines():
                for part in wrapped(" " * len(mark), line):
                    reporter.write_line(part)
            for line in step.traceback.splitlines():
                reporter.write_line(" " * len(mark) + line)

    def progress(self, text: str) -> None:
        """Lines while a step takes its time, past pytest's capture."""
        reporter = self._reporter
        capture = self._config.pluginmanager.getplugin("capturemanager")
        if reporter is None:
            return
        with (
            capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext(),
            self.live.held() if self.live is not None else contextlib.nullcontext(),
        ):
            reporter.ensure_newline()
            for line in wrapped(" " * 11 if self.fold is None else INDENT, text):
                reporter.write_line(line)
            reporter.flush()

    def ask(self, prompt: str, read: Callable[[str], str] = input) -> str | None:
        """Read one line past pytest's capture, by ``read``; None without a terminal. The end of the input is no line.

        What was typed before the question was there is thrown away: it answers something else.
        """
        if self.live is not None:
            self.live.show("")
        capture = self._config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.suspend(in_=True)
        try:
            if not (os.isatty(0) and os.isatty(1)):
                return None
            termios.tcflush(0, termios.TCIFLUSH)
            return read(prompt).strip()
        except KeyboardInterrupt:
            print()  # what follows begins a line of its own
            raise
        except EOFError:
            print()
            return ""
        finally:
            if capture is not None:
                capture.resume()

    def closing(
        self,
        title: str,
        verdict: str,
        *,
        is_good: bool,
        guests: str,
        plan: str,
        told: str,
        lines: Iterable[tuple[str, str]],
    ) -> None:
        """The last lines: the verdict, and ``lines`` of a label and a text each; a ``plan`` before all of it.

        ``told``: the message of a failed step that the lines tell themselves.
        """
        reporter = self._reporter
        if reporter is None:
            return
        if self.fold is not None:
            self.no_more_steps()
            self._stand(self.fold.reasons(told))
        self._end_phase(reporter, guests)
        reporter.ensure_newline()
        if plan:
            reporter.write_line(plan)
        reporter.write_sep("=", title)
        for line in wrapped("verdict   ", verdict):
            reporter.write_line(line, bold=True, green=is_good, red=not is_good)
        labelled = list(lines)
        times = Counter(label for label, _ in labelled)
        before = ""
        for label, text in labelled:
            head = f"{label if label != before else '':<10}{'- ' if times[label] > 1 else ''}"
            before = label
            for line in [head + text] if label == "record" else wrapped(head, text):  # a path stays in one piece
                reporter.write_line(line)
