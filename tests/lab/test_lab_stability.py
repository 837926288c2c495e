"""The lab's journals and counters, asked and judged as checks/ do it."""

from __future__ import annotations

import shlex

import pytest
from lab_bench import Bench, MakeBench
from pve_runbook.diagnosis.stability import Findings, History, Stability, judge
from pve_runbook.parsers.corosync_stats import Counters
from pve_runbook.parsers.output import Output
from pve_runbook.probes import per_subject
from pve_runbook.probes import registry as probes

DAY = "86400"


def said(bench: Bench, node: str, argv: tuple[str, ...]) -> Output:
    found = bench.run(node, shlex.join(argv))
    return Output(found.stdout, found.stderr, found.exit_status)


def counters(bench: Bench, node: str) -> Counters | None:
    return probes.COUNTERS.parse(said(bench, node, probes.COUNTERS.argv))


def findings(bench: Bench, node: str = "pve1", seconds: str = DAY) -> Findings:
    log = per_subject.COROSYNC_LOG.parse(said(bench, node, per_subject.COROSYNC_LOG.argv(seconds)))
    since = log.events[0].time if log.events else bench.node(node).wall - float(seconds)
    return judge(History(log, since, bench.node(node).wall, {}, counters(bench, node)))


def test_a_cluster_that_came_up_long_ago_is_steady(make_bench: MakeBench) -> None:
    """The burst of its start is in the journal, and no change."""
    bench = make_bench("quorate")
    raw = bench.run("pve1", "journalctl -u corosync -o cat --no-pager").stdout
    assert raw.count("has no active links") == 6
    assert "is within the primary component" in raw
    found = findings(bench)
    assert (found.state, found.changes, found.is_quiet) == (Stability.STEADY, 0, True)
    assert 5200 < found.covered < 5300


def test_flapping_is_in_the_journal_while_the_cluster_is_quorate(make_bench: MakeBench) -> None:
    """As in the recorded one; corosync's counters tell the same."""
    bench = make_bench("flapping")
    while not bench.node("pve1").corosync.quorate:
        bench.advance(1)
    found = findings(bench)
    assert (found.state, found.lost) == (Stability.FLAPPING, ())
    seen = counters(bench, "pve1")
    assert seen is not None
    assert {x.losses for x in seen.links if x.nodeid != 1} == {4}


def test_a_cluster_that_fell_apart_has_lost_its_members(make_bench: MakeBench) -> None:
    """Once, and nobody is back; after the network is whole they are."""
    bench = make_bench("broken")
    assert (findings(bench).state, findings(bench).lost) == (Stability.LOST, ("node 2", "node 3"))
    bench.cluster.heal()
    assert (findings(bench).state, findings(bench).lost) == (Stability.SETTLING, ())


def test_a_member_that_stops_says_so(make_bench: MakeBench) -> None:
    """A stopped corosync is no loss to its peers; one whose power went is."""
    bench = make_bench("quorate")
    bench.run("pve3", "systemctl stop corosync")
    found = findings(bench)
    assert (found.state, found.lost, found.changes) == (Stability.STEADY, (), 1)
    bench.node("pve2").power_off()
    assert (findings(bench).state, findings(bench).lost) == (Stability.LOST, ("node 2",))


def test_a_window_without_a_line_is_quiet(make_bench: MakeBench) -> None:
    """Exit status 1 and "-- No entries --" as of systemd's journalctl; what was before the window is known."""
    bench = make_bench("quorate")
    answer = said(bench, "pve1", per_subject.COROSYNC_LOG.argv("600"))
    assert (answer.exit_status, answer.stdout) == (1, "-- No entries --\n")
    assert findings(bench, seconds="600").state is Stability.STEADY
    before = per_subject.LINE_BEFORE.parse(said(bench, "pve1", per_subject.LINE_BEFORE.argv("600")))
    assert before is not None and before < bench.node("pve1").wall - 600
    assert per_subject.LINE_BEFORE.parse(said(bench, "pve1", per_subject.LINE_BEFORE.argv(DAY))) is None


def test_lines_are_counted_from_the_newest(make_bench: MakeBench) -> None:
    """--reverse --lines=2: the last two, the last first."""
    bench = make_bench("flapping")
    ask = "journalctl --unit=corosync.service --grep='link: 0 is (up|down)' -o cat --no-pager"
    every = bench.run("pve1", ask).stdout.splitlines()
    assert bench.run("pve1", f"{ask} --reverse --lines=2").stdout.splitlines() == [every[-1], every[-2]]


@pytest.mark.parametrize("scenario", ["standalone", "half-dismantled"])
def test_no_corosync_no_counters(make_bench: MakeBench, scenario: str) -> None:
    """An answer, not an error."""
    assert counters(make_bench(scenario), "pve1") is None


def test_nothing_of_it_changes_a_node(make_bench: MakeBench) -> None:
    """By the lab's own log of what means to change."""
    bench = make_bench("flapping")
    findings(bench)
    said(bench, "pve1", per_subject.LINE_BEFORE.argv(DAY))
    said(bench, "pve1", per_subject.PAUSE.argv("5"))
    assert bench.mutations() == []
