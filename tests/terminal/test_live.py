"""What the operator sees while a step goes on: one line that comes and goes, and with -v the commands."""

from __future__ import annotations

import os
import pty
import select
import time
from collections.abc import Iterator

import pyte
import pytest
from pve_runbook.cluster.progress import Wait, Waits
from pve_runbook.journal import events
from pve_runbook.journal.journal import Journal
from pve_runbook.journal.rows import Asked
from pve_runbook.terminal import live
from pve_runbook.terminal.live import Live, in_words

COLUMNS = 80


class Terminal:
    """A pseudo-terminal of 80 by 24, and what stands on its screen."""

    def __init__(self) -> None:
        self.controller, self.fd = pty.openpty()
        self.screen = pyte.Screen(COLUMNS, 24)
        self._stream = pyte.ByteStream(self.screen)

    def lines(self) -> list[str]:
        """The lines that are not empty, after all that was written."""
        while select.select([self.controller], [], [], 0)[0]:
            self._stream.feed(os.read(self.controller, 65536))
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def close(self) -> None:
        os.close(self.controller)
        os.close(self.fd)


def following(fd: int, waits: Waits) -> Live:
    """Shows what is waited for there."""
    live = Live(fd)
    live.follow(Journal(), waits)
    return live


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm")
    opened = Terminal()
    yield opened
    opened.close()


def test_a_long_wait_is_one_line_that_is_drawn_over_and_goes(terminal: Terminal) -> None:
    waits = Waits()
    shown = following(terminal.fd, waits)
    with waits.on("pve2", "its window to end", 180):
        now = waits.now[0].since
        shown.draw(now + 1)
        assert terminal.lines() == []
        shown.draw(now + 3)
        assert terminal.lines() == ["  ..       pve2     waits for its window to end, 3 s of 180 s"]
        shown.draw(now + 12)
        assert terminal.lines() == ["  ..       pve2     waits for its window to end, 12 s of 180 s"]
        shown.say("  ok       pve1     said meanwhile")
        shown.draw(now + 13)
        assert terminal.lines()[0] == "  ok       pve1     said meanwhile"
    assert terminal.lines() == ["  ok       pve1     said meanwhile"]


def test_the_line_is_drawn_by_itself_while_a_node_is_waited_for(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "WORTH_A_LINE", 0.0)
    waits = Waits()
    shown = following(terminal.fd, waits)
    shown.start()
    with waits.on("pve1", "the end of stop-lrm", 120):
        until = time.monotonic() + 60
        while "pve1     waits for the end of stop-lrm" not in "".join(terminal.lines()):  # it is gone while drawn anew
            assert select.select([terminal.controller], [], [], until - time.monotonic())[0]
    shown.stop()
    assert terminal.lines() == []


def test_without_a_terminal_a_line_comes_every_half_minute_and_stays() -> None:
    reader, writer = os.pipe()
    waits = Waits()
    shown = following(writer, waits)
    with waits.on("pve2", "its window to end", 180):
        now = waits.now[0].since
        for second in range(0, 70, 5):
            shown.draw(now + second + 0.2)
    os.close(writer)
    said = os.read(reader, 65536).decode().splitlines()
    os.close(reader)
    assert said == [f"  ..       pve2     waits for its window to end, {n} s of 180 s" for n in (30, 60)]


def test_the_outermost_wait_of_the_longest_waiting_node_is_told() -> None:
    waits = Waits()
    with (
        waits.on("pve1", "corosync to stop", 30),
        waits.on("pve1", "answers to 36 probes", 20),
        waits.on("pve2", "x", 5),
    ):
        assert [(w.node, w.what) for w in waits.now] == [("pve1", "corosync to stop"), ("pve2", "x")]
        assert in_words(waits.now, waits.now[0].since + 7).endswith(
            "waits for corosync to stop, 7 s of 30 s, and 1 more"
        )
    assert waits.now == ()


def test_a_wait_that_outlasts_its_bound_does_not_name_it() -> None:
    wait = [Wait("pve1", "corosync to stop", 0.0, 30.0)]
    assert in_words(wait, 30.0).endswith("corosync to stop, 30 s of 30 s")
    assert in_words(wait, 31.0).endswith("corosync to stop, 31 s")


def test_a_line_never_breaks() -> None:
    assert len(in_words([Wait("a-node-with-a-long-name", "w" * 200, 0.0, 180.0)], 179.0)) < COLUMNS


def test_a_terminal_that_is_gone_does_not_end_the_run() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    Live(writer).say("nobody reads this")
    os.close(writer)


