"""Phase 4: remove corosync, one node at a time, the authority last.

Why: this is the change itself: each node leaves the cluster and becomes its own master.
Not as in the article: `rm /etc/pve/corosync.conf` is refused once corosync is stopped, and a restarted pve-cluster
then writes /etc/corosync/corosync.conf back and starts corosync, which dies without its key: read-only nodes.
So every node goes through pmxcfs's local mode, where the file can be removed, on its own and with a way back.
"""

from __future__ import annotations

from pve_runbook.facts.state import NodeState
from pve_runbook.plugin import questions
from pve_runbook.plugin.approval import approve
from pve_runbook.work.refusal import refusal


def test_there_is_a_second_way_in(host, run, second_way):
    """There is a second way in while /etc/pve is not mounted: a proven key, or the console, by the operator's word."""
    why = second_way[host.pve.node]
    if why:
        approve(run, 4, host.pve.node, questions.console(host.pve.node, why))


def test_nothing_stands_in_the_way(leaver, run):
    """HA is off, nothing moves, the peers are silent, and this node's name and network are as they were."""
    obstacle = run.obstacle(leaver)
    assert not obstacle, obstacle


def test_operator_approves_the_window(leaver, run):
    """The operator approves that this node leaves the cluster now."""
    if leaver.facts.state is not NodeState.STANDALONE:
        approve(run, 4, leaver.name, run.window_text(leaver))


def test_node_leaves(leaver, left_cluster):
    """The node left the cluster: corosync.conf is out of its database, /etc/pve is writable."""
    facts = leaver.facts
    assert not facts.has_corosync_conf_in_database and facts.is_writable, refusal(
        leaver.name,
        seen=f"its state is: {facts.state.meaning}",
        why="the next start of pve-cluster would make it a member again",
        do="Run the same command line again: it goes on from this state",
    )


def test_node_is_standalone(leaver):
    """The node is standalone: nothing of corosync is left that could act."""
    assert leaver.facts.state is NodeState.STANDALONE, refusal(
        leaver.name,
        seen=f"its state is: {leaver.facts.state.meaning}; left: {', '.join(leaver.facts.leftovers) or 'nothing'}",
        why="a node that is neither member nor standalone goes read-only at the next restart",
        do="Run the same command line again: it goes on from this state",
    )


def test_every_guest_runs_on(leaver, run):
    """Every guest on every node runs on; only then is the next node touched."""
    lost = run.losses(4)
    assert not lost, lost
