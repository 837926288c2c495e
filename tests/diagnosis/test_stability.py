"""Whether a cluster link flaps, settles or holds: judged from logs, recorded and made."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from pve_runbook.cluster.probe_journal import AnswerLog
from pve_runbook.cluster.rounds import Question
from pve_runbook.diagnosis.stability import History, Stability, judge
from pve_runbook.journal.journal import Journal
from pve_runbook.parsers.corosync_log import MOST_LINES, PATTERN, CorosyncLog, Event, Kind, parse_corosync_log
from pve_runbook.parsers.corosync_stats import Counters, LinkCounters
from pve_runbook.parsers.output import Output
from pve_runbook.ssh.batch import FrameReader

DAY = 86_400.0
NOW = 1_795_500_000.0
NAMES = {1: "pve1", 2: "pve2", 3: "pve3"}
CAPTURE = Path(__file__).parent.parent / "captures" / "flapping.json"
WANTED = re.compile(PATTERN.replace("(?<", "(?P<"))


def history(*events: Event, hours: float = 24.0, now: float = NOW) -> History:
    return History(CorosyncLog(tuple(events), True), now - hours * 3600, now, NAMES)


def loss(ago: float, *hosts: int) -> list[Event]:
    """Peers go without a word, as recorded: links at once, token and membership some seconds later."""
    at = NOW - ago
    return [
        *(Event(at, Kind.LINK_DOWN, (h,)) for h in hosts),
        Event(at + 1.4, Kind.TOKEN_LATE, milliseconds=2737.0),
        Event(at + 2.3, Kind.TOKEN_LOST),
        Event(at + 6.7, Kind.MEMBERSHIP, (), hosts),
        Event(at + 6.7, Kind.LOST, hosts),
        Event(at + 6.7, Kind.QUORUM_LOST),
    ]


def back(ago: float, *hosts: int) -> list[Event]:
    """They return."""
    at = NOW - ago
    return [
        *(Event(at, Kind.LINK_UP, (h,)) for h in hosts),
        Event(at + 0.5, Kind.MEMBERSHIP, hosts),
        Event(at + 0.5, Kind.QUORUM_GAINED),
    ]


def start(ago: float) -> list[Event]:
    """corosync's start: alone first, then with its peers, as recorded."""
    at = NOW - ago
    return [
        Event(at, Kind.STARTED),
        Event(at + 0.3, Kind.MEMBERSHIP, (1,)),
        Event(at + 3.4, Kind.LINK_UP, (2,)),
        Event(at + 3.4, Kind.LINK_UP, (3,)),
        Event(at + 3.6, Kind.MEMBERSHIP, (2, 3)),
        Event(at + 3.6, Kind.QUORUM_GAINED),
    ]


def blips(*agos: float) -> list[Event]:
    return [e for ago in agos for e in (*loss(ago, 2, 3), *back(ago - 24, 2, 3))]


@pytest.mark.parametrize("node", ["pve1", "pve2", "pve3"])
def test_recorded_flapping_is_found_while_the_cluster_is_quorate(node: str) -> None:
    """By the journal alone; at its end all three nodes see each other."""
    step = next(s for s in json.loads(CAPTURE.read_text())["steps"] if s["node"] == node)
    entries = [json.loads(line) for line in step["stdout"].splitlines()]
    rows = [
        f"{int(e['__REALTIME_TIMESTAMP']) / 1e6:.6f} corosync[{e['_PID']}]: {e['MESSAGE']}\n"
        for e in entries
        if e["SYSLOG_IDENTIFIER"] == "corosync" and WANTED.search(e["MESSAGE"])
    ]
    log = parse_corosync_log(Output("".join(reversed(rows)), "", 0))
    now = int(entries[-1]["__REALTIME_TIMESTAMP"]) / 1e6
    found = judge(History(log, log.events[0].time, now, NAMES))
    assert found.state is Stability.FLAPPING
    assert found.lost == ()
    assert not found.is_quiet
    peers = ", ".join(n for n in NAMES.values() if n != node)
    assert f"link 0 to {peers} went down 4 times" in found.evidence
    assert f"{peers} lost 4 times" in found.evidence
    assert "the token was lost 4 times" in found.evidence


