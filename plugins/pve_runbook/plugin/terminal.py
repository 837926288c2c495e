"""What the operator sees while a run goes on: a banner a phase, a line a step, the verdict last."""

from __future__ import annotations

import contextlib
import os
import termios
from collections.abc import Callable, Iterator

import pytest

from pve_runbook.plugin.layout import wrapped
from pve_runbook.plugin.order import phase_of
from pve_runbook.plugin.run import Run
from pve_runbook.plugin.steps import WARNING, Step, node_of
from pve_runbook.plugin.verdict import Verdict

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

TITLES = {
    "runbook": "change record",
    "checks": "verification",
    "plan": "plan",
    "rehearsal": "REHEARSAL: nothing was changed on your nodes",
}


def header(run: Run) -> list[str]:
    """What this run may do, under pytest's own header."""
    names = ", ".join(t.name for t in run.options.targets)
    what = "executes the runbook on" if run.options.kind == "runbook" else "reads, and never changes,"
    if run.rollback is not None:
        what = f"rolls back what {run.options.rollback} says was done to"
    if run.options.rehearse:
        what = "reads, and never changes, then rehearses the runbook on a twin of"
    return wrapped("pve-runbook: ", f"{what} {names}")


def take_over(config: pytest.Config) -> int:
    """Have pytest keep its header and its own verbosity to itself: every step has a line in words.

    Return how often -v was given: 1 shows the commands as they run, 2 their output too.
    """
    verbosity: int = max(0, config.option.verbose)
    config.option.verbose = min(0, config.option.verbose)
    return verbosity


def hide_file_names(config: pytest.Config) -> None:
    """Have pytest print no file name before the steps of a file."""
    reporter = _writer(config)
    if reporter is not None:
        reporter.showfspath = False


def flush(config: pytest.Config) -> None:
    """Let all that was written be seen, in a pipe too."""
    reporter = _writer(config)
    if reporter is not None:
        reporter.flush()


def _writer(config: pytest.Config) -> pytest.TerminalReporter | None:
    return config.pluginmanager.getplugin("terminalreporter")  # type: ignore[no-any-return]


def announce(item: pytest.Item, run: Run) -> None:
    """Where a new module begins: the last line of the phase before, a banner with its purpose, and its first line."""
    reporter = _writer(item.config)
    if reporter is None or run.shown_module == item.path.name:
        return
    with _writing(reporter, run):
        end_of_phase(reporter, run)
        run.shown_module = item.path.name
        step = Step(item, "")
        phase = phase_of(item.path)
        name = f"PHASE {phase}" if phase is not None else ""
        if step.deviation:
            run.note("article", f"{name.capitalize()}: {step.deviation}")
        if run.blocked_shown or run.plan_ended:
            return
        reporter.ensure_newline()
        reporter.write_line("")
        for line in wrapped(f"{name}  " if name else "", step.phase_title):
            reporter.write_line(line, bold=True)
        for line in wrapped(" " * 9, step.purpose) if step.purpose else ():
            reporter.write_line(line)
        if phase is not None and not run.options.plan:
            _write_guests(reporter, run)
            run.phase_is_open = True


def end_of_phase(reporter: pytest.TerminalReporter, run: Run) -> None:
    """The last line of the phase that was begun, if one was."""
    if run.phase_is_open:
        run.phase_is_open = False
        if run.last_comparison is not None or run.stopped_at is None:
            _write_guests(reporter, run)
        else:
            reporter.write_line("guests, nodes, configs, volumes: not compared, the run ended before that")


def _write_guests(reporter: pytest.TerminalReporter, run: Run) -> None:
    reporter.ensure_newline()
    for line in wrapped("", guests_line(run)):
        reporter.write_line(line)


def guests_line(run: Run) -> str:
    """Every guest, node, config and volume against the baseline, as last compared; what came after it is said."""
    if run.last_comparison is None:
        return "guests, nodes, configs, volumes: not compared yet, phase 0 takes the baseline"
    last = next(e for e in reversed(run.journal.events) if e["kind"] == "continuity" or e.get("detached"))
    since = "" if last["kind"] == "continuity" else " (compared before the last change)"
    return f"{run.last_comparison.line}{since}"


@contextlib.contextmanager
def _writing(reporter: pytest.TerminalReporter, run: Run) -> Iterator[None]:
    """While lines are written nothing that comes and goes is on the terminal; then they are out, in a pipe too."""
    with run.live.held() if run.live is not None else contextlib.nullcontext():
        yield
        reporter.flush()


def step_line(step: Step, run: Run) -> None:
    """One line for a step that ended; all that an earlier failure blocks is one line."""
    reporter = _writer(step.item.config)
    if reporter is not None:
        with _writing(reporter, run):
            _step_line(reporter, step, run)


def _step_line(reporter: pytest.TerminalReporter, step: Step, run: Run) -> None:
    if step.outcome == "blocked":
        if run.blocked_shown:
            return
        run.blocked_shown = True
        reporter.ensure_newline()
        reporter.write_line("  blocked  every step after this one, in this phase and in all later ones", yellow=True)
        return
    if run.plan_ended and step.outcome == "not evaluated":
        return
    node = node_of(step.item, run) or "all"
    reporter.ensure_newline()
    is_warning = step.message.startswith(WARNING)
    mark = f"  {'warning' if is_warning else MARKS[step.outcome]:<8} "
    first, *rest = wrapped(f"{mark}{node:<8} ", step.title)
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


def progress(config: pytest.Config, text: str) -> None:
    """A line while a step takes its time, past pytest's capture."""
    reporter = _writer(config)
    capture = config.pluginmanager.getplugin("capturemanager")
    if reporter is None:
        return
    with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
        reporter.ensure_newline()
        for line in wrapped(" " * 11, text):
            reporter.write_line(line)
        reporter.flush()


def ask_at_terminal(config: pytest.Config, prompt: str, read: Callable[[str], str] = input) -> str | None:
    """Read one line past pytest's capture, by ``read``; None without a terminal. The end of the input is no line.

    What was typed before the question was there is thrown away: it answers something else.
    """
    capture = config.pluginmanager.getplugin("capturemanager")
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


def closing(reporter: pytest.TerminalReporter, run: Run, verdict: Verdict) -> None:
    """The last lines: verdict, what is left, record, journal head, what to type next."""
    colour = "green" if verdict.exit_status == 0 else "red"
    end_of_phase(reporter, run)
    reporter.ensure_newline()
    if run.plan_text:
        reporter.write_line(run.plan_text)
    reporter.write_sep("=", TITLES[run.options.kind])
    for line in wrapped("verdict   ", verdict.sentence):
        reporter.write_line(line, bold=True, **{colour: True})
    counts = ", ".join(f"{n} {name}" for name, n in run.counts.items())
    lines = [("steps     ", counts or "none ran")]
    if run.last_comparison is not None:
        lines.append(("guests    ", guests_line(run).removeprefix("guests ")))
    if run.options.mode == "checks":
        lines.append(("sent      ", str(run.record().sent)))
    lines += [("left      ", left) for left in run.left]
    if run.rehearsal is not None:
        lines += [("rehearsed ", text) for text in run.rehearsal.account]
        lines += [("not known ", text) for text in run.rehearsal.limits]
    lines.append(("next      ", verdict.next))
    for label, text in lines:
        for line in wrapped(label, text):
            reporter.write_line(line)
    if run.folder is not None:
        reporter.write_line(f"journal   head {run.journal.head[:16]}")
        page = run.folder / ("plan.md" if run.plan_text else "report.html")
        reporter.write_line(f"record    {page if page.exists() else run.folder / 'journal.jsonl'}")
