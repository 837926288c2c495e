"""The proof that every guest runs on, held against nodes that another hand changed: one thing at a time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from bench_run import BenchRun, MakeRun
from pve_runbook.facts.live_network import live_network
from pve_runbook.journal import events
from pve_runbook.parsers.iproute import Device
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.procedure import stages

CONFIG = "/etc/pve/nodes/pve1/qemu-server/101.conf"


@pytest.fixture
def run(make_run: MakeRun) -> BenchRun:
    """A quorate cluster, so that configs can be changed, whose baseline is taken."""
    run = make_run("quorate")
    run.survival.take(frozenset())
    run.cluster.forget()
    return run


def pid_of(run: BenchRun, vmid: int) -> int:
    """The process of a guest, as at the baseline."""
    pid = run.survival.baseline.guests[vmid].pid
    assert pid is not None
    return pid


def another_start(run: BenchRun, node: str, pid: int) -> None:
    """The pid was taken by a process that began later."""
    model = run.bench.node(node)
    old = model.processes.table[pid]
    new = model.processes.table[pid] = replace(old, start=old.start + 1)
    model.files.put(f"/proc/{pid}/stat", new.stat.encode())


def by_hand(run: BenchRun, node: str, command: str) -> None:
    """Another hand types something."""
    said = run.bench.run(node, command)
    assert said.exit_status == 0, said


def test_nothing_is_lost_where_nothing_was_changed(run: BenchRun) -> None:
    assert run.survival.losses(0) == ""


def test_a_pid_that_another_process_has_now(run: BenchRun) -> None:
    pid = pid_of(run, 101)
    another_start(run, "pve1", pid)
    lost = run.survival.losses(0)
    assert f"guest 101 (web101) on pve1: its process ended, and another one that began later has its pid {pid}" in lost
    assert "--accept-changed=101" in lost


def test_a_guest_that_was_killed(run: BenchRun) -> None:
    by_hand(run, "pve3", "kill -9 $(cat /run/qemu-server/301.pid)")
    assert f"its process was pid {pid_of(run, 301)} and is gone" in run.survival.losses(0)


def test_a_boot_alone(run: BenchRun) -> None:
    """The node says the same of every guest, and that it was booted."""
    run.bench.node("pve2").files.put("/proc/sys/kernel/random/boot_id", b"11111111-2222-3333-4444-555555555555\n")
    lost = run.survival.losses(0)
    assert "cluster: pve2 was rebooted.\n" in lost


def test_a_config_that_was_changed(run: BenchRun) -> None:
    by_hand(run, "pve1", f"printf 'description: x\\n' >> {CONFIG}")
    assert "on pve1: its config changed" in run.survival.losses(0)


def test_a_backup_that_begins_after_the_thaw_changes_no_config(run: BenchRun) -> None:
    by_hand(run, "pve1", f"printf 'lock: backup\\n' > /tmp/new; cat {CONFIG} >> /tmp/new; cat /tmp/new > {CONFIG}")
    assert run.survival.losses(7, backups_may_run=True) == ""
    assert "its config changed" in run.survival.losses(7)


@pytest.mark.parametrize("head", ["lock: snapshot\\n", "lock: backup\\ndescription: x\\n", "description: x\\n"])
def test_anything_else_after_the_thaw_is_a_change_of_the_config(run: BenchRun, head: str) -> None:
    by_hand(run, "pve1", f"printf '{head}' > /tmp/new; cat {CONFIG} >> /tmp/new; cat /tmp/new > {CONFIG}")
    assert "on pve1: its config changed" in run.survival.losses(7, backups_may_run=True)


def test_a_guest_that_is_new_after_the_thaw_and_in_a_backup_is_no_loss(run: BenchRun) -> None:
    by_hand(run, "pve1", "qm create 299 --memory 16 --name new --kvm 0")
    by_hand(run, "pve1", "printf 'lock: backup\\n' >> /etc/pve/nodes/pve1/qemu-server/299.conf")
    assert run.survival.losses(7, backups_may_run=True) == ""


@pytest.mark.parametrize(("leaves", "lost"), [("pve3", ""), ("pve1", "on pve1: its config changed")])
def test_a_backup_that_ends_on_a_node_that_stays_changes_no_config(make_run: MakeRun, leaves: str, lost: str) -> None:
    """It was under way when the guests were written down: where a node leaves nothing is, and no lock may change."""
    run = make_run("quorate")
    by_hand(run, "pve1", f"cat {CONFIG} > /tmp/was; echo 'lock: backup' > /tmp/now; cat /tmp/was >> /tmp/now")
    by_hand(run, "pve1", f"cat /tmp/now > {CONFIG}")
    run.cluster.forget()
    run.members.leave = (leaves,)
    run.survival.take(frozenset())
    run.cluster.forget()
    assert run.survival.losses(4) == ""
    by_hand(run, "pve1", f"cat /tmp/was > {CONFIG}")
    run.cluster.forget()
    found = run.survival.losses(4)
    assert lost in found if lost else found == ""


def test_before_a_baseline_there_is_none(make_run: MakeRun) -> None:
    run = make_run("broken", 2)
    assert (run.survival.is_taken, run.survival.running) == (False, 0)
    run.survival.take(frozenset())
    running = sum(len(node.facts.running) for node in run.cluster.nodes)
    assert (run.survival.is_taken, run.survival.running) == (True, running) and running > 1


def test_a_guest_that_moved(run: BenchRun) -> None:
    by_hand(run, "pve1", f"mv {CONFIG} /etc/pve/nodes/pve2/qemu-server/101.conf")
    assert "it moved from pve1 to pve2" in run.survival.losses(0)


def test_a_volume_that_is_gone(run: BenchRun) -> None:
    by_hand(run, "pve3", "rm -f /var/lib/vz/images/303/*")
    assert "volumes are found" in run.survival.losses(0)


def test_what_a_node_does_not_say_is_unknown_and_not_lost(run: BenchRun) -> None:
    run.bench.node("pve2").files.discard("/proc/sys/kernel/random/boot_id")
    with pytest.raises(UnknownFact):
        run.survival.losses(0)


def test_a_loss_stands_in_the_journal(run: BenchRun) -> None:
    another_start(run, "pve1", pid_of(run, 101))
    assert run.survival.losses(0)
    lines = [json.loads(line) for line in (run.folder / "journal.jsonl").read_text().splitlines()]
    [row] = next(e for e in lines if e["kind"] == "continuity")["rows"]
    assert (row["vmid"], row["same"], row["pid_after"] == row["pid_before"]) == (101, False, True)


def test_a_look_within_a_window_sees_a_process_that_is_gone_or_another(run: BenchRun) -> None:
    run.survival.sample()
    assert run.survival.interrupted == []
    another_start(run, "pve1", pid_of(run, 101))
    run.survival.sample()
    assert run.survival.interrupted == [101]
    by_hand(run, "pve3", "kill -9 $(cat /run/qemu-server/301.pid)")
    run.survival.sample()
    assert run.survival.interrupted == [101, 301]


def test_the_line_counts_what_is_as_it_was(run: BenchRun) -> None:
    assert "not compared yet" in run.survival.line
    total = len(run.survival.baseline.guests)
    assert run.survival.losses(0) == ""
    assert f"configs {total}/{total} same" in run.survival.line
    by_hand(run, "pve1", f"printf 'description: x\\n' >> {CONFIG}")
    run.cluster.forget()
    assert run.survival.losses(0)
    assert f"configs {total - 1}/{total} same" in run.survival.line


def test_the_line_says_that_a_change_came_after_it(run: BenchRun) -> None:
    run.survival.losses(0)
    assert "before the last change" not in run.survival.line
    run.perform(stages.LRM_OFF)
    assert run.survival.line.endswith(" (compared before the last change)")
    run.survival.losses(0)
    assert "before the last change" not in run.survival.line


@pytest.mark.parametrize(("label", "told"), [("", "at the end of phase 2"), ("after an answer", "after an answer")])
def test_a_comparison_says_when_it_was(run: BenchRun, label: str, told: str) -> None:
    run.survival.losses(2, label=label)
    lines = [json.loads(line) for line in (run.folder / "journal.jsonl").read_text().splitlines()]
    assert [e["label"] for e in lines if e["kind"] == "continuity"] == [told]


def test_the_port_of_a_guest_counts_while_its_process_is_the_first_one(run: BenchRun) -> None:
    node = run.cluster.node("pve1")
    port = Device("tap101i9", True, 1500, "vmbr0", ())
    run.survival.live["pve1"] = live_network([*node.facts.get(probes.ADDRESSES), port])
    assert "tap101i9 is gone" in run.survival.network_lost(node)
    by_hand(run, "pve1", "qm stop 101; qm start 101")
    run.cluster.forget()
    assert run.survival.network_lost(node) == ""


def test_a_change_that_is_accepted_is_told_as_what_it_is(run: BenchRun) -> None:
    run.survival.take(frozenset({101, 999}))
    told = {
        e.event.text for e in run.journal.events if isinstance(e.event, events.Note) and e.event.topic == "accepted"
    }
    assert told == {
        "guest 101 is accepted as it is now, by --accept-changed",
        "guest 999 is accepted as gone, by --accept-changed",
    }