def test_a_start_is_no_change() -> None:
    """The burst after corosync's start is normal: steady, once five minutes have passed."""
    found = judge(history(*start(400), hours=400 / 3600))
    assert (found.state, found.changes, found.is_quiet) == (Stability.STEADY, 0, True)
    assert not judge(history(*start(200), hours=200 / 3600)).is_quiet


def test_a_quiet_log_is_steady() -> None:
    """Nothing at all in a day."""
    found = judge(history())
    assert (found.state, found.is_quiet, found.covered) == (Stability.STEADY, True, DAY)
    assert str(found) == "in the last 24 h no link, token or member was lost"


def test_a_restart_of_a_peer_is_no_loss() -> None:
    """It says that it leaves; that its link goes down after that is no failure, nor is its return."""
    at = NOW - 4000
    found = judge(
        history(
            Event(at, Kind.SHUT_DOWN, (3,)),
            Event(at + 0.1, Kind.MEMBERSHIP, (), (3,)),
            Event(at + 1.5, Kind.LINK_DOWN, (3,)),
            *back(3900, 3),
        )
    )
    assert (found.state, found.changes, found.lost) == (Stability.STEADY, 2, ())


def test_a_leave_is_known_by_the_membership_alone() -> None:
    """Not every version logs who shuts down; a loss is the one whose leave message was not received."""
    at = NOW - 4000
    links = [Event(at + 1, Kind.LINK_DOWN, (host,)) for host in (2, 3)]
    found = judge(history(Event(at, Kind.MEMBERSHIP, (), (2, 3)), Event(at, Kind.LOST, (2,)), *links))
    assert found.lost == ("pve2",)
    assert "link 0 to pve2 went down once" in found.evidence
    assert not any("pve3" in clause for clause in found.evidence)


def test_one_loss_that_is_over_settles() -> None:
    """Settling at first, settled after five minutes; not steady in that window any more."""
    soon = judge(history(*blips(100)))
    assert (soon.state, soon.is_quiet) == (Stability.SETTLING, False)
    later = judge(history(*blips(7200)))
    assert (later.state, later.is_quiet) == (Stability.SETTLING, True)


def test_what_is_not_back_is_lost() -> None:
    """By name."""
    found = judge(history(*loss(4000, 2, 3), *back(3900, 3)))
    assert (found.state, found.lost) == (Stability.LOST, ("pve2",))


def test_a_member_that_was_let_go_is_not_to_come_back() -> None:
    lost = Event(NOW - 900, Kind.MEMBERSHIP, (), (9,)), Event(NOW - 900, Kind.LOST, (9,))
    found = judge(history(*lost))
    assert (found.state, found.lost) == (Stability.SETTLING, ())
    unnamed = judge(replace(history(*lost), names={}))
    assert (unnamed.state, unnamed.lost) == (Stability.LOST, ("node 9",))


def test_a_new_start_forgets_who_was_lost() -> None:
    """A corosync that has been started anew has lost nobody yet."""
    alone = start(3000)[:2]
    assert judge(history(*loss(4000, 2, 3), *alone)).lost == ()


def test_a_lost_token_that_all_survive_is_no_change_of_the_membership() -> None:
    """The same nodes find each other again: the token was lost, nobody else."""
    found = judge(history(Event(NOW - 900, Kind.TOKEN_LOST), Event(NOW - 896, Kind.MEMBERSHIP)))
    assert (found.state, found.changes) == (Stability.SETTLING, 0)


@pytest.mark.parametrize(
    ("agos", "state"),
    [
        ((140, 102, 64), Stability.FLAPPING),
        ((3000, 1800, 600), Stability.FLAPPING),
        ((60_000, 40_000, 20_000), Stability.FLAPPING),
        ((120, 60), Stability.SETTLING),
        ((10_140, 10_102, 10_064), Stability.SETTLING),
        ((500_000, 300_000, 600), Stability.SETTLING),
    ],
)
def test_what_is_called_flapping(agos: tuple[float, ...], state: Stability) -> None:
    """Three losses that belong together, the last not long over for their pace."""
    assert judge(history(*blips(*agos), hours=240)).state is state


