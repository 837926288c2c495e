"""A member that is not reached: what the others know of it decides what is to be done."""

from __future__ import annotations

import pytest
from lab_bench import MakeBench
from lab_facts import facts_of
from lab_verdict import pasts
from pve_runbook.diagnosis.verdict import Verdict, diagnose
from pve_runbook.parsers.output import Output
from pve_runbook.parsers.pmxcfs import parse_members
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import Missing

REFUSED = {"pve3": "not reached (it refused the login)"}


def members_text(online: int) -> Output:
    """As pmxcfs wrote it while pve3's pve-cluster was stopped, and its corosync ran."""
    nodes = ((1, 1), (2, 1), (3, online))
    rows = ",\n".join(f'  "pve{i}": {{ "id": {i}, "online": {up}, "ip": "10.55.0.1{i}"}}' for i, up in nodes)
    cluster = '"cluster": { "name": "labcluster", "version": 3, "nodes": 3, "quorate": 1 }'
    return Output(f'{{\n"nodename": "pve1",\n"version": 5,\n{cluster},\n"nodelist": {{\n{rows}\n  }}\n}}\n', "", 0)


@pytest.mark.parametrize(
    ("by_pve1", "by_pve2", "verdict"),
    [(0, 0, Verdict.REPAIR), (0, 1, Verdict.HEALTHY), (1, 1, Verdict.HEALTHY), (None, None, Verdict.HEALTHY)],
)
def test_its_corosync_is_seen_and_its_pmxcfs_is_not(
    by_pve1: int | None, by_pve2: int | None, verdict: Verdict, make_bench: MakeBench
) -> None:
    """pve-cluster is to be started there: with it the keys in /etc/pve went, by which it is logged in to."""
    bench = make_bench("quorate")
    reached = [f for f in facts_of(bench) if f.node != "pve3"]
    for facts, online in zip(reached, (by_pve1, by_pve2), strict=True):
        said = Missing("no answer") if online is None else parse_members(members_text(online))
        facts.readings[probes.MEMBERS.name] = said
    for off, absent in ((REFUSED, frozenset[str]()), ({}, frozenset({"pve3"}))):
        found = diagnose(reached, pasts(bench, reached), off, absent)
        assert found.verdict is verdict, str(found)
        assert ("pve-cluster does not run" in str(found)) is (verdict is Verdict.REPAIR)
        assert ("systemctl start pve-cluster" in found.advice) is (verdict is Verdict.REPAIR)


@pytest.mark.parametrize("stopped", ["pve-cluster", "corosync", ""])
def test_the_others_pmxcfs_tell_what_runs_on_it(stopped: str, make_bench: MakeBench) -> None:
    bench = make_bench("quorate")
    if stopped:
        bench.node("pve3").units.stop(stopped)
    reached = [f for f in facts_of(bench) if f.node != "pve3"]
    listed = [f.members.nodes["pve3"].online for f in reached if f.members is not None and f.members.nodes is not None]
    assert listed == [stopped == ""] * 2
    found = diagnose(reached, pasts(bench, reached), REFUSED)
    assert ("pve3: corosync runs there, and the others' pmxcfs do not see its own" in str(found)) is (
        stopped == "pve-cluster"
    ), str(found)
