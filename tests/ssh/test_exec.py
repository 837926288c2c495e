"""Commands over a real SSH connection, and everything that keeps one from ending well."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pve_runbook.ssh.connection import Connection
from pve_runbook.ssh.exec import OPEN_SECONDS, CommandTimeout, ConnectionLost, OutputTooLarge, execute
from ssh_server import FREEZE_INSTEAD_OF_ANSWERING, Server, Site


def test_both_streams_and_the_exit_status_come_back(node: Connection) -> None:
    result = execute(node, r"printf 'out\0\377'; printf err >&2; exit 3", timeout=30)
    assert (result.stdout, result.stderr, result.exit_status) == (b"out\0\xff", b"err", 3)
    assert 0 < result.seconds < 30


def test_a_command_without_input_sees_its_end(node: Connection) -> None:
    assert execute(node, "cat; echo end", timeout=30).stdout == b"end\n"


def test_input_reaches_the_command_byte_for_byte(node: Connection) -> None:
    data = bytes(range(256)) * 20_000
    assert execute(node, "cat", timeout=30, stdin=data).stdout == data


def test_input_that_the_command_does_not_read_is_no_error(node: Connection) -> None:
    assert execute(node, "exit 4", timeout=30, stdin=b"x" * 10_000_000).exit_status == 4


def test_a_large_output_comes_whole_and_soon(node: Connection) -> None:
    result = execute(node, "head -c 50000000 /dev/zero; echo end >&2", timeout=60)
    assert len(result.stdout) == 50_000_000 and result.stderr == b"end\n"
    assert result.seconds < 30


def test_six_megabytes_on_standard_error_do_not_hang(node: Connection) -> None:
    result = execute(node, "head -c 6000000 /dev/zero >&2; echo out", timeout=30)
    assert (result.stdout, len(result.stderr), result.exit_status) == (b"out\n", 6_000_000, 0)


def test_output_is_handed_on_while_the_command_runs(node: Connection, tmp_path: Path) -> None:
    """The command ends when what it said has been heard."""
    heard = tmp_path / "heard"
    os.mkfifo(heard)
    pieces: list[bytes] = []

    def hear(data: bytes) -> None:
        pieces.append(data)
        heard.write_text("yes")

    result = execute(node, f"echo now; read -r <{heard}", timeout=30, on_stdout=hear)
    assert pieces == [b"now\n"] and result.stdout == b""


def test_what_was_handed_on_is_not_told_again_at_a_timeout(node: Connection) -> None:
    pieces: list[bytes] = []
    with pytest.raises(CommandTimeout) as error:
        execute(node, "echo now; exec sleep 60", timeout=2, on_stdout=pieces.append)
    assert pieces == [b"now\n"] and error.value.stdout == b""


def test_an_error_in_the_consumer_ends_the_command_and_leaves_the_connection(node: Connection) -> None:
    def refuse(data: bytes) -> None:
        raise ValueError(data)

    with pytest.raises(ValueError, match="now"):
        execute(node, "echo now; exec sleep 60", timeout=30, on_stdout=refuse)
    assert execute(node, "echo on", timeout=30).stdout == b"on\n"


def test_output_above_the_limit_is_refused(node: Connection) -> None:
    with pytest.raises(OutputTooLarge, match="more than 1000 bytes"):
        execute(node, "cat /dev/zero", timeout=30, max_bytes=1000)
    assert execute(node, "echo on", timeout=30).stdout == b"on\n"


def test_a_command_killed_by_a_signal_has_no_exit_status(node: Connection) -> None:
    result = execute(node, "echo before; kill -9 $$", timeout=30)
    assert (result.stdout, result.exit_status) == (b"before\n", None)


def test_a_hanging_command_costs_its_timeout_and_says_what_it_had_said(node: Connection) -> None:
    with pytest.raises(CommandTimeout) as error:
        execute(node, "echo out; echo err >&2; exec sleep 60", timeout=2)
    assert (error.value.stdout, error.value.stderr, error.value.sent) == (b"out\n", b"err\n", True)
    assert (error.value.node, error.value.command) == ("pve1", "echo out; echo err >&2; exec sleep 60")
    assert 2 <= error.value.seconds < 10
    assert "pve1: no end of the command within 2 s" in str(error.value)
    assert "its outcome is unknown" in str(error.value)
    assert execute(node, "echo on", timeout=30).stdout == b"on\n"


def test_a_command_that_never_stops_talking_is_bounded_too(node: Connection) -> None:
    def slowly(data: bytes) -> None:  # so that there is always more to read
        time.sleep(0.02)

    with pytest.raises(CommandTimeout) as error:
        execute(node, "cat /dev/zero", timeout=0.3, on_stdout=slowly, max_bytes=500_000_000)
    assert error.value.seconds < 10


def test_a_process_left_behind_with_the_streams_open_is_waited_for(node: Connection) -> None:
    with pytest.raises(CommandTimeout):
        execute(node, "sleep 60 & echo left; exit 0", timeout=0.5)


def test_a_link_cut_in_mid_command_is_a_lost_connection_and_no_exit_status(node: Connection, server: Server) -> None:
    pieces: list[bytes] = []

    def cut(data: bytes) -> None:
        pieces.append(data)
        server.drop()

    with pytest.raises(ConnectionLost) as error:
        execute(node, "echo out; exec sleep 60", timeout=30, on_stdout=cut)
    assert pieces == [b"out\n"] and error.value.sent
    assert "the connection was lost" in str(error.value)
    assert error.value.seconds < 15


def test_nothing_is_sent_again_after_a_lost_link(node: Connection, server: Server) -> None:
    command = "echo out; exec sleep 60"
    with pytest.raises(ConnectionLost):
        execute(node, command, timeout=30, on_stdout=lambda data: server.drop())
    with pytest.raises(ConnectionLost) as second:
        execute(node, "true", timeout=30)
    assert not second.value.sent and "it was not sent" in str(second.value)
    assert server.executed == [command] and len(server.logins) == 1


def test_a_connection_that_was_never_opened_sends_nothing(site: Site) -> None:
    with pytest.raises(ConnectionLost, match="not open") as error:
        execute(site.connection("pve1"), "true", timeout=30)
    assert not error.value.sent


def test_a_frozen_node_costs_one_wait_and_then_none(node: Connection, server: Server) -> None:
    server.freeze()
    with pytest.raises(ConnectionLost, match=r"did not open a session within 0\.4 s") as first:
        execute(node, "true", timeout=60, open_timeout=0.4)
    assert not first.value.sent and first.value.seconds < OPEN_SECONDS
    started = time.monotonic()
    with pytest.raises(ConnectionLost) as second:
        execute(node, "true", timeout=60)
    assert time.monotonic() - started < OPEN_SECONDS / 3 and not second.value.sent


def test_a_node_that_freezes_before_it_answers_the_request_costs_the_timeout(node: Connection, server: Server) -> None:
    with pytest.raises(CommandTimeout) as error:
        execute(node, FREEZE_INSTEAD_OF_ANSWERING, timeout=0.4)
    assert error.value.sent and error.value.seconds < 10


def test_input_for_a_frozen_node_does_not_block(node: Connection, server: Server) -> None:
    with pytest.raises(CommandTimeout) as error:
        execute(
            node,
            "echo ready; cat >/dev/null",
            timeout=1,
            stdin=b"x" * 100_000_000,
            on_stdout=lambda data: server.freeze(),
        )
    assert error.value.seconds < 15


def test_commands_of_several_threads_share_one_connection(node: Connection, server: Server) -> None:
    together = threading.Barrier(8)

    def ask(number: int) -> bytes:
        together.wait(30)
        return execute(node, f"head -c 100000 /dev/zero >&2; echo {number}", timeout=30).stdout

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(8))) == [f"{number}\n".encode() for number in range(8)]
    assert len(server.logins) == 1


def test_a_hundred_commands_leave_no_thread_and_no_file_descriptor(node: Connection) -> None:
    def counts() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    def few(now: tuple[int, int]) -> bool:
        return now[0] <= before[0] + 2 and now[1] <= before[1] + 8

    execute(node, "true", timeout=30)
    before = counts()
    for _ in range(100):
        execute(node, "true", timeout=30, stdin=b"x")
    until = time.monotonic() + 30
    while not few(after := counts()) and time.monotonic() < until:
        time.sleep(0.05)  # those of the last commands end after their answer: here a thread, at the server its pipes
    assert few(after), (before, after)


def test_the_answer_to_a_small_command_does_not_wait_for_delayed_acknowledgements(node: Connection) -> None:
    """With them none takes less than 40 ms; without them one does, among many, on a busy machine too."""
    soon = any(execute(node, "true", timeout=30).seconds < 0.04 for _ in range(200))
    assert soon, "Nagle's algorithm and delayed acknowledgements cost 40 ms a command"
