"""Nothing here can change a node: a run over checks/ sends registered probes and nothing else."""

from __future__ import annotations

import pytest
from pve_runbook.facts.state import NodeState
from testinfra.host import Host

STANDALONE = (NodeState.STANDALONE, NodeState.STANDALONE_LEFTOVERS, NodeState.STANDALONE_COROSYNC_RUNNING)


@pytest.fixture
def member(host: Host) -> None:
    """This check is for members of a cluster; it is not evaluated on a standalone node."""
    if host.pve.state in STANDALONE:
        pytest.skip("this node is standalone; the check is for members of a cluster")


@pytest.fixture
def standalone(host: Host) -> None:
    """This check is for standalone nodes; it is not evaluated on a member of a cluster."""
    if host.pve.state not in STANDALONE:
        pytest.skip(f"this node is no standalone node: {host.pve.state.meaning}")
