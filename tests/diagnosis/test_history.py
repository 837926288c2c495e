"""How far back a node's journal is complete, and that what it does not cover is unknown."""

from __future__ import annotations

import pytest
from pve_runbook.facts.corosync_log import CorosyncLog, Event, Kind
from pve_runbook.work.histories import history_of
from pve_runbook.work.nodefacts import NodeFacts
from pve_runbook.work.readings import Missing, UnknownFact

NOW = 1_795_500_000.0
HOUR = 3600.0
LOSS = Event(NOW - 2 * HOUR, Kind.LOST, (2,))
START = Event(NOW - 5 * HOUR, Kind.STARTED)


def facts(log: object, before: object) -> NodeFacts:
    """A node of which just its past is known."""
    readings = {
        "history_clock": NOW,
        "corosync_log:86400": log,
        "line_before:86400": before,
        "counters": Missing("it was not asked"),
    }
    return NodeFacts("pve1", dict(readings))


def test_a_journal_that_is_older_than_the_window_covers_it() -> None:
    """From the window's begin; without corosync.conf there are no names for the peers, which stops nothing."""
    past = history_of(facts(CorosyncLog((START, LOSS), True), NOW - 30 * HOUR), 86_400)
    assert (past.since, past.now, past.names, past.counters) == (NOW - 24 * HOUR, NOW, {}, None)


def test_a_young_journal_covers_corosync_from_its_start() -> None:
    """The journal is not kept, or the node is new: what came before corosync was no history of it."""
    assert history_of(facts(CorosyncLog((START, LOSS), True), None), 86_400).since == START.time


def test_a_log_that_is_too_long_covers_what_came() -> None:
    """The newest lines were asked for."""
    assert history_of(facts(CorosyncLog((LOSS,), False), NOW - 30 * HOUR), 86_400).since == LOSS.time


def test_clocks_that_were_set_back_do_not_make_the_future() -> None:
    """An event is never later than now."""
    late = Event(NOW + 5, Kind.LOST, (2,))
    assert history_of(facts(CorosyncLog((late,), True), NOW - 30 * HOUR), 86_400).now == late.time


@pytest.mark.parametrize(
    ("log", "before"),
    [
        (CorosyncLog((LOSS,), True), None),
        (CorosyncLog((), True), None),
        (Missing("the node keeps no journal that could be read."), NOW - 30 * HOUR),
        (CorosyncLog((START, LOSS), True), Missing("journalctl timed out.")),
    ],
)
def test_what_the_journal_does_not_cover_is_unknown(log: object, before: object) -> None:
    """An empty journal is not a quiet one."""
    with pytest.raises(UnknownFact):
        history_of(facts(log, before), 86_400)
