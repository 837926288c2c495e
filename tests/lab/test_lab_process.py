"""The lab as a process: its SSH servers, its control socket, its command line."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys

import asyncssh
import pytest
from bounded import finish
from lab_process import Lab, connect, running_lab, typist
from pve_lab.control import LabError
from pve_lab.scenarios import SCENARIOS
from pve_lab.server import PASSWORD

DROPPED = (asyncssh.ConnectionLost, ConnectionResetError)


def _lab(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pve_lab", *argv], capture_output=True, text=True, timeout=60, check=False
    )


def test_new_key_logins_fail_while_etc_pve_is_unmounted_and_open_connections_live() -> None:
    """authorized_keys is a link into /etc/pve; authorized_keys2 is the way around."""

    async def body(lab: Lab) -> None:
        async with typist(lab) as hands:
            assert (await hands.run("pve1", "readlink /root/.ssh/authorized_keys")).stdout == (
                "/etc/pve/priv/authorized_keys\n"
            )
            key = (await hands.run("pve1", "cat /root/.ssh/authorized_keys")).stdout
            await hands.run("pve1", "systemctl stop pve-cluster corosync")
            with pytest.raises(asyncssh.PermissionDenied):
                await connect(lab, "pve1")
            assert (await hands.run("pve1", "hostname")).stdout == "pve1\n"
            await hands.run("pve1", "cat > /root/.ssh/authorized_keys2", key)
            (await connect(lab, "pve1")).close()
            await hands.run("pve1", "rm /root/.ssh/authorized_keys2; pmxcfs -l")
            (await connect(lab, "pve1")).close()

    with running_lab() as lab:
        finish(body(lab))


def test_a_key_that_is_not_the_labs_is_refused() -> None:
    """Every node asks for a key that its authorized_keys has."""

    async def body(lab: Lab) -> None:
        stranger = asyncssh.generate_private_key("ssh-ed25519")
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect("pve2", config=[lab.ssh_config], client_keys=[stranger], agent_path=None)

    with running_lab() as lab:
        finish(body(lab))


@pytest.mark.parametrize(("scenario", "bars"), [("pve9", True), ("broken", False)])
def test_openssh_of_debian_13_bars_who_tries_a_few_keys_in_vain(scenario: str, bars: bool) -> None:
    """The right key too, and the password; who is in stays in. That of Debian 12 does not."""

    async def body(lab: Lab) -> None:
        stranger = asyncssh.generate_private_key("ssh-ed25519")
        inside = await connect(lab, "pve2")
        for _ in range(4):
            with pytest.raises((asyncssh.PermissionDenied, *DROPPED)):
                await asyncssh.connect("pve2", config=[lab.ssh_config], client_keys=[stranger], agent_path=None)
        if bars:
            with pytest.raises(DROPPED):
                await connect(lab, "pve2")
        else:
            (await connect(lab, "pve2")).close()
        (await connect(lab, "pve1")).close()
        assert (await inside.run("hostname")).stdout == "pve2\n"
        lab.control.reset()
        (await connect(lab, "pve2")).close()

    with running_lab(scenario) as lab:
        finish(body(lab))


def test_root_s_password_is_taken_where_no_key_is() -> None:
    """It does not lie in /etc/pve."""

    async def body(lab: Lab) -> None:
        lab.control.run("pve2", "systemctl stop pve-cluster corosync")
        for password, taken in (("wrong", False), (PASSWORD, True)):
            if taken:
                (await asyncssh.connect("pve2", config=[lab.ssh_config], password=password)).close()
                continue
            with pytest.raises(asyncssh.PermissionDenied):
                await asyncssh.connect("pve2", config=[lab.ssh_config], password=password)

    with running_lab() as lab:
        finish(body(lab))


def test_standard_input_and_output_carry_any_bytes_base64() -> None:
    """A file of all byte values goes in by install and comes out by base64."""
    data = bytes(range(256)) * 64

    async def body(lab: Lab) -> None:
        connection = await connect(lab, "pve1")
        done = await connection.run("install -m 0600 /dev/stdin /root/f", input=data, encoding=None)
        assert done.exit_status == 0
        text = (await connection.run("base64 -w0 /root/f")).stdout
        assert isinstance(text, str)
        assert base64.b64decode(text) == data
        connection.close()
        await connection.wait_closed()

    with running_lab() as lab:
        finish(body(lab))


def test_cut_drops_connections_and_new_ones_work() -> None:
    """The node itself is not touched."""

    async def body(lab: Lab) -> None:
        connection = await connect(lab, "pve1")
        lab.control.cut("pve1")
        await asyncio.wait_for(connection.wait_closed(), 30)
        again = await connect(lab, "pve1")
        assert (await again.run("cat /proc/sys/kernel/random/boot_id")).stdout == f"{boot_id}\n"
        again.close()
        await again.wait_closed()

    with running_lab() as lab:
        boot_id = lab.control.state()["pve1"].boot_id
        finish(body(lab))


def test_a_power_cycle_drops_connections_and_commands() -> None:
    """A command that would run for ever is gone with its node; the boot_id is another one."""

    async def body(lab: Lab) -> None:
        connection = await connect(lab, "pve1")
        endless = asyncio.create_task(connection.run("while true; do sleep 1; done"))
        while not any(line.argv[0] == "sleep" for line in lab.control.log("pve1")):
            await asyncio.to_thread(lab.control.now)
        lab.control.power_cycle("pve1")
        await asyncio.wait_for(connection.wait_closed(), 30)
        with pytest.raises((asyncssh.ConnectionLost, asyncssh.DisconnectError, asyncssh.ChannelOpenError)):
            done = await asyncio.wait_for(endless, 30)
            if done.exit_status is None:
                raise asyncssh.ConnectionLost("the command ended without a status")

    with running_lab() as lab:
        before = lab.control.state()["pve1"].boot_id
        finish(body(lab))
        assert lab.control.state()["pve1"].boot_id != before


def test_a_frozen_node_answers_when_it_thaws() -> None:
    """Until then its commands wait; the other nodes are not disturbed."""

    async def body(lab: Lab) -> None:
        async with typist(lab) as hands:
            lab.control.freeze("pve1")
            waiting = asyncio.create_task(hands.run("pve1", "hostname"))
            assert (await hands.run("pve2", "hostname")).stdout == "pve2\n"
            assert not waiting.done()
            lab.control.thaw("pve1")
            assert (await waiting).stdout == "pve1\n"

    with running_lab() as lab:
        finish(body(lab))


def test_the_control_socket_tells_the_truth_and_drives_time_and_network() -> None:
    """state, advance, partition, heal; a wrong request is refused with a reason."""
    with running_lab() as lab:
        state = lab.control.state()
        assert [node.quorate for node in state.values()] == [False] * 3
        assert sum(1 for g in state["pve1"].guests.values()) == 14
        assert {g.owner for g in state["pve1"].guests.values()} == {"pve1", "pve2", "pve3"}
        before = lab.control.now()
        lab.control.advance(100)
        assert lab.control.now() == before + 100
        lab.control.partition([["pve1", "pve2"], ["pve3"]])
        assert [node.quorate for node in lab.control.state().values()] == [True, True, False]
        lab.control.heal()
        assert [node.quorate for node in lab.control.state().values()] == [True] * 3
        with pytest.raises(LabError, match="KeyError: 'pve9'"):
            lab.control.power_cycle("pve9")


def test_a_lab_that_is_set_again_is_at_the_present_time() -> None:
    """However long it was up: its nodes' clocks are held against the control host's."""
    with running_lab() as lab:
        before = float(lab.control.run("pve1", "date +%s.%N").stdout)
        lab.control.reset()
        assert float(lab.control.run("pve1", "date +%s.%N").stdout) > before


def test_the_lab_can_be_told_to_stop() -> None:
    """Its process ends, its directory is gone."""
    with running_lab() as lab:
        assert lab.directory.exists()
        lab.control.stop()
        assert lab.process.wait(60) == 0
        assert not lab.directory.exists()


def test_the_scenarios_are_listed_with_a_line_each() -> None:
    """--scenario=list."""
    done = _lab("--scenario", "list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(SCENARIOS)
    assert all(len(line.split()) > 2 for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--scenario", "nope"], "there is no scenario 'nope'"),
        (["--nodes", "0"], "--nodes must be 1 to 32, not 0"),
        (["--nodes", "33"], "--nodes must be 1 to 32, not 33"),
        (["--dir", "/"], "/ is not empty"),
        (["--dir", "/tmp/" + "x" * 120], "is too long for the control socket"),
    ],
)
def test_mistakes_are_usage_errors(argv: list[str], text: str) -> None:
    """One line that says what is wrong, exit status 2."""
    done = _lab(*argv)
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr
