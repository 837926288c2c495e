"""Starts that wait for quorum: known ones are held, of any other one the run is refused before quorum is granted."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from bench_run import FROZEN, BenchRun, MakeRun, fixture, phase
from pve_runbook.cluster.node import Node
from pve_runbook.facts.guest_starts import by_name
from pve_runbook.plan.model import Question
from pve_runbook.plugin.second_look import SecondLook
from pve_runbook.probes.start_jobs import is_known
from pve_runbook.procedure import left_to_do, questions
from pve_runbook.procedure.stages import COMMITS_OFF, LOCKED
from pve_runbook.procedure.startall import words
from pve_runbook.procedure.window_preconditions import window_obstacle

CONDITIONS, QUORUM, FREEZE = phase("phase0_conditions"), phase("phase2_quorum"), phase("phase0_freeze")
COMMITS = ("pve-sdn-commit.service", "pve-firewall-commit.service")


class Host:
    """What a gate is given."""

    def __init__(self, node: Node) -> None:
        self.pve = node.facts


def refused(step: str, run: BenchRun, name: str = "pve2") -> str:
    """What a gate of phase 0 or 2 says of a node, "" when it passes."""
    run.cluster.forget()
    host = Host(run.cluster.node(name))
    try:
        if step == "conditions":
            CONDITIONS.test_no_unknown_start_waits(host, run.members)
        elif step == "freeze":
            FREEZE.test_nothing_waits_to_change_the_network(host, None, run.members)
        else:
            QUORUM.test_no_other_start_waits_for_quorum(host)
    except AssertionError as said:
        return str(said)
    return ""


def test_a_commit_that_waits_is_stopped_before_quorum_is_granted(make_run: MakeRun) -> None:
    """And what it would have applied stays pending: the network is not reloaded."""
    run = make_run("sdn-pending")
    node = run.bench.node("pve2")
    assert run.cluster.node("pve2").facts.waiting_commits == COMMITS
    assert refused("conditions", run) == ""
    assert "pve-sdn-commit.service, pve-firewall-commit.service is waiting or running" in refused("freeze", run)
    assert "`ifreload -a`" in refused("quorum", run)
    run.perform(LOCKED)
    fixture("commits_off")(run.perform, None)
    assert refused("freeze", run) == refused("quorum", run) == ""
    stops = [line for line in run.bench.mutations() if line.startswith("systemctl") and "-commit" in line]
    assert stops == [f"systemctl stop {unit}" for unit in COMMITS]
    assert run.bench.run("pve2", "pvecm expected 1").exit_status == 0
    run.bench.advance(60.0)
    assert node.network_reloads == 0 and node.commits.pending == ["lan"]
    ended = run.bench.run("pve2", f"systemctl is-active {' '.join(COMMITS)}").stdout
    assert ended == "failed\nfailed\n", "so systemd calls a oneshot that was stopped before its end"
    run.perform(COMMITS_OFF)
    assert [line for line in run.bench.mutations() if line.startswith("systemctl") and "-commit" in line] == stops, (
        "nothing is left to be stopped"
    )


@pytest.mark.parametrize("command", ["pvecm expected 1", "systemctl stop pve-cluster corosync; pmxcfs -l"])
def test_without_that_forced_quorum_and_local_mode_reload_the_network(make_run: MakeRun, command: str) -> None:
    """What the labs have to know, or nothing above would be worth anything (recorded on PVE 9.1)."""
    bench = make_run("sdn-pending").bench
    node = bench.node("pve2")
    assert "vmbr7" not in [i.name for i in node.interfaces]
    assert bench.run("pve2", command).exit_status == 0
    bench.advance(10.0)
    assert node.network_reloads == 1 and node.commits.pending == []
    assert "vmbr7" in [i.name for i in node.interfaces]
    assert bench.run("pve2", "systemctl is-active pve-sdn-commit").stdout == "active\n"


def test_the_operator_is_told_what_they_would_do_and_what_stays_pending(make_run: MakeRun) -> None:
    run = make_run("sdn-pending")
    asked = questions.commits(run.cluster.nodes)
    assert "pve-sdn-commit waits for quorum on pve2, and is stopped" in asked
    assert "reload the network there (`ifreload -a`) under running guests" in asked
    assert "pve-firewall-commit waits for quorum on pve2" in asked
    assert left_to_do.not_applied(run.journal.events) == []
    run.perform(LOCKED)
    run.perform(COMMITS_OFF)
    sdn, firewall = left_to_do.not_applied(run.journal.events)
    assert sdn[0] == firewall[0] == "pve2"
    assert "pending SDN changes, and what is edited in /etc/network/interfaces, are not applied" in sdn[1]
    run.cluster.forget()
    assert questions.commits(run.cluster.nodes) == ""


def test_after_a_rollback_what_was_stopped_is_still_named(make_run: MakeRun) -> None:
    run = make_run("sdn-pending")
    run.perform(LOCKED)
    run.perform(COMMITS_OFF)
    own = SimpleNamespace(id="back", journal=SimpleNamespace(events=[]))
    opened = SimpleNamespace(run=own, unfinished=SimpleNamespace(events=run.journal.events))
    phase("phase8_rollback").test_what_is_left_is_written_down(run.cluster, opened, run.notes)
    named = [text for text in run.notes.left if "was stopped before it acted" in text]
    assert [text.partition(" was")[0] for text in named] == ["pve2: pve-sdn-commit", "pve2: pve-firewall-commit"]


def test_a_start_of_which_nobody_knows_what_it_does_is_refused_by_its_name(make_run: MakeRun) -> None:
    """Before anything is changed, and again before forced quorum and each window."""
    run = make_run("start-waits")
    assert refused("conditions", run, "pve1") == refused("quorum", run, "pve1") == ""
    leaver = run.cluster.node("pve2")
    run.survival.take(frozenset())
    run.freeze("pve1")
    for said in (
        refused("conditions", run),
        refused("quorum", run),
        window_obstacle(leaver, run.cluster.nodes, run.members.authority, run.survival.network_of(leaver)),
    ):
        assert said.startswith("pve2: the start of site-sync.service is waiting or running.")
        assert "`systemctl stop site-sync.service`" in said
    assert run.bench.run("pve2", "systemctl stop site-sync").exit_status == 0
    assert refused("conditions", run) == refused("quorum", run) == ""


@pytest.mark.parametrize(
    ("unit", "known"),
    [
        *((unit, True) for unit in (*COMMITS, "pve-guests.service", "pvescheduler.service", "pve-ha-lrm.service")),
        # What waits on a node that booted without quorum (recorded on PVE 9.1), and what a login begins.
        *((unit, True) for unit in ("pveproxy.service", "spiceproxy.service", "multi-user.target", "graphical.target")),
        *((unit, True) for unit in ("session-3.scope", "user@0.service", "user-runtime-dir@0.service", "user-0.slice")),
        *((unit, True) for unit in ("dev-sdz.device", "pve-runbook-20260101T000000Z-beef-3.service", "fstrim.service")),
        *((unit, False) for unit in ("site-sync.service", "pve-daily-update.service", "apt-daily-upgrade.service")),
        *((unit, False) for unit in ("mnt-pve-nas.mount", "drbd.service", "x-pveproxy.service", "pveproxy.service.d")),
    ],
)
def test_what_is_known_of_a_unit_that_waits(unit: str, known: bool) -> None:
    assert is_known(unit) is known


def test_of_guests_that_ha_manages_nobody_promises_that_startall_starts_them(make_run: MakeRun) -> None:
    run = make_run("startall-waiting")
    waiting = [g.vmid for g in run.cluster.node("pve2").facts.starts().startall]
    assert len(waiting) > 1
    node = run.bench.node("pve2")
    managed = f"vm: {waiting[0]}\n\tstate started\n\n".encode()
    node.pmxcfs.database.write("ha/resources.cfg", managed, writer=2, mtime=int(node.wall))
    run.cluster.forget()
    starts = run.cluster.node("pve2").facts.starts()
    assert [[g.vmid for g in some] for some in (starts.startall, starts.under_ha)] == [waiting[1:], [waiting[0]]]
    assert run.bench.run("pve2", "systemctl disable --now pve-ha-crm pve-ha-lrm; pvecm expected 1").exit_status == 0
    run.bench.advance(10.0)
    assert sorted(node.guests.running) == sorted(waiting[1:])


def test_a_start_that_came_to_wait_while_a_question_stood_is_seen_after_it(make_run: MakeRun) -> None:
    run = make_run("start-waits")
    for name in run.bench.cluster.nodes:
        run.bench.run(name, FROZEN)
    run.cluster.forget()
    look = SecondLook(run.members, run.survival, lambda: "")
    asked = Question(questions.FORCE, "", None, "x", "")
    assert "the start of site-sync.service is waiting or running" in look(asked)
    run.bench.run("pve2", "systemctl stop site-sync.service pve-sdn-commit.service pve-firewall-commit.service")
    run.bench.run("pve2", "systemctl kill --signal=SIGSTOP pve-guests.service")
    run.cluster.forget()
    assert look(asked) == ""


def test_after_ha_reset_all_nodes_every_guest_is_in_one_list_by_name(make_run: MakeRun) -> None:
    """Once HA is parked, startall does not pass over its guests any more: those that are marked come up too."""
    run = make_run("ha-reset")
    facts = run.cluster.node("pve2").facts
    now, then = facts.starts(), facts.starts(ha_goes=True)
    assert (by_name(now.running), by_name(now.missed), by_name(then.under_ha)) == ("", "", "")
    assert by_name(now.under_ha) == "201 (mail201)" and "201 (mail201)" in by_name(then.startall)
    assert by_name(now.at_rest) == by_name(then.at_rest) == "203 (build203)"
    named = [*now.startall, *now.under_ha, *now.at_rest]
    assert sorted(g.vmid for g in named) == sorted(v for v, g in facts.guests.items() if not g.template)
    asked = words.unstarted(run.cluster.nodes)
    assert "Down since the boot and not marked to start with it: NOBODY starts them: pve1: 103" in asked
    assert "pve2: 203 (build203)" in asked and asked.endswith("NO GUEST RUNS on these nodes.\n")
    assert "pve2: 201 (mail201), 202 (ci202)" in words.waiting(run.cluster.nodes)
    assert "type what you want of: qm start 203" in words.nobody_starts(facts)


def test_a_guest_that_only_ha_would_start_is_named_with_its_line(make_run: MakeRun) -> None:
    run = make_run("ha-reset")
    model = run.bench.node("pve2")
    config = next(g for g in model.guests.own() if g.vmid == 201)
    text = config.text.replace("onboot: 1\n", "").encode()
    model.pmxcfs.database.write(config.path, text, writer=2, mtime=int(model.wall))
    run.cluster.forget()
    node = run.cluster.node("pve2")
    assert "with HA off NOBODY starts them: pve2: 201 (mail201)\n" in words.unstarted([node])
    assert "guests 201 (mail201): HA, which would start them, is off" in words.nobody_starts(node.facts)
    assert "qm start 201; qm start 203" in words.nobody_starts(node.facts)


def test_where_nothing_waits_nothing_is_said_of_guests(make_run: MakeRun) -> None:
    run = make_run("broken")
    assert words.unstarted(run.cluster.nodes) == words.waiting(run.cluster.nodes) == ""
    assert all(words.nobody_starts(n.facts) == "" for n in run.cluster.nodes)
