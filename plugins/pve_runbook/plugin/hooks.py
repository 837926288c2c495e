"""A session over runbook/ or checks/: pytest's hooks in the order in which it calls them.

A run that executes or verifies is kept in the config's stash: RUN from its command line on, OPENED once its nodes are
connected.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytest_html.basereport import BaseReport

from pve_runbook.journal import events
from pve_runbook.journal.journal import JournalLost
from pve_runbook.options.option_types import only_lists
from pve_runbook.options.options import RunOptions
from pve_runbook.plugin import closing, early_connections, gc_tuning
from pve_runbook.plugin.fixtures import *  # noqa: F403  (fixtures are found by name in a plugin)
from pve_runbook.plugin.open_run import OPENED, OpenRun, open_run
from pve_runbook.plugin.reach import reach_all
from pve_runbook.plugin.rerun_command import whole
from pve_runbook.plugin.run import RUN, Run
from pve_runbook.plugin.run_result import Result, result_of, without_record
from pve_runbook.plugin.steps import fixture_guard, log_capture, which_part
from pve_runbook.plugin.steps import order as step_order
from pve_runbook.plugin.steps import step as steps
from pve_runbook.plugin.steps.outcome import WARNED, is_warning
from pve_runbook.record.pytest_html import STYLE, ChangeRecord, page_title
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.usage import usage_error
from pve_runbook.ssh.connection import Connection, ConnectOptions
from pve_runbook.terminal.fold import ALL, Fold, StepLine
from pve_runbook.terminal.live import Live

STEP = pytest.StashKey[steps.Step]()
HTML = pytest.StashKey[Path]()
RESULT = pytest.StashKey[Result]()

NOTHING_IS_SELECTED = (
    "no step of {mode}/ is left by the selection on the command line (-k, -m, --deselect); leave it out"
)


def begin(config: pytest.Config, options: RunOptions, begun: Sequence[Connection]) -> None:
    """Make the run of a command line that was checked; ``begun`` are its connections that are on their way.

    Raises UsageError where there is nothing to roll back.
    """
    run = config.stash[RUN] = Run(config, options, begun)
    if only_lists(config):
        return
    # pytest-html writes to a place of our own; its page moves to the record when that has its name.
    folder = Path(tempfile.mkdtemp(prefix="pve-runbook-"))
    if options.plan:
        from pve_runbook.plugin import plan_mode

        config.pluginmanager.register(plan_mode, "pve_plan")
    config.stash[HTML] = folder / "report.html"
    run.screen.take_over()
    option = config.option
    option.htmlpath = str(config.stash[HTML])
    option.self_contained_html = True
    option.css = [*option.css, str(STYLE)]
    option.reportchars = ""
    title = page_title(options.kind)
    config.pluginmanager.register(ChangeRecord(run.record, lambda: run.journal.head, title), "pve_change_record")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Every step has a line in words: pytest's names of files have no place among them."""
    session.config.stash[RUN].screen.hide_file_names()


