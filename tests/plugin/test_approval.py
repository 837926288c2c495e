"""An approval: the whole word, and for the plan that was shown and for no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench_run import BenchRun, runs
from msgspec.structs import replace
from pve_runbook.options.option_types import Approve
from pve_runbook.plan import files
from pve_runbook.plan.model import Plan, Question
from pve_runbook.plugin.approval import Ahead, Approvals, Asking, NoLongerHolds, NotApproved
from pve_runbook.procedure import stages
from pve_runbook.procedure.forecast import Forecast
from pve_runbook.procedure.planning import Place

FREEZE = Question(0, "locked", None, "labcluster", "The freeze begins.")
ALL = frozenset({0, 2, 4, 7})
PLACES = [
    Place(stages.LOCKED, 0, (), "locked"),
    Place(stages.SCHEDULER_OFF, 0, (), "scheduler"),
    Place(stages.LRM_OFF, 0, (), "lrm"),
    Place(stages.CRM_OFF, 0, (), "crm"),
    Place(stages.PEERS_SILENT, 2, (), "peers"),
]
MASK = "phase 0 pve2: systemctl mask --runtime pvescheduler.service"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[BenchRun]:
    """A broken cluster whose authority is chosen."""
    for make in runs(tmp_path):
        run = make("broken", 2)
        run.members.authority = run.cluster.node("pve1")
        yield run


def approvals(
    run: BenchRun,
    given: Approve,
    typed: str | None = None,
    *,
    code: str = "1" * 64,
    taken_up: bool = False,
    meanwhile: str = "",
    ask: Callable[[str], str | None] | None = None,
) -> Approvals:
    """What asks in a run: ``given`` on the command line, ``typed`` at the prompt (None: there is no terminal),
    ``meanwhile``: what a second look finds."""
    ahead = Ahead(
        forecasts=lambda: {n.name: Forecast(n) for n in run.cluster.nodes},
        work=run.work,
        done=run.perform.done,
        places=PLACES,
        code={"runbook/x.py": code},
        wanted_authority=lambda found: None,
        taken_up=taken_up,
    )

    def write(plan: Plan, question: Question) -> None:
        files.write(run.folder, plan, "", None)

    asking = Asking(
        given=given,
        rehearsal=False,
        only_plans=False,
        records=run.folder.parent,
        folder=run.folder,
        ask=ask or (lambda prompt: typed),
        write=write,
        candidates=lambda: (),
        second_look=lambda question: meanwhile,
        ahead=lambda plan: (),
    )
    return Approvals(ahead, asking, run.notes)


def answers(run: BenchRun) -> list[tuple[str, str]]:
    """How each approval in the journal was answered, and by what."""
    lines = [json.loads(line) for line in (run.folder / "journal.jsonl").read_text().splitlines()]
    return [(e["answer"], e["how"]) for e in lines if e["kind"] == "approval"]


def subjects(run: BenchRun) -> list[str]:
    """Which word each approval in the journal was given by."""
    lines = [json.loads(line) for line in (run.folder / "journal.jsonl").read_text().splitlines()]
    return [e["subject"] for e in lines if e["kind"] == "approval"]


# --- at the terminal


def test_a_yes_to_what_is_not_so_any_more_is_none(run: BenchRun) -> None:
    approve = approvals(run, Approve(), "labcluster", meanwhile="While this question stood: it fell")
    with pytest.raises(NoLongerHolds, match="it fell"):
        approve(FREEZE)
    assert approve.approved is None


def test_no_time_passes_where_nobody_is_asked(run: BenchRun) -> None:
    approve = approvals(run, Approve(frozenset({0})), meanwhile="While this question stood: it fell")
    approve(FREEZE)
    assert approve.approved is not None


def test_the_word_in_full_is_a_yes(run: BenchRun) -> None:
    approve = approvals(run, Approve(), "labcluster")
    approve(FREEZE)
    assert answers(run) == [("approved", "typed")] and approve.approved is not None


@pytest.mark.parametrize("typed", ["pve3 is powered off", "pve3 left the cluster", '"pve3 left the cluster"'])
def test_where_either_can_be_so_the_record_says_which_was_typed(run: BenchRun, typed: str) -> None:
    """The prompt has them in quotes: "Type pve3 is powered off or" is no sentence; they may be typed with these."""
    shown: list[str] = []

    def ask(prompt: str) -> str:
        shown.append(" ".join(prompt.split()))
        return typed

    approve = approvals(run, Approve(), ask=ask)
    approve(replace(FREEZE, word="pve3 is powered off", or_word="pve3 left the cluster"))
    assert subjects(run) == [typed.strip('"')]
    assert 'Type "pve3 is powered off" or "pve3 left the cluster" to go on, ?' in shown[0]


def test_a_question_mark_shows_every_command_that_the_approval_is_for_and_asks_again(run: BenchRun) -> None:
    shown: list[str] = []
    typed = iter(["?", "?", "labcluster"])

    def ask(prompt: str) -> str:
        shown.append(prompt)
        if prompt.endswith("anything else to stop: "):
            return next(typed)
        return "q" if len(asked_so_far()) == 2 else ""

    def asked_so_far() -> list[str]:
        return [prompt for prompt in shown if prompt.endswith("anything else to stop: ")]

    approve = approvals(run, Approve(), ask=ask)
    approve(FREEZE)
    assert answers(run) == [("approved", "typed")] and approve.approved is not None
    asked = [number for number, prompt in enumerate(shown) if prompt.endswith("anything else to stop: ")]
    assert len(asked) == 3 and asked[0] == 0 and asked[2] == len(shown) - 1 == asked[1] + 2, shown
    said = " ".join(" ".join(shown[: asked[1]]).split())
    for command in approve.approved.commands:
        assert f"$ {command.line} " in said


@pytest.mark.parametrize("typed", ["", "yes", "y", "labcluste", "labcluster x", "LABCLUSTER", "pve1"])
def test_any_other_word_is_a_no(run: BenchRun, typed: str) -> None:
    approve = approvals(run, Approve(), typed)
    with pytest.raises(NotApproved, match=r"typed '.*' where 'labcluster' was asked for"):
        approve(FREEZE)
    assert answers(run) == [("refused", "typed")] and approve.approved is None


def test_without_a_terminal_it_is_a_no(run: BenchRun) -> None:
    with pytest.raises(NotApproved, match="there is no terminal to ask on"):
        approvals(run, Approve())(FREEZE)
    assert answers(run) == [("refused", "no terminal")]


def test_an_approval_of_another_phase_does_not_answer(run: BenchRun) -> None:
    with pytest.raises(NotApproved):
        approvals(run, Approve(frozenset({2, 4, 7})))(FREEZE)


# --- by the option


@pytest.fixture
def plan(run: BenchRun) -> Plan:
    """The plan of the run as it is now, beside a record."""
    plan = approvals(run, Approve()).plan()
    files.write(run.folder, plan, "", None)
    return plan


def refused(approve: Approvals, run: BenchRun) -> list[str]:
    """The lines that say in what the plan differs from the approved one."""
    with pytest.raises(NotApproved, match="what is to be sent is not what was approved") as said:
        approve(FREEZE)
    assert answers(run)[-1][0] == "refused" and approve.approved is None
    return str(said.value).splitlines()


def test_the_plan_that_was_approved_goes_on(run: BenchRun, plan: Plan) -> None:
    approvals(run, Approve(ALL, plan.hash))(FREEZE)
    assert answers(run) == [("approved", f"--approve=...@{plan.hash}")]


def test_a_node_that_was_changed_since_is_not_what_was_approved(run: BenchRun, plan: Plan) -> None:
    assert run.bench.run("pve2", "systemctl mask --runtime pvescheduler.service").exit_status == 0
    run.cluster.forget()
    assert f"- {MASK}" in refused(approvals(run, Approve(ALL, plan.hash)), run)


def test_code_that_was_changed_since_is_not_what_was_approved(run: BenchRun, plan: Plan) -> None:
    said = refused(approvals(run, Approve(ALL, plan.hash), code="2" * 64), run)
    assert "code: runbook/x.py was changed" in said


def test_a_node_that_was_booted_since_is_not_what_was_approved(run: BenchRun, plan: Plan) -> None:
    run.bench.node("pve2").files.put("/proc/sys/kernel/random/boot_id", b"11111111-2222-3333-4444-555555555555\n")
    run.cluster.forget()
    said = refused(approvals(run, Approve(ALL, plan.hash)), run)
    assert "node: + pve2 is pve2, boot 11111111-2222-3333-4444-555555555555" in said


def test_a_plan_that_nobody_knows_is_not_approved(run: BenchRun) -> None:
    said = refused(approvals(run, Approve(ALL, "0" * 12)), run)
    assert f"no plan {'0' * 12} in {run.folder.parent}: what it named is not known here" in said


def test_what_is_done_is_not_missed_and_what_changes_on_the_way_is(run: BenchRun, plan: Plan) -> None:
    approve = approvals(run, Approve(ALL, plan.hash))
    approve(FREEZE)
    for stage in (stages.LOCKED, stages.SCHEDULER_OFF, stages.LRM_OFF, stages.CRM_OFF):
        run.perform(stage)
    approve(replace(FREEZE, phase=2))
    assert run.bench.run("pve2", "systemctl stop corosync").exit_status == 0
    run.cluster.forget()
    with pytest.raises(NotApproved, match=r"- phase 2 pve2: systemctl stop corosync\.service"):
        approve(replace(FREEZE, phase=4))


def test_bound_to_no_plan_a_change_on_the_way_is_noted(run: BenchRun) -> None:
    approve = approvals(run, Approve(ALL))
    approve(FREEZE)
    assert run.bench.run("pve2", "systemctl stop corosync").exit_status == 0
    run.cluster.forget()
    approve(replace(FREEZE, phase=2))
    assert {how for _, how in answers(run)} == {"--approve, bound to no plan"}
    assert '"topic":"plan"' in (run.folder / "journal.jsonl").read_text()


@pytest.mark.parametrize(("taken_up", "goes_on"), [(True, True), (False, False)])
def test_a_run_that_is_taken_up_is_within_its_plan_while_all_that_is_left_was_named(
    run: BenchRun, plan: Plan, taken_up: bool, goes_on: bool
) -> None:
    run.perform(stages.LOCKED)
    run.perform(stages.SCHEDULER_OFF)
    run.perform.done.clear()  # another process: it knows only what it reads
    approve = approvals(run, Approve(ALL, plan.hash), taken_up=taken_up)
    if goes_on:
        approve(FREEZE)
    else:
        refused(approve, run)
    refused(approvals(run, Approve(ALL, plan.hash), code="2" * 64, taken_up=taken_up), run)
