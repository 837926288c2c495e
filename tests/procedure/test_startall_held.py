"""The start of all guests is held over the windows, and let go at the end: what came up is counted, by name."""

from __future__ import annotations

import pytest
from bench_run import BenchRun, MakeRun, fixture, phase
from pve_runbook.plan.model import Question
from pve_runbook.plugin.second_look import SecondLook
from pve_runbook.procedure import questions
from pve_runbook.procedure.stages import LOCKED, STARTALL_BACK, STARTALL_HELD
from pve_runbook.procedure.startall import held, words
from pve_runbook.procedure.window_preconditions import window_obstacle

FREEZE, QUORUM, END = phase("phase0_freeze"), phase("phase2_quorum"), phase("phase7_survival")
STOP = "systemctl kill --signal=SIGSTOP pve-guests.service"
WAITING = [201, 202, 210]


class Host:
    """What a gate is given."""

    def __init__(self, run: BenchRun, name: str = "pve2") -> None:
        run.cluster.forget()
        self.pve = run.cluster.node(name).facts


def hold(run: BenchRun) -> None:
    run.perform(LOCKED)
    fixture("startall_held")(run.perform, run.members, None)


def sent(run: BenchRun) -> list[str]:
    return [line for line in run.bench.mutations() if "pve-guests" in line]


def obstacle(run: BenchRun) -> str:
    run.cluster.forget()
    leaver = run.cluster.node("pve2")
    return window_obstacle(leaver, run.cluster.nodes, run.members.authority, run.survival.network_of(leaver))


@pytest.mark.parametrize("state", ["startall-waiting", "sdn-pending"])
def test_nothing_that_grants_quorum_starts_a_guest_while_it_is_held(make_run: MakeRun, state: str) -> None:
    """On 8 and on 9; a second run sends nothing more."""
    run = make_run(state)
    hold(run)
    assert sent(run) == [STOP]
    FREEZE.test_start_of_all_guests_is_held(Host(run), None, run.members)
    QUORUM.test_start_of_all_guests_is_still_held(Host(run))
    run.bench.run("pve2", "systemctl stop pve-sdn-commit pve-firewall-commit")
    run.freeze("pve1")
    run.leave(run.cluster.node("pve2"))
    run.bench.advance(60.0)
    node = run.bench.node("pve2")
    assert node.standalone and not node.guests.running
    run.cluster.forget()
    run.perform(STARTALL_HELD)
    assert sent(run) == [STOP]


def test_without_that_the_window_starts_them_and_so_it_is_refused(make_run: MakeRun) -> None:
    run = make_run("startall-waiting")
    for gate in (
        lambda: FREEZE.test_start_of_all_guests_is_held(Host(run), None, run.members),
        lambda: QUORUM.test_start_of_all_guests_is_still_held(Host(run)),
    ):
        with pytest.raises(AssertionError, match=r"pve2: the start of all guests waits .* 201 \(mail201\), 202"):
            gate()
    run.freeze("pve1")
    assert "PVE-R174" in obstacle(run)
    look = SecondLook(run.members, run.survival, lambda: "")
    assert "PVE-R174" in look(Question(questions.FORCE, "", None, "x", ""))
    run.bench.run("pve2", STOP)
    assert obstacle(run) == ""
    run.bench.run("pve2", "systemctl kill --signal=SIGCONT pve-guests.service; systemctl stop pve-cluster; pmxcfs -l")
    run.bench.advance(10.0)
    assert sorted(run.bench.node("pve2").guests.running) == WAITING, "what the labs have to know"


@pytest.mark.parametrize("state", ["broken", "startall-queued"])
def test_one_that_is_queued_is_waited_for(make_run: MakeRun, state: str) -> None:
    """30 s on 8, 80 s on 9: a signal would reach nothing, and the job would start it later."""
    run = make_run(state)
    bench = run.bench
    if state == "broken":
        bench.node("pve2").power_cycle()
        run = make_run(bench)
    assert bench.node("pve2").units.get("pve-guests").active == "inactive"
    assert [g.vmid for g in run.cluster.node("pve2").facts.starts().startall] == WAITING, "its job tells"
    assert "again: pve2: 201 (mail201), 202 (ci202), 210 (files210)\nUndo, there: " in words.held(run.cluster.nodes)
    hold(run)
    assert Host(run).pve.startall_is_held
    bench.run("pve2", "pvecm expected 1; sleep 60")
    assert not bench.node("pve2").guests.running


