"""Fixtures that every module in runbook/ and checks/ may use. Those that can change a node stand in runbook/ alone."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from pve_runbook.cluster.cluster import Cluster
from pve_runbook.cluster.node import Node
from pve_runbook.diagnosis.history import Histories
from pve_runbook.options.options import RunOptions
from pve_runbook.plugin.cluster_verdict import ClusterVerdict
from pve_runbook.plugin.open_run import OPENED, OpenRun
from pve_runbook.plugin.testinfra_backend import host_of
from pve_runbook.procedure.members import Members
from pve_runbook.procedure.notes import Notes

__all__ = [
    *("_leaver", "cluster", "cluster_verdict", "histories", "host", "leaver", "members", "node"),
    *("notes", "opened", "options"),
]


# pytest goes through all that a fixture asks for again at every step that asks for it: none asks for another one here.


@pytest.fixture(scope="session")
def opened(pytestconfig: pytest.Config) -> OpenRun:
    """The run, once its nodes are connected."""
    return pytestconfig.stash[OPENED]


@pytest.fixture(scope="session")
def options(pytestconfig: pytest.Config) -> RunOptions:
    """The command line, checked."""
    return pytestconfig.stash[OPENED].run.options


@pytest.fixture(scope="session")
def notes(pytestconfig: pytest.Config) -> Notes:
    """What puts decisions, findings, and what is left to do into the record."""
    return pytestconfig.stash[OPENED].run.notes


@pytest.fixture(scope="session")
def members(pytestconfig: pytest.Config) -> Members:
    """Whose cluster the nodes are, under which names, who is the authority, in which order they leave."""
    return pytestconfig.stash[OPENED].members


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Cluster:
    """All nodes of --hosts."""
    return pytestconfig.stash[OPENED].cluster


@pytest.fixture(scope="session")
def histories(pytestconfig: pytest.Config) -> Histories:
    """What the nodes' journals show of the cluster link, --since back."""
    return pytestconfig.stash[OPENED].histories


@pytest.fixture(scope="session")
def cluster_verdict(pytestconfig: pytest.Config) -> ClusterVerdict:
    """What judges the cluster as a whole."""
    return ClusterVerdict(pytestconfig.stash[OPENED])


@pytest.fixture(scope="module")
def node(request: pytest.FixtureRequest) -> Node:
    """The node that ``host`` stands for: its facts and, in runbook/, its actions."""
    return request.config.stash[OPENED].cluster.node(request.param)


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Host:
    """testinfra's host, over the run's own connection; its facts are ``host.pve``. In place of testinfra's fixture."""
    return host_of(request.config.stash[OPENED].cluster.node(request.param))


@pytest.fixture
def _leaver(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def leaver(_leaver: int, members: Members) -> Node:
    """The node whose turn it is to leave the cluster; the authority is last."""
    return members.leaving[_leaver]
