"""A database that no pmxcfs has open: reading it leaves nothing beside it, or it is not read at all."""

from __future__ import annotations

import shlex

import pytest
from lab_bench import Bench, MakeBench
from pve_runbook.cluster.rounds import second_round, tree_probe
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.output import Output
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.probes.probe import CONFIG_DB

LS = "ls -A /var/lib/pve-cluster"


def facts_of(bench: Bench, node: str) -> NodeFacts:
    """What decides how the database may be opened."""
    facts = NodeFacts(node, {})
    for probe in (probes.PMXCFS_PROCESS, probes.DB_DIR):
        said = bench.run(node, shlex.join(probe.argv))
        facts.readings[probe.name] = probe.parse(Output(said.stdout, said.stderr, said.exit_status))
    return facts


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    """A broken cluster; pve-cluster of pve1 is stopped, its database was closed cleanly."""
    return make_bench("unmounted")


def test_an_ordinary_open_would_leave_files(bench: Bench) -> None:
    """As on PVE 8.3: what the other way of opening it is for."""
    before = bench.run("pve1", LS).stdout
    bench.run("pve1", shlex.join(probes.TREE.argv))
    assert bench.run("pve1", LS).stdout != before


def test_it_is_read_as_one_that_nobody_writes(bench: Bench) -> None:
    before = bench.run("pve1", LS).stdout
    probe = tree_probe(facts_of(bench, "pve1"))
    assert probe is probes.TREE_AT_REST
    said = bench.run("pve1", shlex.join(probe.argv))
    assert "corosync.conf" in probe.parse(Output(said.stdout, said.stderr, said.exit_status)).files
    assert bench.run("pve1", LS).stdout == before


def test_with_a_log_beside_it_it_is_not_read(bench: Bench) -> None:
    """What is in the log would be missed, and an ordinary open would write: so it is unknown."""
    bench.run("pve1", f"touch {CONFIG_DB}-wal")
    facts = facts_of(bench, "pve1")
    assert tree_probe(facts) is None
    assert not [q for q in second_round(facts) if q.key == probes.TREE.name]
    with pytest.raises(UnknownFact, match="it was not asked"):
        _ = facts.tree


def test_while_pmxcfs_serves_it_it_is_opened_as_ever(bench: Bench) -> None:
    assert tree_probe(facts_of(bench, "pve2")) is probes.TREE
