"""What a run says of itself first and last: what it may do, how each phase begins, its verdict and what is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from pve_runbook.diagnosis.verdict import Verdict
from pve_runbook.journal import events
from pve_runbook.journal.events import of_kind
from pve_runbook.options.options import RunOptions
from pve_runbook.plugin.cluster_verdict import few
from pve_runbook.plugin.open_run import OpenRun
from pve_runbook.plugin.run import Run
from pve_runbook.plugin.run_result import Result
from pve_runbook.plugin.steps.outcome import WARNED, Outcome
from pve_runbook.plugin.steps.step import Step
from pve_runbook.record.html_markup import count
from pve_runbook.refusal.text import is_said
from pve_runbook.terminal.alike import folded
from pve_runbook.terminal.fold import GATES
from pve_runbook.terminal.screen import Banner
from pve_runbook.terminal.wrap import wrapped

TITLES = {
    "runbook": "change record",
    "checks": "verification",
    "plan": "plan",
    "rehearsal": "REHEARSAL: nothing was changed on your nodes",
}
WHAT_LED_TO_IT = 120
"""Seconds before the run of which a node's own words are kept too."""
WELL = (Verdict.HEALTHY, Verdict.STANDALONE)
NOT_COMPARED = "guests, nodes, configs, volumes: not compared, the run ended before that"
STILL_FROZEN = (
    "what was frozen stays so (schedulers, HA, corosync on the peers, a start of all guests that waits): guests run "
    "on, backups and HA do not; the whole runbook goes on from here, and brings the schedulers back at its end. The "
    "nodes stay locked for it, and the key of the second way in, if there is one in records/, is in root's "
    "authorized_keys2 until then"
)
STILL_LEAVING = (
    "what was frozen on {nodes} stays so (schedulers, HA, corosync where it was stopped): guests run on; those that "
    "stay go on as they were, and where they have no majority of their own they may be without quorum. The whole "
    "runbook goes on from here. The nodes stay locked for it, and the key of the second way in, if there is one in "
    "records/, is in root's authorized_keys2 of what leaves until then"
)
THAWED = "the schedulers run again; the nodes stay locked: the whole runbook ends the run"
STANDS_ALONE = "test_phase4_corosync.py::test_node_is_standalone"
"""The gate that a node which left is standalone."""
HALF_BACK = (
    "HA and the schedulers are off, and a node may be standalone still, or a member without corosync and read-only: "
    "guests run on, but one that stops there cannot be started. The same command line goes on from here; the nodes "
    "stay locked for it"
)


def header(options: RunOptions) -> list[str]:
    """What this run may do, under pytest's own header."""
    names = [t.name for t in options.targets]
    what = "executes the runbook on" if options.kind == "runbook" else "reads, and never changes,"
    if options.leave and options.kind == "runbook":
        what = f"takes {', '.join(options.leave)} out of its cluster, and the others stay one:"
        names = names if options.rehearse else [n for n in names if n in options.staying]
    if options.rollback is not None:
        what = f"rolls back what {options.rollback} says was done to"
    if options.rehearse:
        what = "reads, and never changes, then rehearses the runbook on a twin of"
    return wrapped("pve-runbook: ", f"{what} {', '.join(names)}")


def announce(item: pytest.Item, opened: OpenRun) -> None:
    """Where a phase begins (in checks/: a module): how the one before ended, and what this one is for."""
    run = opened.run
    step = Step(item, None, "")
    name = f"PHASE {step.phase}" if step.phase is not None else ""
    run.screen.enters_module(item.path.name, step.phase_title.partition(":")[0] if step.phase is None else GATES)
    if not run.screen.enters(name or item.path.name):
        return
    if step.deviation:
        run.notes.note("article", f"{name.capitalize()}: {step.deviation}")
    executed = run.outcome.executed
    is_told = run.outcome.stopped_at is not None or (executed is not None and executed.is_compared)
    run.screen.announce(
        Banner(name, step.phase_title, f"With --leave: {step.with_leave}" if run.options.leave else step.purpose),
        _guests(run.outcome) if is_told or run.screen.verbosity else "",
        is_phase=step.phase is not None and not run.options.plan,
        is_over=run.outcome.is_over,
    )


