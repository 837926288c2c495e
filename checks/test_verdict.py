"""Verdict: what all of it means: nothing to do, wait, repair in place, or dismantle; by the article's own criteria."""

from __future__ import annotations

from pve_runbook.plugin.judgement import judge, show
from pve_runbook.work.diagnosis import Verdict
from pve_runbook.work.readings import UnknownFact


def test_nothing_has_to_be_done(run, histories):
    """The cluster is healthy, or every node is standalone."""
    found = judge(run, histories)
    if found.verdict is Verdict.UNKNOWN:
        raise UnknownFact("cluster", "what is to be done", str(found))
    assert found.verdict in (Verdict.HEALTHY, Verdict.STANDALONE), str(found)
    show(run, found)
