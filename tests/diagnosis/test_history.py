"""How far back a node's journal is complete, and that what it does not cover is unknown."""

from __future__ import annotations

import pytest
from pve_lab.formats.corosync_conf import Member, render
from pve_runbook.diagnosis.history import history_of, names_of
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.config_db import ConfigTree
from pve_runbook.parsers.corosync_conf import CorosyncConf, parse_corosync_conf_text
from pve_runbook.parsers.corosync_log import CorosyncLog, Event, Kind
from pve_runbook.probes.answers import Missing, UnknownFact

NOW = 1_795_500_000.0
HOUR = 3600.0
LOSS = Event(NOW - 2 * HOUR, Kind.LOST, (2,))
START = Event(NOW - 5 * HOUR, Kind.STARTED)
EMPTY = ConfigTree(1, 0, 0, {})


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
    known = facts(CorosyncLog((START, LOSS), True), NOW - 30 * HOUR)
    past = history_of(known, 86_400)
    assert (past.since, past.now, past.names, past.counters) == (NOW - 24 * HOUR, NOW, {}, None)
    assert history_of(known, 86_400, {2: "pve2"}).names == {2: "pve2"}


def conf(cluster: str, version: int, *names: str) -> CorosyncConf:
    members = [Member(name, number, 1, f"10.0.0.{number}") for number, name in enumerate(names, 1)]
    return parse_corosync_conf_text(render(cluster, version, members))


def test_who_has_no_configuration_any_more_has_the_names_of_those_that_have() -> None:
    """The newest counts; of two clusters none does."""
    left = NodeFacts("pve1", {"tree": Missing("it was not asked"), "etc_corosync_conf": None})
    older, newer = (
        NodeFacts(n, {"tree": EMPTY, "etc_corosync_conf": conf("lab", v, *names)})
        for n, v, names in (("pve2", 3, ("pve1", "pve2", "old")), ("pve3", 4, ("pve1", "pve2", "pve3")))
    )
    assert names_of([left, newer, older]) == {1: "pve1", 2: "pve2", 3: "pve3"}
    assert names_of([left]) == {}
    other = NodeFacts("x", {"tree": EMPTY, "etc_corosync_conf": conf("other", 9, "x")})
    assert names_of([older, other]) == {}


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