def _guests(outcome: Outcome) -> str:
    executed = outcome.executed
    if executed is None or not (executed.is_compared or outcome.stopped_at is None):
        return NOT_COMPARED
    return executed.guests


def keep_own_words(step: Step, opened: OpenRun) -> None:
    """Where a step did not pass after something was changed: have the nodes' own words of the run kept under it."""
    executed = opened.run.outcome.executed
    if step.outcome not in ("failed", "unknown") or executed is None or not executed.changed_something:
        return
    if opened.run.journal.failure is None:
        run_took = int((datetime.now(UTC) - opened.run.started).total_seconds())
        opened.cluster.keep_own_words(run_took + WHAT_LED_TO_IT, step.node)


def still_so(run: Run) -> str:
    """In what state a run that changed something and did not come to its end leaves the nodes."""
    frozen = STILL_FROZEN if run.rollback is None else HALF_BACK
    if run.options.leave and run.rollback is None:
        frozen = STILL_LEAVING.format(nodes=", ".join(run.options.leave))
    return _those_that_left(run) + (THAWED if run.outcome.thawed else frozen)


def _those_that_left(run: Run) -> str:
    """Which nodes left the cluster in this run, and were seen to stand alone; "" where none did."""
    steps = (s for s in of_kind(run.journal.events, events.Step) if s.outcome == "passed" and STANDS_ALONE in s.nodeid)
    left = list(dict.fromkeys(step.node for step in steps if step.node is not None))
    if not left:
        return ""
    return f"{', '.join(left)} {'has' if len(left) == 1 else 'have'} left the cluster already; "


def close(opened: OpenRun, result: Result) -> None:
    """The last lines: verdict, what is left, record, journal head, what to type next."""
    run = opened.run
    run.screen.closing(
        TITLES[run.options.kind],
        result.sentence,
        is_good=result.exit_status == 0,
        guests=_guests(run.outcome),
        plan=_plan(run),
        told=str(run.outcome.diagnosis or ""),
        lines=_lines(opened, result),
    )


def _plan(run: Run) -> str:
    executed = run.outcome.executed
    return executed.plan_text if run.options.plan and executed is not None else ""


def _lines(opened: OpenRun, result: Result) -> Iterator[tuple[str, str]]:
    """The answer first: after the verdict why, and what to type; then what is left, and what was counted."""
    run = opened.run
    names = [n.name for n in opened.cluster.nodes]
    yield from (("cause", text) for text in causes(run, result, names))
    yield "next", result.next
    yield from (("left", text) for text in folded(run.notes.left, names, with_numbers=True))
    if run.rehearsal is not None:
        yield from (("rehearsed", text) for text in run.rehearsal.account)
        yield from (("not known", text) for text in run.rehearsal.limits)
    counted = (count(n, name) if name == WARNED else f"{n} {name}" for name, n in run.outcome.counts.items())
    yield "steps", ", ".join(counted) or "none ran"
    executed = run.outcome.executed
    if executed is not None and executed.is_compared:
        yield "guests", executed.guests.removeprefix("guests ")
    if run.options.mode == "checks":
        yield "sent", str(run.record().sent)
    yield "journal", f"head {run.journal.head[:16]}"
    page = opened.folder / ("plan.md" if _plan(run) else "report.html")
    yield "record", str(page if page.exists() else opened.folder / "journal.jsonl")


def causes(run: Run, result: Result, names: Sequence[str]) -> list[str]:
    """Why the verdict is not good, in few lines: of checks/ what the diagnosis rests on, of a run what stopped it."""
    outcome, found = run.outcome, run.outcome.diagnosis
    if result.signal is not None:
        return []
    if run.options.mode == "checks" and found is not None and found.verdict not in WELL:
        return few(found, names, besides=result.sentence, told=run.screen.said(besides=str(found)))
    return [] if is_said(outcome.seen, result.sentence) else [outcome.seen]
