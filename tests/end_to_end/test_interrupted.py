"""A run that is killed or interrupted: the same command line goes on from where it was."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import warm
from bounded import up_to

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., warm.Run]]:
    """Start the runbook and leave it running."""
    running: list[warm.Run] = []

    def start(lab: Any) -> warm.Run:
        command = ("runbook/", *lab.options, "--approve=all", "-p", "no:cacheprovider", f"--records={tmp_path}/records")
        process = warm.begin(*command, cwd=PROJECT, flags=warm.STRICT)
        running.append(process)
        process.go()
        return process

    yield start
    for process in running:
        process.kill()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def until(process: warm.Run, words: str) -> None:
    """Read the run's output up to a line with ``words``."""
    assert process.stdout is not None
    up_to(process.stdout, words)


def journal(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of the newest journal in ``folder``."""
    newest = max(folder.glob("*/journal.jsonl"))
    return [json.loads(line) for line in newest.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(n, marks=pytest.mark.sweep) for n in (signal.SIGTERM, signal.SIGHUP))]
)
def test_a_signal_stops_between_two_commands_and_the_record_says_where(
    start_lab: Callable[..., Any], started: Callable[..., Any], run: Callable[..., Any], tmp_path: Path, number: int
) -> None:
    lab = start_lab(nodes=2)
    process = started(lab)
    until(process, "PHASE 4")
    os.kill(process.pid, number)
    assert process.wait(300) == 2
    events = journal(tmp_path / "records")
    intents = [e for e in events if e["kind"] == "action-intent"]
    outcomes = [e for e in events if e["kind"] == "action"]
    assert len(intents) == len(outcomes)
    assert events[-1]["kind"] == "end"
    assert events[-1]["signal"] == signal.Signals(number).name
    assert list((tmp_path / "records").glob("*/report.html"))
    again = run("runbook/", *lab.options, "--approve=all")
    assert again.status == 0, again.text
    assert lab.changed_guests() == {}


def test_a_signal_within_a_stage_keeps_its_next_command_from_being_sent(
    start_lab: Callable[..., Any], started: Callable[..., Any], run: Callable[..., Any], tmp_path: Path
) -> None:
    """The script of the window lies on the node when the signal comes: the window is not begun."""
    lab = start_lab(nodes=2)
    process = started(lab)
    lab.control.fault("terminate", pid=process.pid, argv=("install", "-m", "0700"), when="before")
    assert process.wait(300) == 2
    [fired] = lab.control.faults_fired()
    assert fired.argv[-1].endswith("/window.sh")
    assert [e["action"] for e in journal(tmp_path / "records") if e["kind"] == "action-intent"][
        -1
    ] == "put-window-script"
    assert all(not node.standalone for node in lab.control.state().values())
    again = run("runbook/", *lab.options, "--approve=all")
    assert again.status == 0, again.text
    assert lab.changed_guests() == {}


def test_a_run_that_was_killed_is_taken_up_with_its_baseline_and_backups(
    start_lab: Callable[..., Any], started: Callable[..., Any], run: Callable[..., Any], tmp_path: Path
) -> None:
    lab = start_lab(nodes=2)
    process = started(lab)
    until(process, "PHASE 4")
    process.kill()
    process.wait(30)
    first = journal(tmp_path / "records")
    again = run("runbook/", *lab.options, "--approve=all")
    assert again.status == 0, again.text
    second = again.journal()
    assert any(e["kind"] == "continues" for e in second)
    for kind, key in (("baseline", "guests"), ("baseline", "boots")):
        assert [e[key] for e in second if e["kind"] == kind] == [e[key] for e in first if e["kind"] == kind]
    hashes = [{e["node"] + e["file"]: e["sha256"] for e in x if e["kind"] == "transfer"} for x in (first, second)]
    assert hashes[0] == hashes[1]
    assert lab.changed_guests() == {}


@pytest.mark.parametrize(
    "moment",
    [
        ("pmxcfs", "-l"),  # local mode, which is no state to judge a node in
        # no /etc/pve, and none of root's keys with it
        pytest.param(("systemctl", "mask", "--runtime", "pve-cluster.service"), marks=pytest.mark.sweep),
    ],
)
def test_the_same_command_line_typed_while_its_window_still_runs_waits_for_it_and_goes_on(
    start_lab: Callable[..., Any], started: Callable[..., Any], tmp_path: Path, moment: tuple[str, ...]
) -> None:
    lab = start_lab("pve9", nodes=2)
    process = started(lab)
    lab.control.fault("kill", argv=moment, when="after", pid=process.pid)
    stands_still = "while [ ! -e /tmp/goes-on ]; do sleep 0.001; done"
    lab.control.fault("run", argv=moment, when="after", command=stands_still)
    process.wait(300)
    again = started(lab)
    assert again.stdout is not None
    shown = up_to(again.stdout, "that was cut short goes on here")
    assert "PHASE" not in shown, "before anything is judged"
    [struck] = {fired.node for fired in lab.control.faults_fired()}
    lab.control.run(struck, "touch /tmp/goes-on")
    until(again, "= change record =")
    assert again.wait(300) == 0
    began = [e for e in journal(tmp_path / "records") if e["kind"] == "action-intent" and e["action"] == "window"]
    assert struck not in [e["node"] for e in began], "no second window there"
    assert lab.changed_guests() == {} and all(n.standalone for n in lab.control.state().values())


@pytest.mark.sweep
def test_the_window_of_the_run_that_is_taken_up_is_waited_for_before_anything_else_is_judged(
    start_lab: Callable[..., Any], started: Callable[..., Any], run: Callable[..., Any]
) -> None:
    """A qm list that falls into that window is unanswered, and would be the run's end."""
    lab = start_lab(nodes=2)
    process = started(lab)
    lab.control.fault("kill", argv=("systemctl", "disable", "corosync.service"), when="after", pid=process.pid)
    process.wait(300)
    endless = "/bin/bash -c 'while true; do sleep 1; done'"
    lab.control.run("pve2", f"systemd-run --no-block --collect --unit=pve-runbook-earlier-window {endless}")
    again = run("runbook/", *lab.options, "--approve=all")
    assert again.status == 1, again.text
    [(title, said)] = again.failed()
    assert title.startswith("No command of another run is under way")
    assert "pve2: still under way: pve-runbook-earlier-window.service" in said


@pytest.mark.sweep
def test_a_scheduler_that_a_reset_brought_back_is_stopped_again(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    """A node that left and was reset before the thaw: its overdue backups wait for the operator's word all the same."""
    lab = start_lab(nodes=2)
    lab.control.fault("power_cycle", argv=("systemctl", "disable", "corosync.service"), node="pve1")
    run("runbook/", *lab.options, "--approve=all")
    truth = lab.control.state()["pve1"]
    assert truth.standalone and truth.units["pvescheduler.service"] == ("active", "enabled")
    lab.control.fault("fail", argv=("qm", "start"))
    assert run("runbook/", *lab.options, "--approve=all").status == 1
    assert lab.control.state()["pve1"].units["pvescheduler.service"] == ("inactive", "masked-runtime")


@pytest.mark.sweep
def test_a_run_that_ends_before_the_thaw_is_not_over(
    start_lab: Callable[..., Any], started: Callable[..., Any], run: Callable[..., Any]
) -> None:
    """The schedulers come back by the run that takes it up; a backup that starts at once only locks its guest."""
    lab = start_lab(nodes=2)
    process = started(lab)
    thaw = ("systemctl", "unmask", "--runtime", "pvescheduler.service")
    lab.control.fault("kill", argv=thaw, pid=process.pid)
    process.wait(300)
    guest = "/etc/pve/qemu-server/101.conf"
    begin_backup = f"echo 'lock: backup' > /tmp/new; cat {guest} >> /tmp/new; cat /tmp/new > {guest}"
    thawed = ("systemctl", "start", "pvescheduler.service")
    lab.control.fault("run", when="after", argv=thawed, node="pve1", command=begin_backup)
    again = run("runbook/", *lab.options, "--approve=all")
    assert again.status == 0, again.text
    assert "lock: backup" in lab.control.run("pve1", f"cat {guest}").stdout
    assert len(lab.control.faults_fired()) == 2
    for truth in lab.control.state().values():
        assert truth.units["pvescheduler.service"] == ("active", "enabled")


@pytest.mark.sweep
def test_a_second_run_beside_a_live_one_is_refused(
    start_lab: Callable[..., Any], started: Callable[..., Any], run: Callable[..., Any]
) -> None:
    lab = start_lab(nodes=2)
    process = started(lab)
    until(process, "PHASE 1")
    process.send_signal(signal.SIGSTOP)
    beside = run("runbook/", *lab.options, "--approve=all")
    process.send_signal(signal.SIGCONT)
    assert beside.status == 1
    said = beside.failed()[0][1]
    assert "a run of yours is under way" in said and "stop it with Ctrl-C in its own terminal" in said
    process.send_signal(signal.SIGINT)
    assert process.wait(300) == 2
    again = run("runbook/", *lab.options, "--approve=all")
    assert again.status == 0, again.text
    assert lab.changed_guests() == {}


@pytest.mark.sweep
def test_another_operators_lock_is_explained_and_broken_only_by_name(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    lab = start_lab(nodes=2)
    text = "run=20260101T000000Z-abcd;by=alice@ops1;since=2026-01-01T00:00:00Z;record=x"
    take = f"mkdir -p /var/lib/pve-runbook && ln -s '{text}' /var/lib/pve-runbook/lock"
    assert lab.control.run("pve2", take).exit_status == 0
    refused = run("runbook/", *lab.options, "--approve=all")
    assert refused.status == 1
    message = refused.failed()[0][1]
    assert "pve2: held by alice@ops1 since 2026-01-01T00:00:00Z" in message
    assert "--break-lock=20260101T000000Z-abcd" in message
    assert lab.mutating() == []
    broken = run("runbook/", *lab.options, "--approve=all", "--break-lock=20260101T000000Z-abcd")
    assert broken.status == 0, broken.text
    assert any(e["kind"] == "note" and "broken by --break-lock" in e["text"] for e in broken.journal())
