"""What the exit status of a run promises: 0 only where all of it ran and passed; one unknown is enough for 3."""

from __future__ import annotations

import errno
from dataclasses import replace
from types import SimpleNamespace

import pytest
from pve_runbook.actions.errors import ActionFailed, OutcomeUnknown
from pve_runbook.actions.registry import STOP_SCHEDULER
from pve_runbook.diagnosis.advice import NOTHING
from pve_runbook.diagnosis.verdict import Diagnosis, Verdict
from pve_runbook.journal.journal import JournalLost
from pve_runbook.options.options import read_options
from pve_runbook.parsers.output import Output
from pve_runbook.plugin import run_result
from pve_runbook.plugin.closing import causes
from pve_runbook.plugin.run import Run
from pve_runbook.plugin.run_result import ONLY_A_PART, result_of
from pve_runbook.plugin.steps.step import Step, judge, worse
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.refusal.text import ids_in
from pve_runbook.ssh.exec import ConnectionLost

OPENED = SimpleNamespace(
    unreached=(),
    cluster=SimpleNamespace(brakes=SimpleNamespace(pending=None)),
    members=SimpleNamespace(cluster_name="lab"),
)


@pytest.fixture
def run(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> Run:
    """A run over checks/ or runbook/ whose command line was read."""
    mode = request.param
    (pytester.path / mode).mkdir()
    config = pytester.parseconfig(f"{mode}/", "--hosts=pve1")
    return Run(config, read_options(config, mode))


def ended(run: Run, *outcomes: str) -> int:
    """The exit status where so many steps ended in these ways, and pytest says 1 for any that it calls failed."""
    for number, outcome in enumerate(outcomes):
        item = SimpleNamespace(nodeid=f"step {number}", name=f"test_{number}", path=SimpleNamespace(name="x", stem="x"))
        run.outcome.count(Step(item, None, "", outcome=outcome, message="what\nto do"))  # type: ignore[arg-type]
    said = 1 if {"failed", "unknown"} & set(outcomes) else 0
    return result_of(run, OPENED, said).exit_status  # type: ignore[arg-type]


@pytest.mark.parametrize("run", ["checks"], indirect=True)
@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        (["passed"] * 9, 0),
        ([*["passed"] * 8, "not evaluated"], 0),
        ([*["passed"] * 8, "unknown"], 3),
        (["unknown", *["passed"] * 8], 3),
        (["passed", "failed"], 1),
        (["unknown", "failed"], 1),
    ],
)
def test_checks(run: Run, outcomes: list[str], status: int) -> None:
    assert ended(run, *outcomes) == status


@pytest.mark.parametrize("run", ["runbook"], indirect=True)
@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        (["passed"] * 9, 0),
        ([*["passed"] * 8, "unknown"], 3),
        (["passed", "unknown", "blocked", "blocked"], 3),
        ([*["passed"] * 8, "blocked"], 3),
        ([*["passed"] * 8, "not evaluated"], 0),
        (["not evaluated"] * 9, 3),
        (["passed", "failed", "blocked"], 1),
    ],
)
def test_the_runbook(run: Run, outcomes: list[str], status: int) -> None:
    assert ended(run, *outcomes) == status


@pytest.mark.parametrize("run", ["runbook"], indirect=True)
@pytest.mark.parametrize(
    ("outcomes", "is_a_part"), [(["passed", "not evaluated"], True), (["not evaluated"], False), ([], False)]
)
def test_what_was_selected_passed_only_where_something_did(run: Run, outcomes: list[str], is_a_part: bool) -> None:
    run.outcome.complete = False
    assert ended(run, *outcomes) == 3
    assert (result_of(run, OPENED, 0).sentence == ONLY_A_PART) is is_a_part  # type: ignore[arg-type]


@pytest.mark.parametrize("run", ["runbook", "checks"], indirect=True)
def test_where_nothing_was_judged_nothing_has_passed(run: Run) -> None:
    assert result_of(run, None, 5).exit_status == 4
    assert result_of(run, None, 3).exit_status == 3
    assert result_of(run, OPENED, 2).exit_status == 2  # type: ignore[arg-type]


