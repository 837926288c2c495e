"""corosync's log and counters, as recorded on a cluster whose network came and went."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from parsers_captures import Step, output, steps
from pve_runbook.parsers.corosync_log import MOST_LINES, PATTERN, Event, Kind, parse_corosync_log, parse_line_before
from pve_runbook.parsers.corosync_stats import parse_counters
from pve_runbook.parsers.output import Output, ParseError

WANTED = re.compile(PATTERN.replace("(?<", "(?P<"))
JOURNALS = [step for step in steps("flapping") if step.command.startswith("journalctl")]
COUNTERS = [step for step in steps("flapping") if step.command.startswith("corosync-cmapctl")]
START = 1795415682.0
"""About when corosync was started on all three nodes; the network went for the first time 21 s later."""
NONE = Output("-- No entries --\n", "", 1)


def as_asked(step: Step) -> Output:
    """The recorded journal in the form that the probe asks for: matching lines of corosync, the newest first."""
    rows = []
    for line in step.output.stdout.splitlines():
        entry = json.loads(line)
        if entry["SYSLOG_IDENTIFIER"] != "pmxcfs" and WANTED.search(entry["MESSAGE"]):
            stamp = int(entry["__REALTIME_TIMESTAMP"])
            pid, name = entry["_PID"], entry["SYSLOG_IDENTIFIER"]
            rows.append(f"{stamp // 1_000_000}.{stamp % 1_000_000:06} {name}[{pid}]: {entry['MESSAGE']}\n")
    return Output("".join(reversed(rows)), "", 0)


def said(*messages: str) -> list[Event]:
    """What lines of corosync mean, given oldest first."""
    rows = [f"17954156{i:02}.000001 corosync[73]:   {message}\n" for i, message in enumerate(messages)]
    return list(parse_corosync_log(Output("".join(reversed(rows)), "", 0)).events)


@pytest.mark.parametrize("step", JOURNALS, ids=lambda s: s.node)
def test_the_recorded_flapping_is_read(step: Step) -> None:
    """Four losses of two peers, four returns; one start."""
    log = parse_corosync_log(as_asked(step))
    counts = Counter(e.kind for e in log.events)
    peers = {1, 2, 3} - {int(step.node[-1])}
    assert log.whole
    assert counts[Kind.STARTED] == 1
    assert {Counter(e.hosts[0] for e in log.events if e.kind is Kind.LINK_DOWN)[p] for p in peers} == {4}
    assert [set(e.hosts) for e in log.events if e.kind is Kind.LOST] == [peers] * 4
    assert counts[Kind.TOKEN_LATE] == counts[Kind.TOKEN_LOST] == counts[Kind.QUORUM_LOST] == 4
    assert counts[Kind.QUORUM_GAINED] == 5
    assert {e.milliseconds for e in log.events if e.kind is Kind.TOKEN_LATE} <= {2737.0, 2738.0}
    assert [e.time for e in log.events] == sorted(e.time for e in log.events)
    assert START - 5 < log.events[0].time < START + 5


@pytest.mark.parametrize("step", COUNTERS, ids=lambda s: s.node)
def test_the_recorded_counters_are_read(step: Step) -> None:
    """corosync counts the same four losses as its log tells, and none of the link to itself."""
    counters = parse_counters(step.output)
    assert counters is not None and counters.resent == 0
    own = int(step.node[-1])
    assert {x.nodeid: x.losses for x in counters.links} == {i: 0 if i == own else 4 for i in (1, 2, 3)}
    peer = next(x for x in counters.links if x.nodeid == (1 if own == 2 else 2))
    assert peer.connected and peer.mtu == 1397 and 0 < peer.latency_ave <= peer.latency_max < 5000


def test_a_cluster_that_fell_apart_once_counts_one_loss() -> None:
    """no-quorum: every link failed once and is down."""
    counters = parse_counters(output("no-quorum.pve1", "corosync-cmapctl -m stats"))
    assert counters is not None
    assert [(x.nodeid, x.losses, x.connected) for x in counters.links] == [(1, 0, True), (2, 1, False), (3, 1, False)]


def test_no_corosync_counts_nothing() -> None:
    """None, not an error: standalone is an answer."""
    assert parse_counters(output("standalone.pve1", "corosync-cmapctl -m stats")) is None


def test_a_transport_before_kronosnet_counts_no_links() -> None:
    counters = parse_counters(Output("stats.srp.mcast_retx (u64) = 7\nstats.srp.mcast_rx (u64) = 9\n", "", 0))
    assert counters is not None
    assert (counters.links, counters.resent) == ((), 7)


@pytest.mark.parametrize(
    "wrong",
    [
        Output("", "", 0),
        Output("stats.ipcs.global.active (u64) = 5\n", "", 0),
        Output("stats.knet.node1.link0.connected (u8) = 1\nstats.srp.mcast_retx (u64) = 0\n", "", 0),
        Output("stats.srp.mcast_retx (u64) = many\n", "", 0),
        Output("something else\n", "", 0),
        Output("", "Failed to initialize the cmap API. Error CS_ERR_TRY_AGAIN\n", 1),
        Output("", "", 124),
    ],
)
def test_counters_that_are_no_counters_are_unknown(wrong: Output) -> None:
    """Never zero."""
    with pytest.raises(ParseError):
        parse_counters(wrong)


def test_lines_that_no_capture_has() -> None:
    """As corosync's and kronosnet's sources print them."""
    assert [(e.kind, e.hosts, e.left, e.link, e.milliseconds) for e in said(
        "[MAIN  ] Corosync main process was not scheduled (@1795415610123) for 4567.1 ms (threshold is 2920.0000 ms).",
        "[MAIN  ] Corosync main process was not scheduled for 812.25 ms (threshold is 800.0000 ms).",
        "[TOTEM ] A new membership (1.e0) was formed. Members joined: 2 left: 3 4",
        "[TOTEM ] A new membership (1.e4) was formed. Members",
        "[CFG   ] Node 12 was shut down by sysadmin",
        "[KNET  ] link: host: 2 link: 1 is up",
        "[KNET  ] pmtud: possible MTU misconfiguration detected. kernel is reporting MTU: 9000 bytes for host 2 link 1 "
        "but the other node is not acknowledging packets of this size.",
        "[MAIN  ] Corosync Cluster Engine exiting normally",
    )] == [
        (Kind.STALL, (), (), 0, 4567.1),
        (Kind.STALL, (), (), 0, 812.25),
        (Kind.MEMBERSHIP, (2,), (3, 4), 0, 0.0),
        (Kind.MEMBERSHIP, (), (), 0, 0.0),
        (Kind.SHUT_DOWN, (12,), (), 0, 0.0),
        (Kind.LINK_UP, (2,), (), 1, 0.0),
        (Kind.PACKET_SIZE, (2,), (), 1, 0.0),
        (Kind.STOPPED, (), (), 0, 0.0),
    ]  # fmt: skip


def test_a_quiet_journal_is_an_answer_and_a_missing_one_is_not() -> None:
    """Exit status 1 and "-- No entries --"; on stderr what tells that there is no journal (seen with systemd 252)."""
    assert parse_corosync_log(NONE).events == ()
    with pytest.raises(ParseError, match="keeps no journal"):
        parse_corosync_log(Output(NONE.stdout, "No journal files were found.\n", 1))


@pytest.mark.parametrize(
    "wrong",
    [
        Output("", "", 0),
        Output("", "", 1),
        Output("", "Failed to parse timestamp: -1x\n", 1),
        Output("", "Compiled without pattern matching support\n", 1),
        Output("-- No entries --\n", "", 124),
        Output("1795415600.000001 corosync[73]: something that was not asked for\n", "", 0),
        Output("Nov 23 06:34:42 corosync[73]:   [KNET  ] link: host: 3 link: 0 is down\n", "", 0),
    ],
)
def test_a_journal_that_cannot_be_read_is_unknown(wrong: Output) -> None:
    """Never quiet."""
    with pytest.raises(ParseError):
        parse_corosync_log(wrong)


def test_what_journalctl_says_of_itself_is_no_event() -> None:
    """Boots are marked between the lines."""
    row = "1795415600.000001 corosync[73]:   [KNET  ] link: host: 3 link: 0 is down\n"
    head = "-- Journal begins at Mon 2026-11-23 06:00:00 UTC, ends at Mon 2026-11-23 06:37:32 UTC. --\n"
    boot = "-- Boot 1f5683c5133a448cbcc4e6439c5528a9 --\n"
    assert len(parse_corosync_log(Output(head + row + boot + row, "", 0)).events) == 2


def test_as_many_lines_as_were_asked_for_are_not_the_whole() -> None:
    """What is older was left out."""
    row = "1795415600.000001 corosync[73]:   [KNET  ] link: host: 3 link: 0 is down\n"
    assert not parse_corosync_log(Output(row * MOST_LINES, "", 0)).whole
    assert parse_corosync_log(Output(row * (MOST_LINES - 1), "", 0)).whole


def test_the_line_before_the_window() -> None:
    """Its time, or that there is none."""
    row = '{"__REALTIME_TIMESTAMP":"1795415680941222","PRIORITY":"6","_BOOT_ID":"1f56"}\n'
    assert parse_line_before(Output(row, "", 0)) == 1795415680.941222
    assert parse_line_before(Output("", "", 0)) is None
    for wrong in (Output("", "", 1), Output("{}", "", 0), Output('{"__REALTIME_TIMESTAMP":"soon"}', "", 0)):
        with pytest.raises(ParseError):
            parse_line_before(wrong)
