"""HA from pve-ha-manager 5.1.3 on is disarmed before it is stopped, where every member is here and quorate."""

from __future__ import annotations

import json

import pytest
from bench_run import BenchRun, MakeRun, fixture
from pve_runbook.diagnosis import refusals
from pve_runbook.journal.events import ActionIntent, of_kind
from pve_runbook.procedure import left_to_do
from pve_runbook.procedure.stages import LOCKED

DISARM = "ha-manager crm-command disarm-ha freeze"


def stopped(run: BenchRun) -> list[str]:
    """What is sent for it, the lock taken before."""
    run.perform(LOCKED)
    fixture("lrm_off")(run.perform, run.members, None)
    return [line for line in run.bench.mutations() if "ha" in line.split()[0] or "pve-ha-lrm" in line]


def test_it_is_disarmed_once_before_the_first_stop(make_run: MakeRun) -> None:
    run = make_run("ha-quorate-9")
    before = {n.name: dict(n.facts.running) for n in run.cluster.nodes}
    assert run.members.disarms == "pve1"
    sent = stopped(run)
    assert sent[0] == DISARM and sent.count(DISARM) == 1 and sent.count("systemctl stop pve-ha-lrm.service") == 3
    assert run.members.disarms is None, "nothing is left to be disarmed"
    assert not any(n.facts.has_watchdog_client for n in run.cluster.nodes)
    assert {n.name: dict(n.facts.running) for n in run.cluster.nodes} == before
    [(node, text)] = left_to_do.not_applied(run.journal.events)
    assert node == "pve1" and "`ha-manager crm-command arm-ha`" in text and "the parked one too" in text
    intents = {i.action: i for i in of_kind(run.journal.events, ActionIntent)}
    assert intents["disarm-ha"].undo == "ha-manager crm-command arm-ha"


@pytest.mark.parametrize("state", ["ha-quorate", "pve9", "quorate", "standalone", "ha-armed"])
def test_elsewhere_it_is_not(make_run: MakeRun, state: str) -> None:
    """An older HA, one that holds no watchdog, no quorum: as before."""
    run = make_run(state)
    assert run.members.disarms is None
    if state == "ha-quorate":
        assert DISARM not in stopped(run)


def test_not_while_a_member_is_without_quorum_or_away(make_run: MakeRun) -> None:
    run = make_run("ha-quorate-9")
    run.members.names = (*run.members.names, "pve4")
    assert run.members.disarms is None
    run = make_run("ha-quorate-9")
    run.bench.run("pve3", "systemctl stop corosync")
    run.cluster.forget()
    assert run.members.disarms is None


def test_those_that_stay_keep_their_ha(make_run: MakeRun) -> None:
    run = make_run("ha-quorate-9")
    run.members.leave = ("pve3",)
    assert run.members.disarms is None


def test_armed_ha_without_quorum_is_told_of_the_command_where_it_has_it(make_run: MakeRun) -> None:
    for state, has in (("ha-quorate-9", True), ("ha-quorate", False)):
        run = make_run(state)
        run.bench.cluster.isolate()
        run.cluster.forget()
        facts = run.cluster.node("pve1").facts
        assert facts.is_armed_without_quorum
        assert (DISARM in refusals.ha_armed(facts)) is has


def test_what_holds_it_up_is_named(make_run: MakeRun) -> None:
    """And once it is where it goes, the same command disarms HA."""
    run = make_run("ha-quorate-9")
    pmxcfs = run.bench.node("pve1").pmxcfs
    status = json.loads(pmxcfs.database.text("ha/manager_status"))
    sid = min(status["service_status"])
    for state in ("migrate", "started"):
        status["service_status"][sid]["state"] = state
        pmxcfs.write("ha/manager_status", json.dumps(status).encode())
        run.cluster.forget()
        if state == "migrate":
            with pytest.raises(AssertionError) as refused:
                stopped(run)
            assert f"what holds it up: {sid} (migrate on pve1)" in str(refused.value)
            assert "`ha-manager crm-command arm-ha`" in str(refused.value)
            assert "systemctl stop pve-ha-lrm.service" not in run.bench.mutations()
        else:
            assert stopped(run)[-1].startswith("systemctl disable pve-ha-lrm")
