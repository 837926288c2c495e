"""Fixtures that every module in runbook/ and checks/ may use."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from pve_runbook.plugin.run import RUN, Run
from pve_runbook.work.cluster import Cluster
from pve_runbook.work.histories import Histories
from pve_runbook.work.node import Node

__all__ = ["_leaver", "cluster", "histories", "leaver", "node", "run"]


@pytest.fixture(scope="session")
def run(pytestconfig: pytest.Config) -> Run:
    """The run: its options, its nodes, its baseline, its decisions."""
    return pytestconfig.stash[RUN]


@pytest.fixture(scope="session")
def cluster(run: Run) -> Cluster:
    """All nodes of --hosts."""
    return run.cluster


@pytest.fixture(scope="session")
def histories(run: Run) -> Histories:
    """What the nodes' journals show of the cluster link, --since back."""
    return Histories(run.cluster.nodes, run.cluster.since)


@pytest.fixture
def node(host: Host, run: Run) -> Node:
    """The node that ``host`` stands for: its facts and, in runbook/, its actions."""
    return run.cluster.node(host.backend.get_pytest_id())


@pytest.fixture
def _leaver(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def leaver(_leaver: int, run: Run) -> Node:
    """The node whose turn it is to leave the cluster; the authority is last."""
    return run.leaving[_leaver]
