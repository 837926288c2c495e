"""checks/ tells a cluster link that comes and goes from one that holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from pve_runbook.journal.events import Batch, of_kind
from pve_runbook.journal.probe_numbers import Questions
from pve_runbook.journal.reading import entry_of

MODULE = "checks/test_stability.py"
FLAPS = "The cluster link does not come and go."
WATCHED = "Neither quorum nor membership changed while it was watched."


def test_flapping_is_found_from_the_past_and_by_watching(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    """On every node, with the way on; one round trip a node for the past; nothing is changed."""
    lab = start_lab("flapping")
    ran = run(MODULE, *lab.options, "--watch=60", "--since=2h")
    assert ran.status == 1, ran.text
    assert ran.outcomes()["not evaluated"] == 3
    titles = [title for title, _ in ran.failed()]
    assert titles.count(FLAPS) == titles.count(WATCHED) == 3
    for title, message in ran.failed():
        if title == FLAPS:
            assert "the cluster link flaps" in message
            assert "went down 4 times" in message
            assert "the verdict at the end says whether to dismantle" in message
    assert "watched 30 of 60 s; nodes that saw a change: 3 of 3" in ran.text
    questions = Questions()
    batches = [(b.node, {p.id for p in questions.of(b)}) for b in of_kind(map(entry_of, ran.journal()), Batch)]
    history = {"corosync_log:7200", "line_before:7200", "counters", "history_clock"}
    assert sorted(node for node, asked in batches if asked & history) == ["pve1", "pve2", "pve3"]
    assert all(asked >= history for _, asked in batches if asked & history)
    assert lab.mutating() == []


@pytest.mark.sweep
def test_a_quorate_cluster_passes_and_is_not_watched_unasked(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    """The check that was not asked for says why it was not evaluated; all facts cost two round trips a node."""
    lab = start_lab("quorate")
    ran = run(MODULE, *lab.options)
    assert ran.status == 0, ran.text
    assert ran.outcomes() == {"passed": 18, "not evaluated": 3}
    reasons = {str(e["message"]) for e in ran.journal() if e["kind"] == "step" and e["outcome"] == "not evaluated"}
    assert reasons == {"nobody asked to watch: --watch=SECONDS"}
    trips = Counter(event["node"] for event in ran.journal() if event["kind"] == "batch")
    assert trips == {"pve1": 2, "pve2": 2, "pve3": 2}
    assert lab.mutating() == []


def test_standalone_nodes_have_no_cluster_link(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    """Not evaluated, with the reason; never green."""
    lab = start_lab("standalone")
    ran = run(MODULE, *lab.options, "--watch=10")
    assert ran.outcomes() == {"not evaluated": 21}


@pytest.mark.sweep
def test_without_corosync_only_the_past_is_judged(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    """A membership that nobody sees neither holds nor changes; what the log tells of before still counts."""
    lab = start_lab("half-dismantled")
    ran = run(MODULE, *lab.options, "--watch=10")
    steps = [(str(e["title"]), e["outcome"]) for e in ran.journal() if e["kind"] == "step"]
    assert {title for title, outcome in steps if outcome == "passed"} == {FLAPS, "The node lets corosync run in time."}
    assert ran.outcomes() == {"passed": 6, "not evaluated": 15}


def test_a_journal_that_is_gone_is_unknown(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    """Where the node cannot be asked, nothing is called steady."""
    lab = start_lab("quorate")
    lab.control.fault(
        "fail", node="pve2", argv=("journalctl", "--unit=corosync.service"), message="No journal files were found."
    )
    ran = run(MODULE, *lab.options)
    unknown = [m for _, m in ran.failed()]
    assert ran.status == 3, ran.text
    assert len(unknown) == 5 and all(m.startswith("pve2: ") and "keeps no journal" in m for m in unknown)
