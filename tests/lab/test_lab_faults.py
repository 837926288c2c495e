"""Faults of the lab: each strikes once, where it was told to, and does what it says."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from bounded import finish
from lab_process import Lab, connect, typist
from pve_lab.control import LabError
from pve_runbook.ssh.batch import batch_command
from pve_runbook.ssh.detached import Sent

THREE = "systemctl stop pvescheduler; systemctl stop pve-ha-lrm; systemctl stop pve-ha-crm"
BATCH = batch_command([("a", 5, ["hostname"])])
DETACHED = Sent("a1", "r1", ["systemctl", "stop", "pvescheduler"], 30).request()


def _active(lab: Lab, node: str, unit: str) -> bool:
    return lab.control.state()[node].units[f"{unit}.service"][0] == "active"


def _sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


async def _dropped(lab: Lab, line: str) -> None:
    """Type a line on pve1 whose connection is dropped meanwhile."""
    connection = await connect(lab, "pve1")
    done = asyncio.create_task(connection.run(line))
    await asyncio.wait_for(connection.wait_closed(), 30)
    done.cancel()
    await asyncio.gather(done, return_exceptions=True)


async def _say(lab: Lab, line: str, node: str = "pve1") -> tuple[int | None, str]:
    connection = await connect(lab, node)
    said = await asyncio.wait_for(connection.run(line), 30)
    connection.close()
    await connection.wait_closed()
    return said.exit_status, str(said.stdout) + str(said.stderr)


def test_what_is_counted(lab: Lab) -> None:
    """Mutating commands of all nodes, over SSH and in units; not reads, scratch files or another hand's."""

    async def body() -> None:
        assert await _say(lab, "systemctl is-active pvescheduler; install -d /var/lib/pve-runbook/x") == (
            0,
            "active\n",
        )
        assert lab.control.mutating_count() == 0
        await _say(lab, THREE)
        await _say(lab, "pvecm expected 1; rm -f /etc/nothing", "pve2")
        assert lab.control.mutating_count() == 5
        status, said = await _say(lab, DETACHED)
        assert (status, said.splitlines()[-1]) == (0, "status 0")
        assert lab.control.mutating_count() == 7
        await _say(lab, BATCH)
        await _say(lab, BATCH, "pve3")

    finish(body())
    assert lab.control.read_count() == 2
    assert lab.control.run("pve1", "systemctl start pvescheduler").exit_status == 0
    assert lab.control.mutating_count() == 7
    logged = [line for name in lab.hosts for line in lab.control.log(name) if line.mutating]
    assert [line.via for line in logged].count("other") == 1
    assert len(logged) == 8
    assert lab.control.faults_fired() == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_kill_ends_a_process_and_the_command_goes_on(when: str, lab: Lab) -> None:
    """The process is gone when the command has its effect, or right after it."""
    with _sleeper() as victim:
        lab.control.fault("kill", at=2, when=when, pid=victim.pid)
        finish(_say(lab, THREE))
        assert victim.wait(30) == -9
        fired = lab.control.faults_fired()
        assert [(f.what, f.node, f.argv, f.mutating) for f in fired] == [
            ("kill", "pve1", ("systemctl", "stop", "pve-ha-lrm"), 2)
        ]
        assert lab.control.mutating_count() == 3
        assert not _active(lab, "pve1", "pve-ha-crm")


def test_terminate_asks_a_process_to_end_and_the_command_goes_on(lab: Lab) -> None:
    """SIGTERM, nothing harder; a process that is gone already is no error."""
    with _sleeper() as victim:
        lab.control.fault("terminate", at=2, when="after", pid=victim.pid)
        lab.control.fault("terminate", at=3, pid=victim.pid)
        finish(_say(lab, THREE))
        assert victim.wait(30) == -15
        assert [(f.what, f.mutating) for f in lab.control.faults_fired()] == [("terminate", 2), ("terminate", 3)]
        assert not _active(lab, "pve1", "pve-ha-crm")