ACTION = STOP_SCHEDULER.bind()
IDS = {
    UnknownFact: ("PVE-R133",),
    ConnectionLost: ("PVE-R133",),
    OutcomeUnknown: ("PVE-R135",),
    JournalLost: ("PVE-R136",),
    OSError: ("PVE-R137",),
    ActionFailed: ("PVE-R138",),
}
"""A refusal has its id; what an assertion says has the gate's, and a fault of the tool is no refusal."""


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (UnknownFact("pve1", "whether it is quorate", "no answer"), "unknown"),
        (OutcomeUnknown("pve1", ACTION, "the line was lost"), "unknown"),
        (ConnectionLost("pve1", "x", "lost", seconds=1, sent=False), "unknown"),
        (JournalLost("full"), "unknown"),
        (ActionFailed("pve1", ACTION, Output("", "", 1)), "failed"),
        (AssertionError("it does not hold"), "failed"),
        (KeyError("a fault of the tool"), "failed"),
        (OSError(errno.ENOSPC, "No space left on device"), "failed"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_what_is_not_known_is_unknown_and_never_passed(error: Exception, outcome: str) -> None:
    call = SimpleNamespace(excinfo=SimpleNamespace(value=error), when="call")
    report = SimpleNamespace(outcome="failed")
    found, message = judge(call, report, evaluates=True, stopped_by=None)  # type: ignore[arg-type]
    assert found == outcome and message
    assert ids_in(message) == IDS.get(type(error), ())
    assert worse("passed", found) == worse(found, "passed") == outcome


@pytest.mark.parametrize(
    ("lost", "none_ran", "down", "said"),
    [
        ("", False, False, "every guest ran on."),
        ("101", False, False, "every guest ran on but 101."),
        ("", True, True, "no guest ran at"),
        ("", False, True, "every guest that ran at the start ran on. Others were down then, and nobody starts them"),
        ("101", False, True, "every guest that ran at the start ran on but 101. Others were down then"),
    ],
)
def test_of_no_guest_it_is_said_that_it_ran_on_where_none_ran(lost: str, none_ran: bool, down: bool, said: str) -> None:
    """As after HA had reset all nodes, or one."""
    outcome = SimpleNamespace(executed=SimpleNamespace(lost=lost, none_ran=none_ran, some_down=down, started=()))
    assert run_result._guests(outcome).startswith(said)  # type: ignore[arg-type]


@pytest.mark.parametrize("run", ["runbook"], indirect=True)
def test_after_a_plan_the_line_to_type_ends_where_its_last_option_ends(run: Run) -> None:
    """Copied, a comma behind it would be a part of --hosts or --records."""
    run.options = replace(run.options, plan=True)
    run.outcome.executed = SimpleNamespace(plan=("0123456789ab", 2), asked=True)  # type: ignore[assignment]
    line, _, more = result_of(run, OPENED, 0).next.partition(" (")  # type: ignore[arg-type]
    assert line.split()[-1] in run.config.invocation_params.args
    assert more == "with --approve=all@0123456789ab it does not ask)"


@pytest.mark.parametrize("run", ["checks"], indirect=True)
@pytest.mark.parametrize(
    ("verdict", "said"),
    [(Verdict.POWER_ON, "POWER ON: power on pve2. "), (Verdict.WAIT, "WAIT: power on pve2. Or not. ")],
)
def test_advice_that_is_what_to_do_next_is_said_once(run: Run, verdict: Verdict, said: str) -> None:
    """Three lines of the last fourteen were said twice."""
    run.outcome.diagnosis = Diagnosis(verdict, ("seen",), (), "power on pve2. Or not")
    ended(run, "failed")
    result = result_of(run, OPENED, 1)  # type: ignore[arg-type]
    assert result.sentence.startswith(f"{said}One check failed")
    assert (f"{result.sentence} {result.next}").count("Or not") == 1


@pytest.mark.parametrize("run", ["checks"], indirect=True)
def test_where_the_verdict_is_all_that_failed_it_is_not_said_again(run: Run) -> None:
    run.outcome.diagnosis = Diagnosis(Verdict.ONE_OUT, ("seen",), (), "pve2 is out. To bring it back, do this")
    item = SimpleNamespace(nodeid="verdict", name="test_verdict", path=SimpleNamespace(name="x", stem="x"))
    run.outcome.count(Step(item, None, "", outcome="failed", message=str(run.outcome.diagnosis)))  # type: ignore[arg-type]
    result = result_of(run, OPENED, 1)  # type: ignore[arg-type]
    assert result.sentence == "ONE NODE IS OUT: pve2 is out. One check failed: the verdict itself."


@pytest.mark.parametrize("run", ["runbook"], indirect=True)
def test_after_a_healthy_cluster_was_refused_nothing_has_to_be_fixed(run: Run) -> None:
    run.outcome.diagnosis = Diagnosis(Verdict.HEALTHY, ("seen",), (), NOTHING)
    item = SimpleNamespace(nodeid="x", name="test_x", path=SimpleNamespace(name="x", stem="x"))
    run.outcome.count(Step(item, None, "", outcome="failed", message="cluster: a majority is quorate."))  # type: ignore[arg-type]
    result = result_of(run, OPENED, 1)  # type: ignore[arg-type]
    assert result.next.startswith("leave the cluster as it is; to check it again: ") and " checks/ " in result.next
    assert causes(run, result, ["pve1"]) == [], "the verdict has it"
    run.outcome.seen = "cluster: a majority is quorate, and more than a verdict has room for."
    assert causes(run, result, ["pve1"]) == [run.outcome.seen]


@pytest.mark.parametrize("run", ["checks"], indirect=True)
def test_a_warning_is_not_counted_as_not_evaluated(run: Run) -> None:
    run.outcome.diagnosis = Diagnosis(Verdict.HEALTHY, ("seen",), (), NOTHING)
    item = SimpleNamespace(nodeid="x", name="test_x", path=SimpleNamespace(name="x", stem="x"))
    for _ in range(2):
        run.outcome.count(Step(item, None, "", outcome="not evaluated", message="a warning: one link only"))  # type: ignore[arg-type]
    assert ended(run, "passed", "not evaluated") == 0
    assert run.outcome.counts == {"passed": 1, "warning": 2, "not evaluated": 1}
    result = result_of(run, OPENED, 0)  # type: ignore[arg-type]
    assert result.sentence == "HEALTHY: nothing is to be done. Every check that applies passed, with 2 warnings."


@pytest.mark.parametrize("run", ["checks"], indirect=True)
def test_where_a_check_failed_it_is_not_said_that_nothing_is_to_be_done(run: Run) -> None:
    run.outcome.diagnosis = Diagnosis(Verdict.HEALTHY, ("seen",), (), NOTHING)
    ended(run, "failed")
    result = result_of(run, OPENED, 1)  # type: ignore[arg-type]
    assert result.sentence == "HEALTHY: no change of the cluster is needed. One check failed; first: what."
    assert result.next.startswith("fix the failed checks, then run: ")
