"""A session over runbook/ or checks/: pytest's hooks in the order in which it calls them.

A run that executes or verifies owns its nodes through :class:`pve_runbook.plugin.run.Run`, kept in the config's stash.
"""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import testinfra.backend
from pytest_html.basereport import BaseReport

from pve_runbook.plugin import ahead, garbage, opening, order, outside, steps, terminal, typed
from pve_runbook.plugin.fixtures import *  # noqa: F403  (fixtures are found by name in a plugin)
from pve_runbook.plugin.live import Live
from pve_runbook.plugin.options import RunOptions
from pve_runbook.plugin.run import RUN, Run
from pve_runbook.plugin.values import only_lists
from pve_runbook.plugin.verdict import Verdict, judge_run, without_record
from pve_runbook.record.html_hooks import STYLE, ChangeRecord, page_title
from pve_runbook.wire.backend import PveBackend
from pve_runbook.wire.connection import Connection, ConnectOptions
from pve_runbook.wire.journal import JournalLost
from pve_runbook.work.cluster import Cluster

if TYPE_CHECKING:
    from pve_runbook.plugin.rehearsal import Rehearsal

STEP = pytest.StashKey[steps.Step]()
HTML = pytest.StashKey[Path]()
VERDICT = pytest.StashKey[Verdict]()

CUT = "The run was interrupted in this step; the command under way, if any, had ended."
STILL_FROZEN = (
    "what was frozen stays so (schedulers, HA, corosync on the peers): guests run on, backups and HA do not; the whole "
    "runbook goes on from here, and brings the schedulers back at its end. The nodes stay locked for it, and the "
    "key of the second way in, if there is one in records/, is in root's authorized_keys2 until then"
)
THAWED = "the schedulers run again; the nodes stay locked: the whole runbook ends the run"
HALF_BACK = (
    "HA and the schedulers are off, and a node may be standalone still, or a member without corosync and read-only: "
    "guests run on, but one that stops there cannot be started. The same command line goes on from here; the nodes "
    "stay locked for it"
)
NEED_PASSWORD = "--ask-password: there is no terminal to type it on"


def begin(config: pytest.Config, options: RunOptions, begun: Sequence[Connection]) -> None:
    """Make the run of a command line that was checked; ``begun`` are its connections that are on their way."""
    testinfra.backend.BACKENDS["pve"] = "pve_runbook.wire.backend.PveBackend"
    config.option.connection = "pve"
    config.option.hosts = ",".join(t.name for t in options.targets)
    if only_lists(config):
        config.stash[RUN] = Run(config, options)
        return
    _set_up_report(config, options, begun)


def _set_up_report(config: pytest.Config, options: RunOptions, begun: Sequence[Connection]) -> None:
    """Have pytest-html write to a place of our own; its page moves to the record when that has its name."""
    folder = Path(tempfile.mkdtemp(prefix="pve-runbook-"))
    run = Run(config, options)
    run.begun = begun
    config.stash[RUN] = run
    if options.plan:
        from pve_runbook.plugin import plan_mode

        config.pluginmanager.register(plan_mode, "pve_plan")
    config.stash[HTML] = folder / "report.html"
    run.verbosity = terminal.take_over(config)
    option = config.option
    option.htmlpath = str(config.stash[HTML])
    option.self_contained_html = True
    option.css = [*option.css, str(STYLE)]
    option.reportchars = ""
    title = page_title(options.kind)
    config.pluginmanager.register(ChangeRecord(run.record, lambda: run.journal.head, title), "pve_change_record")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Every step has a line in words: pytest's names of files have no place among them."""
    terminal.hide_file_names(session.config)


