"""Verdict: what all of it means: nothing to do, wait, repair in place, or dismantle; by the article's own criteria."""

from __future__ import annotations

from pve_runbook.diagnosis.verdict import Verdict
from pve_runbook.probes.answers import UnknownFact


def test_nothing_has_to_be_done(cluster_verdict):
    """The cluster is healthy, or every node is standalone."""
    found = cluster_verdict.judge()
    if found.verdict is Verdict.UNKNOWN:
        raise UnknownFact("cluster", "what is to be done", str(found))
    assert found.verdict in (Verdict.HEALTHY, Verdict.STANDALONE), str(found)
    cluster_verdict.show(found)
