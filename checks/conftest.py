"""Nothing here can change a node: a run over checks/ sends registered probes and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pve_runbook.facts.node_state import NodeState

if TYPE_CHECKING:  # pytest loads this file before the nodes are reached, and all of these take their time
    from pve_runbook.cluster.cluster import Cluster
    from pve_runbook.cluster.node import Node
    from pve_runbook.diagnosis.watch import Watched
    from pve_runbook.options.options import RunOptions
    from pve_runbook.plugin.open_run import OpenRun
    from testinfra.host import Host

STANDALONE = (NodeState.STANDALONE, NodeState.STANDALONE_LEFTOVERS, NodeState.STANDALONE_COROSYNC_RUNNING)


@pytest.fixture
def member(host: Host) -> None:
    """This check is for members of a cluster; it is not evaluated on a standalone node."""
    if host.pve.state in STANDALONE:
        pytest.skip("this node is standalone; the check is for members of a cluster")


@pytest.fixture
def connected(host: Host, member: None) -> None:
    """This check is about the present membership; it is not evaluated where corosync does not run."""
    if not host.pve.is_corosync_running:
        pytest.skip("corosync does not run here: this node sees no membership that could hold or change")


@pytest.fixture
def standalone(host: Host) -> None:
    """This check is for standalone nodes; it is not evaluated on a member of a cluster."""
    if host.pve.state not in STANDALONE:
        pytest.skip(f"this node is no standalone node: {host.pve.state.meaning}")


@pytest.fixture
def taken_apart(host: Host) -> None:
    """This check tells a standalone node from a half-dismantled one; it is not evaluated on a whole member."""
    if host.pve.state not in (*STANDALONE, NodeState.HALF_DISMANTLED):
        pytest.skip(f"this node is no standalone node: {host.pve.state.meaning}")


@pytest.fixture
def clustered(cluster: Cluster) -> list[Node]:
    """The nodes that belong to a cluster; not evaluated where there is none left."""
    found = [n for n in cluster.nodes if n.facts.state not in STANDALONE]
    if not found:
        pytest.skip("every node is standalone: there is no cluster link")
    return found


@pytest.fixture
def apart(cluster: Cluster) -> list[Node]:
    """The standalone nodes; not evaluated where there are not two of them."""
    found = [n for n in cluster.nodes if n.facts.state in STANDALONE]
    if len(found) < 2:
        pytest.skip("there are no two standalone nodes that a new cluster could be made of")
    return found


@pytest.fixture(scope="session")
def watched(opened: OpenRun, options: RunOptions) -> Watched:
    """What changed while the nodes were watched; not evaluated without --watch."""
    if not options.watch:
        pytest.skip("nobody asked to watch: --watch=SECONDS")
    from pve_runbook.diagnosis.watch import watch

    return watch(opened.cluster, options.watch, opened.run.screen.progress)