@pytest.hookimpl(wrapper=True)
def pytest_report_header(config: pytest.Config) -> Generator[None, list[object], list[object]]:
    """Say at once what this run may do, in place of pytest's paths and plugins; they come back with -v."""
    run = config.stash[RUN]
    lines = yield
    return [*(lines if run.screen.verbosity or config.option.collectonly else ()), closing.header(run.options)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A step for every node of --hosts; one turn for every node that leaves, which is decided in phase 1."""
    options = metafunc.config.stash[RUN].options
    about = [name for name in step_order.ABOUT_A_NODE if name in metafunc.fixturenames]
    if about:
        names = which_part.nodes_of(metafunc.definition, options)
        metafunc.parametrize(about, [[n] * len(about) for n in names], ids=names, indirect=True, scope="module")
    if "_leaver" in metafunc.fixturenames:
        count = len(which_part.leaving(options))
        metafunc.parametrize("_leaver", range(count), ids=[f"{i + 1}of{count}" for i in range(count)], indirect=True)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The rollback runs on its own: its phase is not collected without --rollback, and no other with it."""
    run = config.stash[RUN]
    if run.options.mode != "runbook" or step_order.phase_of(collection_path) is None:
        return None
    return True if not step_order.belongs(collection_path, run.rollback is not None) else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Gate every step first, before -k and -m take any away; sort last, after everyone else."""
    run = config.stash[RUN]
    hosts = [t.name for t in run.options.targets]
    run.outcome.refused = True
    fixture_guard.refuse_actions(items, config.rootpath)
    run.outcome.not_for_this = which_part.take_out(items, run.options)
    if run.options.mode == "runbook":
        step_order.gate(items, hosts, rollback=run.rollback is not None, judge_all=run.options.plan)
    run.outcome.refused = False
    yield
    by_file = run.options.mode == "checks"
    items.sort(key=lambda i: (str(i.path) if by_file else "", *step_order.sort_key(i, hosts)))


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Remember what a selection took away."""
    for item in items:
        item.config.stash[RUN].outcome.deselected.append(item.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Prove that every step is gated, then connect. Raises UsageError: nothing was touched then."""
    config = session.config
    run = config.stash[RUN]
    outcome = run.outcome
    if outcome.refused:
        return
    if outcome.deselected and not (session.items or session.testsfailed or only_lists(config)):
        raise usage_error(RefusalId.NOTHING_IS_SELECTED, NOTHING_IS_SELECTED.format(mode=run.options.mode))
    if run.options.mode == "runbook" and session.items:
        outcome.complete = step_order.check_selection(
            session.items,
            config.rootpath / "runbook",
            outcome.deselected,
            whole(config, "runbook"),
            rollback=run.rollback is not None,
            not_for_this=outcome.not_for_this,
        )
        if not run.options.plan:
            step_order.prove_gated(session.items, [t.name for t in run.options.targets])
    outcome.steps = list(session.items)
    if not only_lists(config) and session.items and not session.testsfailed:
        if not run.screen.verbosity:
            run.screen.fold = _fold(session.items, run.options)
        log_capture.leave_out(config, session.items)
        config.option.tbstyle = "no"  # every failed step says in place what was seen, or shows its traceback there
        opened = _open(config, run)
        if run.options.mode == "runbook":
            from pve_runbook.plugin import execution

            outcome.executed = config.stash[execution.EXECUTION] = execution.Execution(opened)


def _fold(items: Sequence[pytest.Item], options: RunOptions) -> Fold:
    fold = Fold([t.name for t in options.targets], at_the_end=options.mode == "checks")
    acting = {item.path.name for item in items if not step_order.only_reads(item)}
    fold.expect(map(step_order.place_of, items), {item.path.name for item in items} - acting)
    return fold


def _open(config: pytest.Config, run: Run) -> OpenRun:
    gc_tuning.settle()
    if run.options.mode == "runbook":
        gc_tuning.pool()
    connect = early_connections.connect_options(config, run.options)
    if run.options.lab:
        from pve_runbook.plugin import lab_process

        lab = (
            lab_process.start(run.options.lab_scenario, len(run.options.targets))
            if run.options.lab_facts is None
            else lab_process.start_from(run.options.lab_facts)
        )
        config.add_cleanup(lab.stop)
        connect = replace(connect, ssh_config=lab.ssh_config)
    config.add_cleanup(run.journal.close)
    run.screen.flush()
    out = os.dup(1)
    config.add_cleanup(lambda: os.close(out))
    run.screen.live = live = Live(out, run.screen.verbosity)
    live.start()
    config.add_cleanup(live.stop)
    if run.options.rehearse:
        connect = _build_twin(config, run, connect, live)
    opened = config.stash[OPENED] = open_run(run, connect)
    if run.rehearsal is not None:
        run.rehearsal.keep(opened.folder)
        run.rehearsal.compare(opened.cluster)
        for text in run.rehearsal.limits:
            run.notes.note("twin", text)
    elif run.options.save_facts is not None:
        from pve_runbook.plugin import rehearsal

        rehearsal.save(rehearsal.take(opened.cluster), run.options.save_facts)
    opened.cluster.brakes.say = lambda text: os.write(out, f"\n{text}\n".encode())
    config.add_cleanup(opened.cluster.brakes.install())
    return opened


def _build_twin(config: pytest.Config, run: Run, connect: ConnectOptions, live: Live) -> ConnectOptions:
    """Read the nodes, and have the run made on their twin; how that is reached."""
    from pve_runbook.plugin import rehearsal

    run.rehearsal = rehearsal.rehearse(run.options, connect, run.id, partial(reach_all, run), live)
    config.add_cleanup(run.rehearsal.lab.stop)
    run.options = rehearsal.on_the_twin(run.options, run.rehearsal)
    return ConnectOptions(ssh_config=run.rehearsal.lab.ssh_config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """File everything that happens under its step."""
    opened = item.config.stash.get(OPENED, None)
    if opened is None:
        return (yield)
    run = opened.run
    opened.cluster.brakes.check()
    node = step_order.node_of(item, opened.members.leaving if opened.members.authority is not None else ())
    closing.announce(item, opened)
    step = item.stash[STEP] = steps.begin(item, node, run.journal)
    place = step_order.place_of(item)
    run.screen.under_way(place, step.title)
    is_last = nextitem is None
    try:
        done = yield
        closing.keep_own_words(step, opened)
        return done
    except BaseException:
        step.outcome, step.message = "unknown", f"{steps.CUT}."
        is_last = True
        raise
    finally:
        steps.end(step, run.journal)
        run.outcome.count(step)
        line = StepLine(step.outcome, step.node or ALL, step.said, step.message, step.traceback, step.reason)
        run.screen.step(place, line, is_over=run.outcome.is_over)
        if is_last:
            run.screen.no_more_steps()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the gate's own words in place of tracebacks, and the step's facts onto the report."""
    report = yield
    run = item.config.stash[RUN]
    step = item.stash.get(STEP, None)
    if step is None:
        return report
    evaluates = run.options.kind in ("checks", "plan")
    outcome, message = steps.judge(call, report, evaluates=evaluates, stopped_by=run.outcome.stopped_by)
    step.outcome = steps.worse(step.outcome, outcome)
    step.message = "\n".join(m for m in (step.message, message) if m)
    opened = item.config.stash.get(OPENED, None)
    step.reason = step.reason or steps.reason_of(call, opened.why_unreached if opened is not None else {})
    step.seconds += report.duration
    if steps.not_applicable(call) is not None:
        report.outcome = "passed"  # for pytest-dependency: what comes after it is not held back
        report.longrepr = None
    if report.outcome == "failed":
        if steps.speaks_for_itself(call):
            report.longrepr = message
        else:
            step.traceback = report.longreprtext
    row: dict[str, Any] = {
        "phase": step.phase,
        "title": step.title,
        "node": step.node,
        "outcome": step.outcome,
        "started": step.started,
        "message": message,
    }
    report.pve_step = row  # type: ignore[attr-defined]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(
    report: pytest.CollectReport | pytest.TestReport, config: pytest.Config
) -> tuple[str, str, str] | None:
    """Take pytest's letters away: every step has a line of its own."""
    row = getattr(report, "pve_step", None)
    if row is None:
        return None
    if report.when in ("setup", "teardown") and report.outcome == "passed":
        return "", "", ""
    return WARNED if is_warning(row["outcome"], row["message"]) else row["outcome"], "", ""


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Judge the run, write the record, and move pytest-html's page into it."""
    config = session.config
    run, opened = config.stash[RUN], config.stash.get(OPENED, None)
    if only_lists(config):
        yield
        return
    if run.options.plan and opened is not None:
        from pve_runbook.plugin import plan_mode

        plan_mode.make(config)
    result = result_of(run, opened, int(session.exitstatus))
    if opened is not None:
        result = _end_journal(opened, result, int(session.exitstatus))
    config.stash[RESULT] = result
    session.exitstatus = result.exit_status
    page = config.stash.get(HTML, None)
    try:
        yield
        if page is not None and opened is not None and run.journal.failure is None:
            _write_record(run, page, opened.folder)
    except OSError as error:
        if opened is not None:
            config.stash[RESULT] = result = without_record(opened.folder, result, error)
    session.exitstatus = result.exit_status
    if page is None:
        return
    shutil.rmtree(page.parent, ignore_errors=True)
    _silence_html(config)
    gc_tuning.settle()


def _end_journal(opened: OpenRun, result: Result, pytest_status: int) -> Result:
    """Write the last lines; the result, which is another one where they cannot be written."""
    run = opened.run
    run.journal.step = None
    executed = run.outcome.executed
    if result.exit_status and executed is not None and executed.changed_something and run.options.kind == "runbook":
        run.notes.leave(closing.still_so(run))
    if run.rehearsal is not None:
        run.rehearsal.end(run.journal.events)
        for text in run.rehearsal.account:
            run.notes.note("rehearsed", text)
    try:
        run.journal.write(
            events.End(exit_status=result.exit_status, verdict=result.sentence, next=result.next, signal=result.signal),
            sync=True,
        )
    except JournalLost:
        return result_of(run, opened, pytest_status)
    return result


def _write_record(run: Run, page: Path, folder: Path) -> None:
    """Raises OSError."""
    from pve_runbook.record.writer import replacing, write_record

    if page.exists():
        with replacing(folder / "report.html") as new:
            shutil.copyfile(page, new)
    write_record(folder, run.record(), run.journal.head)


def _silence_html(config: pytest.Config) -> None:
    """Its last line would name the place that the page has left."""
    for plugin in config.pluginmanager.get_plugins():
        if isinstance(plugin, BaseReport):
            config.pluginmanager.unregister(plugin)


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(config: pytest.Config) -> Generator[None]:
    """End with the verdict, what is left, the record's path and what to type next."""
    yield
    opened, result = config.stash.get(OPENED, None), config.stash.get(RESULT, None)
    if opened is not None and result is not None:
        closing.close(opened, result)