@pytest.hookimpl(wrapper=True)
def pytest_report_header(config: pytest.Config) -> Generator[None, list[object], list[object]]:
    """Say at once what this run may do, in place of pytest's paths and plugins; they come back with -v."""
    run = config.stash[RUN]
    lines = yield
    return [*(lines if run.verbosity or config.option.collectonly else ()), *terminal.header(run)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One turn for every node that leaves; which node it is, is decided in phase 1."""
    if "_leaver" in metafunc.fixturenames:
        count = len(metafunc.config.stash[RUN].options.targets)
        metafunc.parametrize("_leaver", range(count), ids=[f"{i + 1}of{count}" for i in range(count)], indirect=True)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The rollback runs on its own: its phase is not collected without --rollback, and no other with it."""
    run = config.stash[RUN]
    if run.options.mode != "runbook" or order.phase_of(collection_path) is None:
        return None
    return True if not order.belongs(collection_path, run.options.rollback is not None) else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Gate every step first, before -k and -m take any away; sort last, after everyone else."""
    run = config.stash[RUN]
    hosts = [t.name for t in run.options.targets]
    run.refused = True
    outside.refuse_actions(items, config.rootpath)
    if run.options.mode == "runbook":
        order.gate(items, hosts, rollback=run.options.rollback is not None, judge_all=run.options.plan)
    run.refused = False
    yield
    items.sort(
        key=lambda i: (
            (str(i.path), *order.sort_key(i, hosts))
            if run.options.mode == "checks"
            else ("", *order.sort_key(i, hosts))
        )
    )


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Remember what a selection took away."""
    for item in items:
        item.config.stash[RUN].deselected.append(item.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Prove that every step is gated, then connect. Raises UsageError: nothing was touched then."""
    config = session.config
    run = config.stash[RUN]
    if run.refused:
        return
    if run.options.mode == "runbook" and session.items:
        whole = typed.whole(config, "runbook")
        run.complete = order.check_selection(
            session.items,
            config.rootpath / "runbook",
            run.deselected,
            whole,
            rollback=run.options.rollback is not None,
        )
        if not run.options.plan:
            order.prove_gated(session.items, [t.name for t in run.options.targets])
    run.steps = list(session.items)
    if not only_lists(config) and session.items and not session.testsfailed:
        config.option.tbstyle = "no"  # every failed step says in place what was seen, or shows its traceback there
        _open(config, run)


def _open(config: pytest.Config, run: Run) -> None:
    garbage.settle()
    if run.options.mode == "runbook":
        garbage.pool()
    connect = ahead.connect_options(config, run.options)
    if run.options.lab:
        from pve_runbook.plugin import labs

        lab = (
            labs.start(run.options.lab_scenario, len(run.options.targets))
            if run.options.lab_facts is None
            else labs.start_from(run.options.lab_facts)
        )
        config.add_cleanup(lab.stop)
        connect = replace(connect, ssh_config=lab.ssh_config)
    if run.options.ask_password:
        connect = replace(connect, password=_password(config))
    config.add_cleanup(run.close)
    terminal.flush(config)
    screen = os.dup(1)
    config.add_cleanup(lambda: os.close(screen))
    run.live = Live(screen, run.verbosity)
    run.live.start()
    config.add_cleanup(run.live.stop)
    if run.options.rehearse:
        from pve_runbook.plugin import rehearsal

        run.rehearsal = rehearsal.rehearse(run.options, connect, run.id, opening.UNREACHED, run.live)
        config.add_cleanup(run.rehearsal.lab.stop)
        run.options = rehearsal.on_the_twin(run.options, run.rehearsal)
        connect = ConnectOptions(ssh_config=run.rehearsal.lab.ssh_config)
    opening.open_run(run, connect, run.live)
    if run.rehearsal is not None:
        _begin_rehearsal(run, run.rehearsal)
    elif run.options.save_facts is not None:
        from pve_runbook.plugin import rehearsal

        rehearsal.save(rehearsal.take(run.cluster), run.options.save_facts)
    PveBackend.door = _Door(run.cluster)
    config.add_cleanup(_close_door)
    run.cluster.brakes.say = lambda text: os.write(screen, f"\n{text}\n".encode())
    config.add_cleanup(run.cluster.brakes.install())


def _begin_rehearsal(run: Run, twin: Rehearsal) -> None:
    assert run.folder is not None
    twin.keep(run.folder)
    twin.compare(run.cluster)
    for text in twin.limits:
        run.note("twin", text)


def _close_door() -> None:
    PveBackend.door = None


def _password(config: pytest.Config) -> str:
    typed = terminal.ask_at_terminal(config, "SSH password: ", getpass.getpass)
    if typed is None:
        raise pytest.UsageError(NEED_PASSWORD)
    return typed


class _Door:
    """testinfra's way to the nodes of the run."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def facts(self, node: str) -> object:
        return self._cluster.node(node).facts

    def run(self, node: str, command: str) -> tuple[int, bytes, bytes]:
        return self._cluster.node(node).gate_command(command)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """File everything that happens under its step."""
    run = item.config.stash[RUN]
    if not run.is_open:
        return (yield)
    run.cluster.brakes.check()
    terminal.announce(item, run)
    step = steps.begin(item, run)
    item.stash[STEP] = step
    try:
        return (yield)
    except BaseException:
        step.outcome, step.message = "unknown", CUT
        raise
    finally:
        steps.end(step, run)
        run.count(step)
        terminal.step_line(step, run)


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
    outcome, message = steps.judge(call, report, run)
    step.outcome = steps.worse(step.outcome, outcome)
    step.message = "\n".join(m for m in (step.message, message) if m)
    step.seconds += report.duration
    if report.outcome == "failed":
        if steps.speaks_for_itself(call):
            report.longrepr = message
        else:
            step.traceback = report.longreprtext
    row: dict[str, Any] = {
        "phase": step.phase,
        "title": step.title,
        "node": steps.node_of(item, run),
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
    return row["outcome"], "", ""


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Judge the run, write the record, and move pytest-html's page into it."""
    config = session.config
    run = config.stash[RUN]
    if only_lists(config):
        yield
        return
    if run.options.plan and run.is_open and run.folder is not None:
        from pve_runbook.plugin import plan_mode

        plan_mode.make(run)
    verdict = judge_run(run, int(session.exitstatus))
    if run.folder is not None:
        verdict = _end_journal(run, verdict, int(session.exitstatus))
    config.stash[VERDICT] = verdict
    session.exitstatus = verdict.exit_status
    page = config.stash.get(HTML, None)
    try:
        yield
        if page is not None and run.folder is not None and run.journal.failure is None:
            _write_record(run, page, run.folder)
    except OSError as error:
        config.stash[VERDICT] = verdict = without_record(run, verdict, error)
    session.exitstatus = verdict.exit_status
    if page is None:
        return
    shutil.rmtree(page.parent, ignore_errors=True)
    _silence_html(config)
    garbage.settle()


def _end_journal(run: Run, verdict: Verdict, pytest_status: int) -> Verdict:
    """Write the last lines; the verdict, which is another one where they cannot be written."""
    run.journal.step = None
    if verdict.exit_status and run.changed_something and run.options.kind == "runbook":
        frozen = STILL_FROZEN if run.rollback is None else HALF_BACK
        run.leave(THAWED if run.thawed else frozen)
    if run.rehearsal is not None:
        run.rehearsal.end(run.journal.events)
        for text in run.rehearsal.account:
            run.note("rehearsed", text)
    try:
        run.journal.write(
            "end",
            sync=True,
            exit_status=verdict.exit_status,
            verdict=verdict.sentence,
            next=verdict.next,
            signal=verdict.signal,
        )
    except JournalLost:
        return judge_run(run, pytest_status)
    return verdict


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
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Generator[None]:
    """End with the verdict, what is left, the record's path and what to type next."""
    yield
    run = config.stash[RUN]
    verdict = config.stash.get(VERDICT, None)
    if run.is_open and verdict is not None:
        terminal.closing(terminalreporter, run, verdict)
