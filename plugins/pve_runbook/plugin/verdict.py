"""How a run as a whole ended: one sentence, an exit status, and what to type next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from pve_runbook.plugin import typed
from pve_runbook.plugin.provenance import program
from pve_runbook.plugin.run import Run
from pve_runbook.record.markup import count
from pve_runbook.work.diagnosis import Diagnosis
from pve_runbook.work.diagnosis import Verdict as Diagnosed

PASSED, FAILED, INTERRUPTED, INCOMPLETE, USAGE = 0, 1, 2, 3, 4
_NOTHING_COLLECTED = 5
KEPT = "--save-facts="
REARM = (
    "after five minutes of stable quorum (`pvecm status`), on every node: systemctl unmask --runtime pvescheduler; "
    "systemctl start pvescheduler; systemctl enable --now pve-ha-lrm pve-ha-crm"
)


JOURNAL_LOST = "The journal could not be written any more ({why}): nothing was changed that does not stand in it."
ONLY_A_PART = "Not complete: what was selected passed, the rest of the runbook was not run."
ANOTHER_LINE = "change the command line as the last line of that step says"
LAB_ENDED = "pve-runbook-lab keeps a lab up, to be checked before and after; this one has ended"
RECORD_LOST = "{sentence} But its record could not be written ({why})."
SEE_TO_IT = "see to the folder --records (free space, write permission)"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``signal`` names what interrupted the run, None otherwise."""

    exit_status: int
    sentence: str
    next: str
    signal: str | None = None


def judge_run(run: Run, pytest_status: int) -> Verdict:
    """Map what happened to the exit status that was promised: 0 only when all of it ran and passed."""
    found = _judge(run, pytest_status)
    if run.rehearsal is None:
        return found
    following = typed.again(run.config, without=("--rehearse", KEPT)) if not found.exit_status else found.next
    return replace(found, sentence=f"Rehearsed on a twin: {found.sentence}", next=following)


def _judge(run: Run, pytest_status: int) -> Verdict:
    again = _again(run)
    if pytest_status in (_NOTHING_COLLECTED, USAGE):
        return Verdict(USAGE, "Nothing was run.", f"see what is said below, then: {again}")
    if pytest_status == INTERRUPTED:
        name = (run.is_open and run.cluster.brakes.pending) or "SIGINT"
        where = f" at: {run.stopped_at.rstrip('.')}" if run.stopped_at else ""
        sentence = f"Interrupted ({name}){where}; the command under way had ended, nothing is sent any more."
        return Verdict(INTERRUPTED, sentence, again, name)
    if pytest_status not in (PASSED, FAILED):
        return Verdict(INCOMPLETE, "An internal error ended the run.", again)
    if run.journal.failure is not None:
        return Verdict(INCOMPLETE, JOURNAL_LOST.format(why=run.journal.failure), f"{SEE_TO_IT}, then: {again}")
    if run.options.mode == "checks":
        found = _judge_checks(run)
        if run.unreached:
            return replace(
                found, exit_status=USAGE, sentence=f"{found.sentence} Not reached: {', '.join(run.unreached)}."
            )
        return found
    if run.options.plan:
        return _judge_plan(run)
    if run.counts["failed"]:
        return Verdict(FAILED, f"Stopped: {run.stopped_at}", _as_asked(run, again))
    if not run.complete and set(+run.counts) == {"passed"}:
        return Verdict(INCOMPLETE, ONLY_A_PART, again)
    if run.counts["unknown"] or run.counts["blocked"] or not run.complete or not run.counts["passed"]:
        where = f": {run.stopped_at}" if run.stopped_at else ""
        return Verdict(INCOMPLETE, f"Not complete: something is unknown or was not run{where}", _as_asked(run, again))
    if run.rollback is not None:
        return Verdict(PASSED, f"Every node of {run.cluster_name} is the member it was; {_guests(run)}", REARM)
    absent = f" but {', '.join(run.options.absent)}, which took no part," if run.options.absent else ""
    return Verdict(PASSED, f"Every node of {run.cluster_name}{absent} is standalone; {_guests(run)}", _checks_line(run))


