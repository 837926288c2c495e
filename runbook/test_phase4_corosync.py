"""Phase 4: remove corosync, one node at a time, the authority last.

Why: this is the change: each node leaves the cluster and is its own master.
Not as in the article: `rm /etc/pve/corosync.conf` is refused once corosync is stopped, and a restarted pve-cluster
then writes /etc/corosync/corosync.conf back and starts corosync, which dies without its key: read-only nodes.
So every node goes through pmxcfs's local mode, where the file can be removed, on its own and with a way back.

With --leave: only the nodes that leave have a window.

Sends, where it is still to be done:
    install -m 0600 /dev/stdin /root/.ssh/authorized_keys2
    install -m 0700 /dev/stdin /var/lib/pve-runbook/RUN/window.sh
    systemd-run --no-block --unit=pve-runbook-window-ATTEMPT --collect --description=pve-runbook -p Type=oneshot
        /bin/bash /var/lib/pve-runbook/RUN/window.sh
    systemctl unmask --runtime corosync.service
    systemctl disable corosync.service

The script, on the node by itself:
    systemctl stop pve-cluster.service
    systemctl mask --runtime pve-cluster.service
    pmxcfs -l
    rm -f /etc/pve/corosync.conf
    rm -f /etc/corosync/corosync.conf /etc/corosync/authkey
    pkill -TERM -x pmxcfs
    systemctl unmask --runtime pve-cluster.service
    systemctl start pve-cluster.service
"""

from __future__ import annotations

import pytest
from pve_runbook.facts.node_state import NodeState
from pve_runbook.procedure.window_preconditions import window_obstacle
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.not_applicable import LEFT_ALREADY, NotApplicable
from pve_runbook.refusal.text import refusal

pytestmark = pytest.mark.leaving


def test_there_is_a_second_way_in(host, second_way, questions, approve):
    """There is a second way in while /etc/pve is not mounted: a proven key, or the console, by the operator's word."""
    why = second_way[host.pve.node]
    if why:
        approve(questions.console(4, host.pve.node, why))


def test_nothing_stands_in_the_way(leaver, cluster, members, survival):
    """HA is off, nothing moves, the peers are silent, and this node's name and network, live too, are as they were."""
    network = survival.network_of(leaver)
    obstacle = window_obstacle(leaver, cluster.nodes, members.authority, network, members.staying)
    assert not obstacle, obstacle
    lost = survival.network_lost(leaver)
    assert not lost, lost


def test_operator_approves_the_window(leaver, members, questions, approve):
    """The operator approves that this node leaves the cluster now."""
    if leaver.facts.state is NodeState.STANDALONE:
        raise NotApplicable(LEFT_ALREADY)
    approve(questions.window(leaver, is_last=leaver is members.authority))


def test_node_leaves(leaver, left_cluster):
    """The node left the cluster: corosync.conf is out of its database, /etc/pve is writable."""
    facts = leaver.facts
    assert not facts.has_corosync_conf_in_database and facts.is_writable, refusal(
        RefusalId.NODE_DID_NOT_LEAVE,
        leaver.name,
        seen=f"its state is: {facts.state.meaning}",
        why="the next start of pve-cluster would make it a member again",
        do="Run the same command line again: it goes on from this state",
    )


def test_node_is_standalone(leaver):
    """The node is standalone: nothing of corosync is left that could act."""
    assert leaver.facts.state is NodeState.STANDALONE, refusal(
        RefusalId.NOT_STANDALONE,
        leaver.name,
        seen=f"its state is: {leaver.facts.state.meaning}; left: {', '.join(leaver.facts.leftovers) or 'nothing'}",
        why="a node that is neither member nor standalone goes read-only at the next restart",
        do="Run the same command line again: it goes on from this state",
    )


def test_network_is_untouched(leaver, survival):
    """Addresses, links and bridge ports of the node are, after its window, as this run found them."""
    lost = survival.network_lost(leaver)
    assert not lost, lost


def test_every_guest_runs_on(leaver, survival):
    """Every guest on every node runs on; only then is the next node touched."""
    lost = survival.losses(4)
    assert not lost, lost