def left(run: BenchRun) -> BenchRun:
    hold(run)
    run.freeze("pve1")
    run.leave(run.cluster.node("pve2"))
    run.cluster.forget()
    return run


def test_it_goes_on_once_its_node_has_left_and_what_came_up_is_counted(make_run: MakeRun) -> None:
    run = left(make_run("startall-waiting"))
    asked = words.goes_on([run.cluster.node("pve2")])
    assert "GUESTS START on pve2" in asked
    assert "They START there now: pve2: 201 (mail201), 202 (ci202), 210 (files210)\n" in asked
    with pytest.raises(AssertionError, match="PVE-R175"):
        END.test_start_of_all_guests_went_on(Host(run), ["pve2"])
    back = fixture("startall_back")(run.perform, run.members, run.notes)
    assert back == ["pve2"]
    END.test_start_of_all_guests_went_on(Host(run), back)
    assert sorted(run.bench.node("pve2").guests.running) == WAITING
    [said] = [e.event.text for e in run.journal.events if getattr(e.event, "topic", "") == words.STARTED]
    assert said == "3 of 3 guests were started: 201 (mail201), 202 (ci202), 210 (files210)"
    assert run.survival.losses(7) == "", "a guest that came up is no loss"
    run.perform(STARTALL_BACK)
    assert [line.split()[2] for line in sent(run)] == ["--signal=SIGSTOP", "--signal=SIGCONT"]


def test_a_guest_that_does_not_come_up_is_named_with_its_line(make_run: MakeRun) -> None:
    run = left(make_run("startall-waiting"))
    model = run.bench.node("pve2")
    model.storages.logical_volumes.remove("pve/vm-202-disk-0")
    fixture("startall_back")(run.perform, run.members, run.notes)
    assert sorted(model.guests.running) == [201, 210]
    told = [getattr(e.event, "text", "") for e in run.journal.events]
    assert "2 of 3 guests were started: 201 (mail201), 210 (files210)" in told
    [text] = run.notes.left
    assert text.startswith("pve2: 202 (ci202) did not come up") and text.endswith("by hand: qm start 202")


def test_where_none_waits_nothing_is_sent(make_run: MakeRun) -> None:
    run = make_run("broken")
    hold(run)
    run.perform(STARTALL_BACK)
    assert sent(run) == [] and words.held(run.cluster.nodes) == ""


def test_the_bounds_hold_what_a_boot_may_take() -> None:
    assert held.QUEUED > 80


def test_one_that_starts_guests_now_is_waited_for_and_never_stopped_in_that(make_run: MakeRun) -> None:
    """On a node with quorum: a guest that is just starting would be stopped with it."""
    bench = make_run("quorate").bench
    node = bench.node("pve2")
    node.startall = node.tasks.begin("startall", "")
    node.units.get("pve-guests").active = "activating"
    run = make_run(bench)
    facts = run.cluster.node("pve2").facts
    assert facts.startall_starts and [t.type for t in facts.tasks_under_way] == ["startall"]
    hold(run)
    assert sent(run) == []
    with pytest.raises(AssertionError, match="PVE-R174"):
        FREEZE.test_start_of_all_guests_is_held(Host(run), None, run.members)


def test_one_that_waits_is_no_task_that_a_change_would_disturb(make_run: MakeRun) -> None:
    run = make_run("startall-waiting")
    assert run.cluster.node("pve2").facts.tasks_under_way == ()
    hold(run)
    assert Host(run).pve.tasks_under_way == ()


def test_a_bulk_start_that_waits_is_not_of_the_boot_and_is_under_way(make_run: MakeRun) -> None:
    """The web UI's: its worker is no process of pve-guests, and no signal to that reaches it."""
    bench = make_run("broken").bench
    bench.node("pve2").tasks.begin("startall", "")
    run = make_run(bench)
    assert [t.type for t in run.cluster.node("pve2").facts.tasks_under_way] == ["startall"]
