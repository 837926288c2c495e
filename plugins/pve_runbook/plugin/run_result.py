"""How a run as a whole ended: one sentence, an exit status, and what to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pve_runbook.diagnosis.advice import NOTHING
from pve_runbook.diagnosis.verdict import BRING_QUORUM_BACK, Diagnosis, Verdict
from pve_runbook.plugin import rerun_command
from pve_runbook.plugin.open_run import OpenRun
from pve_runbook.plugin.provenance import program
from pve_runbook.plugin.run import Run
from pve_runbook.plugin.steps.outcome import WARNED, Executed, Outcome
from pve_runbook.plugin.steps.step import CUT
from pve_runbook.record.html_markup import count

PASSED, FAILED, INTERRUPTED, INCOMPLETE, USAGE = 0, 1, 2, 3, 4
_NOTHING_COLLECTED = 5
_HOLDS = {"passed", "not evaluated", WARNED}
"""How the steps of a whole run may end: a gate of the runbook is not evaluated only where it has nothing to judge."""
KEPT = "--save-facts="
REARM = (
    "after five minutes of stable quorum (`pvecm status`), on {where}: systemctl unmask --runtime pvescheduler; "
    "systemctl start pvescheduler; systemctl enable --now pve-ha-lrm pve-ha-crm"
)


JOURNAL_LOST = "The journal could not be written any more ({why}): nothing was changed that does not stand in it."
ONLY_A_PART = "Not complete: what was selected passed, the rest of the runbook was not run."
DOWN_SINCE = " Others were down then, and nobody starts them: what is left names each."
NO_CHANGE = "no change of the cluster is needed"
LEAVE_IT = "leave the cluster as it is; to check it again"
ANOTHER_LINE = "first change this line as the last line of that step says"
LAB_ENDED = "pve-runbook lab keeps a lab up, to be checked before and after; this one has ended"
RECORD_LOST = "{sentence} But its record could not be written ({why})."
SEE_TO_IT = "check the folder --records (free space, write permission)"


class Result(Struct, frozen=True):
    """``signal`` names what interrupted the run, None otherwise."""

    exit_status: int
    sentence: str
    next: str
    signal: str | None = None


def result_of(run: Run, opened: OpenRun | None, pytest_status: int) -> Result:
    """Map what happened to the exit status that was promised: 0 only when all of it ran and passed."""
    found = _judge(run, opened, pytest_status)
    if run.rehearsal is None:
        return found
    following = rerun_command.again(run.config, without=("--rehearse", KEPT)) if not found.exit_status else found.next
    return replace(found, sentence=f"Rehearsed on a twin: {found.sentence}", next=following)


def _judge(run: Run, opened: OpenRun | None, pytest_status: int) -> Result:
    again = _again(run)
    if pytest_status in (_NOTHING_COLLECTED, USAGE):
        return Result(USAGE, "Nothing was run.", f"read what is said below, then run: {again}")
    outcome = run.outcome
    if pytest_status == INTERRUPTED:
        name = (opened is not None and opened.cluster.brakes.pending) or "SIGINT"
        place = (outcome.stopped_at or "").rstrip(".").removesuffix(CUT).rstrip(": ")
        where = f" at {place}" if place else ""
        sentence = f"Interrupted ({name}){where}; the command under way had ended, nothing is sent any more."
        return Result(INTERRUPTED, sentence, again, name)
    if pytest_status not in (PASSED, FAILED):
        return Result(INCOMPLETE, "An internal error ended the run.", again)
    if run.journal.failure is not None:
        return Result(INCOMPLETE, JOURNAL_LOST.format(why=run.journal.failure), f"{SEE_TO_IT}, then: {again}")
    if run.options.mode == "checks":
        found = _judge_checks(run)
        unreached = opened.unreached if opened is not None else ()
        if unreached:
            return replace(found, exit_status=USAGE, sentence=f"{found.sentence} Not reached: {', '.join(unreached)}.")
        return found
    if run.options.plan:
        return _judge_plan(run)
    if outcome.counts["failed"]:
        judged = outcome.diagnosis
        elsewhere = _is_not_meant(run) or (judged is not None and bool(judged.urgent))
        way = _following(run, judged) if elsewhere else _as_asked(run, again)
        return Result(FAILED, f"Stopped at {outcome.stopped_at}.", way)
    holds = set(+outcome.counts) <= _HOLDS and outcome.counts["passed"] > 0
    if not outcome.complete and holds:
        return Result(INCOMPLETE, ONLY_A_PART, again)
    is_whole = outcome.complete and opened is not None and holds
    if not is_whole or opened is None:
        where = f", first at {outcome.stopped_at}" if outcome.stopped_at else ""
        return Result(INCOMPLETE, f"Not complete: something is unknown or was not run{where}.", _as_asked(run, again))
    name, guests = opened.members.cluster_name, _guests(outcome)
    if run.rollback is not None:
        where = ", ".join(run.rollback.baseline.leaving) or "every node"
        return Result(PASSED, f"Every node of {name} is the member it was; {guests}", REARM.format(where=where))
    if run.options.leave:
        gone, stay = ", ".join(run.options.leave), ", ".join(sorted(run.options.staying))
        sentence = f"{gone} has left {name}; {stay} stay a quorate cluster without it; {guests}"
        return Result(PASSED, sentence, _checks_line(run))
    absent = f" but {', '.join(run.options.absent)}, which took no part," if run.options.absent else ""
    anyway = f"Taken apart anyway ({run.options.anyway}): " if run.options.anyway and _is_not_called_for(run) else ""
    return Result(PASSED, f"{anyway}Every node of {name}{absent} is standalone; {guests}", _checks_line(run))


def without_record(folder: Path, result: Result, error: OSError) -> Result:
    """The same end, with no page to show for it; the journal is whole and the page can be made from it."""
    why = f"{error.strerror}: {error.filename2 or error.filename}" if error.filename else str(error)
    return replace(
        result,
        exit_status=result.exit_status or INCOMPLETE,
        sentence=RECORD_LOST.format(sentence=result.sentence, why=why),
        next=f"{SEE_TO_IT}, then: {shlex.join([program(), f'--record-from={folder}'])}; then: {result.next}",
    )


def _is_not_meant(run: Run) -> bool:
    """Whether the run stopped because the cluster wants something else than this runbook."""
    return _is_not_called_for(run) and not run.options.anyway and not run.options.leave


def _is_not_called_for(run: Run) -> bool:
    found = run.outcome.diagnosis
    return found is not None and not found.calls_for_the_runbook


def _again(run: Run) -> str:
    """The same command line, for the whole of it where a part was selected; what was to be kept is kept."""
    if not run.outcome.complete:
        return rerun_command.whole(run.config, run.options.mode, without=(KEPT,))
    return rerun_command.again(run.config, without=(KEPT,))


def _as_asked(run: Run, again: str) -> str:
    """With what has to be done first, where the step that did not pass wants another command line."""
    return f"{ANOTHER_LINE}: {again}" if rerun_command.names_an_option(run.outcome.asked_for) else again


def _checks_line(run: Run) -> str:
    """What to type to verify these nodes."""
    if run.options.lab:
        return LAB_ENDED
    if run.options.leave:
        return rerun_command.whole(run.config, "checks", without=("--hosts=", "--absent="), hosts=_staying(run))
    return rerun_command.whole(run.config, "checks")


def _staying(run: Run) -> str:
    """--hosts for those that stay, as it was typed."""
    given = str(run.config.option.hosts).split(",")
    return ",".join(h for h, t in zip(given, run.options.targets, strict=True) if t.name in run.options.staying)


def _guests(outcome: Outcome) -> str:
    executed = outcome.executed
    started = "".join(f" {one}." for one in executed.started) if executed is not None else ""
    return _those_that_ran(executed) + started


def _those_that_ran(executed: Executed | None) -> str:
    lost = executed.lost if executed is not None else ""
    if not lost and executed is not None and executed.none_ran:
        return "no guest ran at the start: none was there to run on. See `qm list` and `pct list` for what should run."
    down = executed is not None and executed.some_down
    who, more = ("every guest that ran at the start ran on", DOWN_SINCE) if down else ("every guest ran on", "")
    return f"{who} but {lost}.{more}" if lost else f"{who}.{more}"


def _judge_plan(run: Run) -> Result:
    outcome, executed = run.outcome, run.outcome.executed
    plan = executed.plan if executed is not None else None
    if executed is None or plan is None:
        status = FAILED if outcome.counts["failed"] else INCOMPLETE
        return Result(status, f"No plan can be made: {outcome.stopped_at}.", _again(run))
    stops = f"the run would stop before its first command, at {outcome.stopped_at}."
    if outcome.counts["failed"]:
        return Result(FAILED, f"As the nodes are now {stops}", _again(run))
    if outcome.counts["unknown"] or not executed.asked:
        return Result(INCOMPLETE, f"Something is unknown; {stops}", _again(run))
    name, commands = plan
    sentence = f"Plan {name}: {count(commands, 'command')}; nothing was changed."
    asking = rerun_command.again(run.config, without=("--plan", "--approve="))
    return Result(PASSED, sentence, f"{asking} (with --approve=all@{name} it does not ask)")


def _judge_checks(run: Run) -> Result:
    found = run.outcome.diagnosis
    following = _following(run, found)
    head = "" if found is None else f"{found.verdict.upper()}: {_gist(found, following)}. "
    for outcome, status, one, many in (
        ("failed", FAILED, "One check failed", "{count} checks failed"),
        ("unknown", INCOMPLETE, "One check is unknown", "{count} checks are unknown"),
    ):
        found_so = run.outcome.counts[outcome]
        if found_so:
            said = one if found_so == 1 else many.format(count=found_so)
            first = run.outcome.first[outcome]
            is_answer = found is not None and first.startswith(f"{found.verdict.upper()}: ")
            what = ": the verdict itself." if is_answer else f"; first: {first}."
            if found is not None and found.gist == NOTHING:  # of the cluster; the checks want something
                head = f"{found.verdict.upper()}: {NO_CHANGE}. "
            return Result(status, f"{head}{said}{what}", following)
    if found is None:
        return Result(PASSED, "What was selected passed; the cluster as a whole was not judged.", following)
    warned = run.outcome.counts[WARNED]
    but = f", with {count(warned, WARNED)}" if warned else ""
    return Result(PASSED, f"{head}Every check that applies passed{but}.", following)


def _gist(found: Diagnosis, following: str) -> str:
    """What the answer is in a clause; of advice that stands whole in what to type next, its first sentence."""
    return found.gist.partition(". ")[0] if found.gist in following else found.gist


ADVISED = (
    Verdict.REPAIR,
    Verdict.HEALTHY_WITHOUT,
    Verdict.ONE_OUT,
    Verdict.POWER_ON,
    Verdict.CONFIGS_MISSING,
)
"""Verdicts whose advice is what to do next."""


def _following(run: Run, found: Diagnosis | None) -> str:
    """What to type next."""
    everything = rerun_command.whole(run.config, "checks", without=(KEPT,))
    if found is None:
        return everything
    if found.urgent:
        return f"{BRING_QUORUM_BACK}; then {everything}"
    if found.verdict in (Verdict.DISMANTLE, Verdict.HALF, Verdict.SPLIT_BRAIN):
        line = rerun_command.whole(run.config, "runbook", without=(KEPT,))
        return f"{line} {found.option}" if found.option else line
    if found.verdict in ADVISED:
        return f"{found.advice}; then {everything}"
    if found.verdict in (Verdict.HEALTHY, Verdict.STANDALONE):
        if found.advice != NOTHING:
            return f"{found.advice}; then {everything}"
        if not run.outcome.stopped_at:
            return "nothing"
        first = "fix the failed checks, then run" if run.options.mode == "checks" else LEAVE_IT
        return f"{first}: {everything}"
    return everything