def without_record(run: Run, verdict: Verdict, error: OSError) -> Verdict:
    """The same end, with no page to show for it; the journal is whole and the page can be made from it."""
    why = f"{error.strerror}: {error.filename2 or error.filename}" if error.filename else str(error)
    return replace(
        verdict,
        exit_status=verdict.exit_status or INCOMPLETE,
        sentence=RECORD_LOST.format(sentence=verdict.sentence, why=why),
        next=f"{SEE_TO_IT}, then: {shlex.join([program(), f'--record-from={run.folder}'])}; then: {verdict.next}",
    )


def _again(run: Run) -> str:
    """The same command line, for the whole of it where a part was selected; what was to be kept is kept."""
    if not run.complete:
        return typed.whole(run.config, run.options.mode, without=(KEPT,))
    return typed.again(run.config, without=(KEPT,))


def _as_asked(run: Run, again: str) -> str:
    """With what has to be done first, where the step that did not pass wants another command line."""
    return f"{ANOTHER_LINE}: {again}" if typed.names_an_option(run.asked_for) else again


def _checks_line(run: Run) -> str:
    """What to type to verify these nodes."""
    if run.options.lab:
        return LAB_ENDED
    return typed.whole(run.config, "checks")


def _guests(run: Run) -> str:
    if not run.lost_guests:
        return "every guest ran on."
    names = ", ".join(map(str, run.lost_guests))
    why = f" ({', '.join(run.rebooted)} was rebooted)" if run.rebooted else ""
    return f"every guest ran on but {names}{why}."


def _judge_plan(run: Run) -> Verdict:
    if run.approved is None:
        status = FAILED if run.counts["failed"] else INCOMPLETE
        return Verdict(status, f"No plan can be made: {run.stopped_at}", _again(run))
    stops = f"the run would stop before its first command: {run.stopped_at}"
    if run.counts["failed"]:
        return Verdict(FAILED, f"As the nodes are now {stops}", _again(run))
    if run.counts["unknown"] or not run.plan_ended:
        return Verdict(INCOMPLETE, f"Something is unknown; {stops}", _again(run))
    sentence = f"Plan {run.approved.hash}: {count(len(run.approved.commands), 'command')}; nothing was changed."
    asking = typed.again(run.config, without=("--plan", "--approve="))
    return Verdict(PASSED, sentence, f"{asking}, or with --approve=all@{run.approved.hash}")


def _judge_checks(run: Run) -> Verdict:
    found = run.diagnosis
    head = "" if found is None else f"{found.verdict.upper()}: {found.gist}. "
    following = _following(run, found)
    for outcome, status, one, many in (
        ("failed", FAILED, "One check does not hold", "{count} checks do not hold"),
        ("unknown", INCOMPLETE, "One check is unknown", "{count} checks are unknown"),
    ):
        count = run.counts[outcome]
        if count:
            said = one if count == 1 else many.format(count=count)
            return Verdict(status, f"{head}{said}; the first: {run.first[outcome]}", following)
    if found is None:
        return Verdict(PASSED, "What was selected holds; the cluster as a whole was not judged.", following)
    return Verdict(PASSED, f"{head}Every check that applies holds.", following)


def _following(run: Run, found: Diagnosis | None) -> str:
    """What to type next."""
    everything = typed.whole(run.config, "checks", without=(KEPT,))
    if found is None:
        return everything
    if found.verdict in (Diagnosed.DISMANTLE, Diagnosed.HALF):
        return typed.whole(run.config, "runbook", without=(KEPT,))
    if found.verdict is Diagnosed.REPAIR:
        return f"{found.advice}; then {everything}"
    if found.verdict in (Diagnosed.HEALTHY, Diagnosed.STANDALONE):
        return f"see to what does not hold, then: {everything}" if run.stopped_at else "nothing"
    return everything