def test_kill_at_a_read_and_of_a_process_that_is_gone(lab: Lab) -> None:
    """The second batch of probes; a pid that nobody has is no error."""
    with _sleeper() as victim:
        lab.control.fault("kill", at_read=2, pid=victim.pid)
        finish(_say(lab, BATCH))
        assert victim.poll() is None
        finish(_say(lab, BATCH, "pve2"))
        assert victim.wait(30) == -9
        assert [(f.node, f.argv, f.reads) for f in lab.control.faults_fired()] == [("pve2", (), 2)]
        lab.control.fault("kill", at_read=1, pid=victim.pid)
        assert finish(_say(lab, BATCH))[0] == 0


@pytest.mark.parametrize("line", [THREE, DETACHED])
def test_cut_drops_the_line_and_the_command_goes_on(line: str, lab: Lab) -> None:
    """At the stop of the scheduler; what follows runs too, over SSH as in a unit."""
    lab.control.fault("cut", argv=["systemctl", "stop"])
    finish(_dropped(lab, line))
    assert len(lab.control.faults_fired()) == 1
    finish(_say(lab, "while systemctl is-active pvescheduler; do sleep .1; done"))
    assert not _active(lab, "pve1", "pvescheduler")


def test_freeze_carries_the_command_out_and_keeps_the_answer(lab: Lab) -> None:
    """What comes after waits; what the client gave up is not begun when the node thaws."""

    async def body(lab: Lab) -> None:
        lab.control.fault("freeze", argv=["systemctl", "stop", "pvescheduler"])
        async with typist(lab) as hands:
            first = asyncio.create_task(hands.run("pve1", "systemctl stop pvescheduler; hostname"))
            while not lab.control.faults_fired():
                await asyncio.to_thread(lab.control.now)
            second = await connect(lab, "pve1")
            waiting = asyncio.create_task(second.run("touch /etc/second"))
            third = asyncio.create_task(hands.run("pve1", "touch /etc/third"))
            assert (await hands.run("pve2", "hostname")).stdout == "pve2\n"
            assert not first.done()
            assert not _active(lab, "pve1", "pvescheduler")
            second.abort()
            await asyncio.gather(waiting, return_exceptions=True)
            async with await connect(lab, "pve1"):  # the node's sshd has seen the end of the one before
                assert lab.control.run("pve1", "ls /etc/second").exit_status == 2
            lab.control.thaw("pve1")
            assert (await first).stdout == "pve1\n"
            assert (await third).exit_status == 0
            assert (await hands.run("pve1", "ls /etc/second /etc/third")).stdout == "/etc/third\n"

    finish(body(lab))


def test_a_units_commands_go_on_on_a_frozen_node(lab: Lab) -> None:
    """The node itself lives."""

    async def body(lab: Lab) -> None:
        lab.control.fault("freeze", argv=["systemd-run"], when="after")
        connection = await connect(lab, "pve1")
        waiting = asyncio.create_task(connection.run(DETACHED))
        while _active(lab, "pve1", "pvescheduler"):
            await asyncio.to_thread(lab.control.now)
        assert not waiting.done()
        connection.abort()
        await asyncio.gather(waiting, return_exceptions=True)

    finish(body(lab))


def test_fail_answers_in_place_of_the_command(lab: Lab) -> None:
    """The second start that matches; it has no effect and stands in the log."""
    lab.control.fault("fail", argv=["systemctl", "stop"], skip=1, node="pve1", status=5, message="no way")
    assert finish(_say(lab, "systemctl stop pvescheduler", "pve2")) == (0, "")
    assert finish(_say(lab, "systemctl stop pvescheduler; systemctl stop pve-ha-lrm")) == (5, "no way\n")
    assert finish(_say(lab, "systemctl stop pve-ha-crm")) == (0, "")
    assert [_active(lab, "pve1", u) for u in ("pvescheduler", "pve-ha-lrm", "pve-ha-crm")] == [False, True, False]
    failed = [line for line in lab.control.log("pve1") if line.exit_status == 5]
    assert [(line.argv, line.mutating) for line in failed] == [(("systemctl", "stop", "pve-ha-lrm"), True)]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_power_cycle_inside_a_unit(when: str, lab: Lab) -> None:
    """The rest of the unit never runs; masks and /run are gone, what the disk had survives, logins work again."""
    script = (
        "systemctl mask --runtime corosync; echo 1 >/run/x; touch /etc/kept; systemctl disable pvescheduler;"
        "touch /etc/never"
    )
    lab.control.fault("power_cycle", argv=["systemctl", "disable"], when=when)
    before = lab.control.state()["pve1"].boot_id
    finish(_dropped(lab, f"systemd-run --unit=w --collect -p Type=oneshot /bin/bash -c '{script}'"))
    state = lab.control.state()["pve1"]
    assert state.boot_id != before
    assert state.units["corosync.service"] == ("active", "enabled")
    assert state.units["pvescheduler.service"][1] == ("disabled" if when == "after" else "enabled")
    assert "w.service" not in state.units
    assert not any(guest.running for guest in state.guests.values())
    status, said = finish(_say(lab, "ls /etc/kept /etc/never /run/x"))
    assert (status, said.splitlines()[0]) == (2, "/etc/kept")
    assert "/etc/never" not in said.splitlines()