def ended(status: int, stdout: str = "", stderr: str = "") -> events.Action:
    return events.Action(
        action_id=4,
        node="pve2",
        exit_status=status,
        stdout=stdout,
        stderr=stderr,
        seconds=0.1,
        outcome="failed" if status else "done",
        error=None,
    )


EVENTS: list[events.Event] = [
    events.Batch(node="pve1", probes=(Asked(1, "uid", ("id", "-u")), Asked(2, "x", ("y",)))),
    events.Probe(batch=1, node="pve1", id="uid", exit_status=0, stdout="0\n", stderr="", seconds=0.1),
    events.Probe(batch=1, node="pve1", id="x", error="no answer within 5 s", seconds=0.1),
    events.ActionIntent(
        node="pve2", action="x", argv=("systemctl", "stop", "a b"), why="", undo="", detached=False, stdin_sha256=None
    ),
    ended(1, stderr="no \x1b[31munit\n"),
    ended(0, stdout="done\n" * 50),
]


def heard(terminal: Terminal, verbosity: int) -> list[str]:
    journal = Journal()
    Live(terminal.fd, verbosity).follow(journal, Waits())
    for event in EVENTS:
        journal.write(event)
    return terminal.lines()


def test_by_default_only_the_command_under_way_is_shown(terminal: Terminal) -> None:
    assert heard(terminal, 0) == ["  $       pve2  systemctl stop 'a b'"]


def test_v_shows_what_is_sent_and_what_failed(terminal: Terminal) -> None:
    assert heard(terminal, 1) == [
        "  ?        pve1     2 probes: uid, x",
        "  $        pve2     systemctl stop 'a b'",
        "           pve2     | no \\x1b[31munit",
        "           pve2     | exit status 1",
    ]


def test_vv_shows_what_is_answered_too(terminal: Terminal) -> None:
    terminal.screen.resize(80, COLUMNS)
    lines = heard(terminal, 2)
    assert lines[:4] == [
        "  ?        pve1     id -u",
        "           pve1     | 0",
        "  ?        pve1     y",
        "           pve1     | no answer within 5 s",
    ]
    assert lines.count("           pve2     | done") == live.SHOWN_LINES
    assert lines[-1] == "           pve2     | … 10 more lines in the journal, line 6"


def test_what_is_under_way_is_redrawn_goes_while_others_write_and_comes_back(terminal: Terminal) -> None:
    shown = following(terminal.fd, Waits())
    shown.show("  ..      0/3   It holds.")
    shown.show("  ..      1/3   It holds.")
    assert terminal.lines() == ["  ..      1/3   It holds."]
    shown.say("pve1 was said")
    assert terminal.lines() == ["pve1 was said"]
    shown.draw(time.monotonic())
    assert terminal.lines() == ["pve1 was said", "  ..      1/3   It holds."]
    shown.show("")
    assert terminal.lines() == ["pve1 was said"]


def test_a_long_wait_stands_in_place_of_what_is_under_way(terminal: Terminal) -> None:
    waits = Waits()
    shown = following(terminal.fd, waits)
    shown.show("  ..      1/3   It holds.")
    with waits.on("pve2", "its window to end", 180):
        shown.draw(time.monotonic() + 12)
        assert terminal.lines() == ["  ..       pve2     waits for its window to end, 12 s of 180 s"]
    shown.draw(time.monotonic())
    assert terminal.lines() == ["  ..      1/3   It holds."]


def test_in_a_pipe_nothing_that_goes_again_is_written() -> None:
    reading, writing = os.pipe()
    following(writing, Waits()).show("  ..      1/3   It holds.")
    os.close(writing)
    assert os.read(reading, 100) == b""
    os.close(reading)


def intent(node: str, *argv: str) -> events.ActionIntent:
    return events.ActionIntent(node=node, action="a", argv=argv, why="", undo="", detached=True, stdin_sha256=None)


def test_a_command_is_seen_before_it_is_sent_once_with_all_its_nodes(terminal: Terminal) -> None:
    journal = Journal()
    Live(terminal.fd).follow(journal, Waits())
    journal.write(intent("pve1", "systemctl", "stop", "corosync.service"))
    assert terminal.lines() == ["  $       pve1  systemctl stop corosync.service"]
    journal.write(intent("pve2", "systemctl", "stop", "corosync.service"))
    assert terminal.lines() == ["  $       pve1, pve2 systemctl stop corosync.service"]
    journal.write(intent("pve1", "printf", "a\nb", *["xxxx"] * 30))
    [line] = terminal.lines()
    assert line.startswith("  $       pve1  printf 'a\\nb' xxxx") and line.endswith("…") and len(line) < COLUMNS
