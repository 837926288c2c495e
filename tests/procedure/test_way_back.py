"""The way back, node by node: what changed since its gates had looked stops it before a database is put back."""

from __future__ import annotations

import socket
from inspect import signature
from pathlib import Path
from types import SimpleNamespace

import pytest
from bench_run import RUN, BenchRun, MakeRun, fixture, phase
from pve_lab.faults import Fault
from pve_runbook.facts.node_state import NodeState
from pve_runbook.journal import events
from pve_runbook.plan.model import Question
from pve_runbook.procedure.backup import Copies
from pve_runbook.procedure.questions import Questions
from pve_runbook.procedure.rollback import Rollback
from pve_runbook.procedure.stages import BACKUP_FOLDER, BACKUPS, CRM_OFF, LRM_OFF, SCHEDULER_OFF
from pve_runbook.ssh.connection import ConnectOptions

AGAIN = "20260102T000000Z-cafe"
PHASE = "test_phase8_rollback"
BEGUN = events.Run(
    run=RUN,
    work=RUN,
    mode="runbook",
    folder="run0",
    cluster="labcluster",
    hosts=("pve1", "pve2"),
    operator="me",
    ticket=None,
    code="git",
    command="pytest",
    version="0.1.0",
)


@pytest.fixture
def back(make_run: MakeRun) -> BenchRun:
    """Two nodes left their cluster; the run that has them back has looked at them, and begins."""
    first = make_run("quorate", 2)
    first.journal.write(BEGUN)
    first.survival.take(frozenset())
    copies = Copies(RUN, first.folder / "backups")
    for stage in (BACKUP_FOLDER, SCHEDULER_OFF, LRM_OFF, CRM_OFF):
        first.perform(stage)
    for node in first.cluster.nodes:
        copies.note(node)
    first.perform(BACKUPS)
    for node in first.cluster.nodes:
        copies.bring(node)
    first.freeze("pve2")
    for node in first.members.leaving:
        first.leave(node)
    first.close()
    run = make_run(first.bench, attempt=AGAIN)
    run.back = Rollback(first.folder)
    run.survival.first = None
    run.survival.take(frozenset())
    run.perform(BACKUP_FOLDER)
    for node in run.cluster.nodes:
        assert run.back.changed_by_others(node) == []
    return run


def restore(run: BenchRun) -> list[str]:
    """Put every node back, as phase 8 does: their names."""
    names: list[str] = fixture("restored", PHASE)(
        run.perform, run.cluster, run.members, run.back, run.survival, run.notes, None, None
    )
    return names


def meet(run: BenchRun) -> None:
    """Have corosync run again, as phase 8 does."""
    fixture("corosync_back", PHASE)(run.perform, run.cluster, run.back, None)


def states(run: BenchRun) -> set[NodeState]:
    run.cluster.forget()
    return {node.facts.state for node in run.cluster.nodes}


A_FILE_COMES, LAST = ("install", "-m", "0600"), 3
"""Each of two files is received, then put in its place; the last time is just before a database is put back."""
CONFIG = "/etc/pve/nodes/pve1/qemu-server/101.conf"
NEW_GUEST = "qm create 299 --memory 16 --name new --kvm 0; qm start 299"


def test_two_nodes_go_back_and_meet(back: BenchRun) -> None:
    assert states(back) == {NodeState.STANDALONE}
    assert restore(back) == ["pve1", "pve2"]
    assert states(back) == {NodeState.COROSYNC_DOWN}
    meet(back)
    assert states(back) == {NodeState.CLUSTERED_QUORATE}
    assert back.survival.losses(8) == "" and back.survival.interrupted == []


@pytest.mark.parametrize(
    ("where", "command", "words"),
    [
        ("pve2", "systemctl enable --now pve-ha-crm", r"^pve2: pve-ha-crm\.service is active and enabled again\."),
        ("pve1", f"printf 'description: x\\n' >> {CONFIG}", r"^pve1: .*nodes/pve1/qemu-server/101\.conf"),
        ("pve1", NEW_GUEST, r"^pve1: .*guest 299 runs"),
    ],
    ids=["HA", "a config", "a guest"],
)
def test_what_changed_while_the_files_came_stops_it(back: BenchRun, where: str, command: str, words: str) -> None:
    """The gates had passed; to bring the files took its time."""
    back.bench.site.faults.arm(
        Fault("run", "after", argv=A_FILE_COMES, skip=LAST, node="pve1", command=command, on=where)
    )
    with pytest.raises(AssertionError, match=words):
        restore(back)
    assert states(back) == {NodeState.STANDALONE}
    assert back.bench.run("pve1", f"ls /var/lib/pve-runbook/{AGAIN}/restore.sh").exit_status != 0


def test_a_guest_that_ends_while_its_node_goes_back_stops_the_run_after_it(back: BenchRun) -> None:
    kill = Fault(
        "run", argv=("systemctl", "start", "pve-cluster.service"), command="kill -9 $(cat /run/qemu-server/101.pid)"
    )
    back.bench.site.faults.arm(kill)
    with pytest.raises(AssertionError, match="101"):
        restore(back)
    assert back.survival.interrupted == [101]
    assert back.cluster.node("pve2").facts.state is NodeState.STANDALONE


def test_nodes_of_which_one_would_lose_a_guest_do_not_meet(back: BenchRun) -> None:
    """It was right when the gate looked, before the files were put back."""
    restore(back)
    newest = "DELETE FROM tree WHERE name='101.conf'; UPDATE tree SET version=version+9 WHERE inode=0"
    assert back.bench.run("pve2", f'sqlite3 /var/lib/pve-cluster/config.db "{newest}"').exit_status == 0
    back.cluster.forget()
    with pytest.raises(AssertionError, match=r"pve2's database is the newest, without the config of 101 of pve1"):
        meet(back)
    assert states(back) == {NodeState.COROSYNC_DOWN}


# --- the second way in, where it cannot be proven


@pytest.mark.parametrize("number", [4, 8])
def test_a_key_that_does_not_open_the_node_leaves_the_console_to_be_confirmed(
    make_run: MakeRun, tmp_path: Path, number: int
) -> None:
    """On a bench nothing listens: the login with the new key fails, as it does on a node that takes no second file."""
    run = make_run("broken", 2)
    run.freeze("pve2")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = tmp_path / "ssh_config"
        nowhere.write_text(f"Host *\n  HostName 127.0.0.1\n  Port {closed.getsockname()[1]}\n")
        run.members.connect = ConnectOptions(ssh_config=str(nowhere))
        opened = SimpleNamespace(folder=run.folder)
        ways = fixture("second_way")(run.perform, opened, run.members, run.notes)
    assert all("efused" in why for why in ways.values()) and set(ways) == {"pve1", "pve2"}
    asked: list[Question] = []
    questions = Questions(run.members, run.survival, ())
    step = phase("phase4_corosync" if number == 4 else "phase8_rollback").test_there_is_a_second_way_in
    node = run.cluster.node("pve1")
    given = {"host": SimpleNamespace(pve=node.facts), "node": node, "questions": questions, "approve": asked.append}
    for why in (ways, {"pve1": ""}):
        step(
            **{
                name: value
                for name, value in {**given, "second_way": why}.items()
                if name in signature(step).parameters
            }
        )
    [question] = asked
    assert (question.phase, question.word) == (number, "pve1")
    assert ways["pve1"] in question.text