def test_two_links_that_fail_once_each_do_not_flap() -> None:
    """What counts is how often the same thing breaks."""
    events = [*loss(900, 2), *back(800, 2), *loss(700, 3), *back(600, 3)]
    assert judge(history(*events)).state is Stability.SETTLING


def test_stalls_are_no_network() -> None:
    """Losses while, or just after, corosync was not run: starved, here and as a peer sees it."""
    stalls = [Event(NOW - ago + 4.0, Kind.STALL, milliseconds=5000.0) for ago in (900, 600, 300)]
    losses = blips(900, 600, 300)
    own = judge(history(*sorted([*stalls, *losses], key=lambda e: e.time)))
    assert own.state is Stability.STARVED
    assert judge(history(*losses)).state is Stability.FLAPPING
    assert judge(history(*losses), stalls).state is Stability.STARVED
    assert any("did not run corosync" in clause for clause in own.evidence)


def test_a_stall_excuses_only_what_follows_it() -> None:
    """Three losses of their own beside one with a stall: it flaps."""
    stall = Event(NOW - 1196.0, Kind.STALL, milliseconds=5000.0)
    assert judge(history(stall, *blips(1200, 900, 600, 300))).state is Stability.FLAPPING


def test_changes_are_counted_by_the_hour() -> None:
    """Both directions; the most within one hour beside the sum."""
    found = judge(history(*blips(80_000, 3000, 2000, 1000)))
    assert (found.changes, found.worst_hour) == (8, 6)
    assert "8 membership changes, at most 6 an hour" in found.evidence


def test_packets_that_are_too_large_are_named() -> None:
    """With link and peer."""
    assert judge(history(Event(NOW - 60, Kind.PACKET_SIZE, (2,), link=1))).packet_size == ("link 1 to pve2",)


def test_what_the_log_lacks_corosync_counts() -> None:
    """journald drops lines of who says too much; the counters are named where they know of more."""
    link = LinkCounters(2, 0, True, ups=9, downs=10, latency_ave=150, latency_max=300, mtu=1397)
    for counted, known in ((9, False), (1, True)):
        past = replace(history(*blips(7200)), counters=Counters((replace(link, downs=counted + 1),), 0))
        assert any("corosync itself counts" in clause for clause in judge(past).evidence) is not known


def test_a_day_of_flapping_costs_less_than_two_seconds() -> None:
    """50,000 lines, from the wire's frames to the judgement, in our own processor time: half a second as a rule."""
    texts = (
        "[KNET  ] link: host: 2 link: 0 is down",
        "[TOTEM ] A new membership (1.e0) was formed. Members left: 2",
        "[TOTEM ] Failed to receive the leave message. failed: 2",
        "[KNET  ] rx: host: 2 link: 0 is up",
        "[TOTEM ] A new membership (1.e4) was formed. Members joined: 2",
        "[MAIN  ] Corosync main process was not scheduled for 1.5 ms (threshold is 1.0 ms)",
    )
    rows = [
        f"{NOW - DAY + i * DAY / MOST_LINES:.6f} corosync[73]:   {texts[i % len(texts)]}\n"
        for i in range(MOST_LINES - 1)
    ]
    frame = b"p0 o " + base64.b64encode("".join(reversed(rows)).encode()) + b"\np0 e \np0 x 0\n"
    question = Question("corosync_log", ("journalctl",), 30, parse_corosync_log, "", None)
    before = time.process_time()
    ((_, output),) = FrameReader(["p0"]).feed(frame)
    log = AnswerLog(Journal()).read("pve1", 1, [(question, output)], 0.0)["corosync_log"]
    assert isinstance(log, CorosyncLog)
    found = judge(History(log, NOW - DAY, NOW, NAMES), [e for e in log.events if e.kind is Kind.STALL])
    spent = time.process_time() - before
    assert len(log.events) == MOST_LINES - 1
    assert found.changes > 10_000
    assert spent < 2.0, f"{spent:.2f} s"
