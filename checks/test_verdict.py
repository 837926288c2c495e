"""Verdict: what all of it means: nothing to do, wait, repair in place, or dismantle; by the article's own criteria."""

from __future__ import annotations

from pve_runbook.work.diagnosis import Verdict, diagnose
from pve_runbook.work.readings import UnknownFact, known_or_why


def test_nothing_has_to_be_done(cluster, run, histories):
    """The cluster is healthy, or every node is standalone."""
    pasts = {n.name: known_or_why(lambda name=n.name: histories.of(name)) for n in cluster.nodes}
    found = run.diagnosis = diagnose([n.facts for n in cluster.nodes], pasts)
    run.note("verdict", str(found))
    if found.verdict is Verdict.UNKNOWN:
        raise UnknownFact("cluster", "what is to be done", str(found))
    assert found.verdict in (Verdict.HEALTHY, Verdict.STANDALONE), str(found)