def test_run_types_by_another_hand_in_the_middle(lab: Lab) -> None:
    """On another node, before the command has its effect."""
    lab.control.fault("run", at=2, command="echo '# edited' >> /etc/hosts; hostname", on="pve3")
    finish(_say(lab, THREE))
    assert lab.control.run("pve3", "tail -n 1 /etc/hosts").stdout == "# edited\n"
    typed = [line for line in lab.control.log("pve3") if line.argv == ("hostname",)]
    assert [(line.via, line.mutating) for line in typed] == [("other", False)]


def test_a_fault_strikes_once_and_can_be_disarmed(lab: Lab) -> None:
    """`at` counts from the moment it was armed."""
    finish(_say(lab, "systemctl stop pvescheduler"))
    lab.control.fault("fail", at=1)
    assert finish(_say(lab, "systemctl start pvescheduler"))[0] == 1
    assert finish(_say(lab, "systemctl start pvescheduler"))[0] == 0
    lab.control.fault("fail", at=1)
    lab.control.disarm()
    assert finish(_say(lab, "systemctl stop pvescheduler"))[0] == 0
    assert [f.mutating for f in lab.control.faults_fired()] == [2]


@pytest.mark.parametrize(
    "given",
    [
        {"what": "burn", "at": 1},
        {"what": "cut"},
        {"what": "cut", "at": 1, "at_read": 1},
        {"what": "cut", "at": 0},
        {"what": "fail", "at_read": 1},
        {"what": "fail", "at": 1, "when": "after"},
        {"what": "kill", "at": 1},
        {"what": "terminate", "at": 1},
        {"what": "run", "at": 1},
        {"what": "cut", "at": 1, "node": "pve9"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(given: dict[str, object], lab: Lab) -> None:
    """With a reason; nothing is armed."""
    what = str(given.pop("what"))
    with pytest.raises(LabError, match="ValueError: "):
        lab.control.fault(what, **given)  # type: ignore[arg-type]


def test_reset_gives_the_same_world_again(lab: Lab) -> None:
    """Same ports and keys; guests, pids, logs, counts and files as at the start; another scenario when told so."""

    async def body(lab: Lab) -> None:
        first = lab.control.state()
        hand = await connect(lab, "pve1")
        await hand.run("systemctl stop pve-cluster corosync; pmxcfs -l; rm /etc/pve/corosync.conf; touch /etc/new")
        endless = asyncio.create_task(hand.run("while true; do sleep 1; done"))
        lab.control.fault("cut", at=99)
        lab.control.reset()
        await asyncio.wait_for(hand.wait_closed(), 30)
        await asyncio.gather(endless, return_exceptions=True)
        assert lab.control.state() == first
        assert (lab.control.mutating_count(), lab.control.log("pve1")) == (0, [])
        assert (await _say(lab, "ls /etc/new"))[0] == 2
        assert [line.argv for line in lab.control.log("pve1")] == [("ls", "/etc/new")]
        lab.control.reset("quorate")
        assert lab.control.state()["pve1"].quorate
        lab.control.reset()
        assert lab.control.state()["pve1"].quorate
        with pytest.raises(LabError, match="there is no scenario"):
            lab.control.reset("nonsense")

    finish(body(lab))
