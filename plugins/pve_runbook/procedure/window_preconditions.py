"""What is read again right before a node's window: minutes have passed, and others may have touched the nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pve_runbook.cluster.node import Node
from pve_runbook.diagnosis.leaving import not_quorate
from pve_runbook.diagnosis.refusals import AGAIN, doubled_start
from pve_runbook.diagnosis.refusals_cluster import startall_not_held, starts_wait
from pve_runbook.facts.node_state import NodeState
from pve_runbook.probes import registry as probes
from pve_runbook.probes import start_jobs
from pve_runbook.probes.probe import Probe
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

LOOKED_AT: tuple[Probe[object], ...] = (
    *(probes.UNIT_STATES, probes.JOBS, probes.CRON, probes.WATCHDOG, probes.TASK_PROCESSES, start_jobs.HELD),
    *(probes.NETWORK_FILES, probes.NETWORK_DROP_INS, probes.ADDRESSES, probes.COROSYNC_PROCESS, probes.PVE_MODE),
)
"""What tells whether something came back that was switched off, or began, or was changed by another hand."""


def window_obstacle(
    leaver: Node,
    nodes: Sequence[Node],
    authority: Node | None,
    network: Mapping[str, str],
    staying: Sequence[Node] = (),
) -> str:
    """The first thing that forbids the window of ``leaver``, in words; "" when nothing does.

    ``network``: file → SHA-256 as at the baseline. ``staying``: those of ``nodes`` that stay a cluster. Raises
    UnknownFact.
    """
    if leaver.facts.state is NodeState.STANDALONE:
        return ""
    for node in nodes:
        if node in staying:
            if not node.facts.is_quorate:
                return not_quorate(node.facts)
            continue
        found = _awake(node) or (_noisy(node) if node is not authority else "")
        if found:
            return found
    return _changed(leaver, network) or _waiting(leaver) or _unheld(leaver) or _moving(leaver)


def restore_obstacle(node: Node, nodes: Sequence[Node], network: Mapping[str, str]) -> str:
    """The first thing that forbids to put ``node`` back now, in words; "" when nothing does.

    ``network`` as for :func:`window_obstacle`. Raises UnknownFact.
    """
    for one in nodes:
        found = _awake(one)
        if found:
            return found
    return _changed(node, network) or _waiting(node) or _moving(node)


def changed_files(node: Node, network: Mapping[str, str]) -> list[str]:
    """The files of the network that are not as in ``network``, file → SHA-256. Raises UnknownFact."""
    now = node.facts.network_files
    return sorted(path for path in network.keys() | now.keys() if network.get(path) != now.get(path))


def _awake(node: Node) -> str:
    """HA switched on again (the article's third mistake), or a scheduler."""
    facts = node.facts
    for name in ("pve-ha-lrm.service", "pve-ha-crm.service"):
        unit = facts.units[name]
        if not unit.is_stopped or unit.is_enabled or unit.job is not None:
            waits = ", and its start waits" if unit.job is not None else ""
            return refusal(
                RefusalId.HA_IS_BACK,
                node.name,
                seen=f"{name} is {unit.active} and {unit.file_state} again{waits}",
                why="HA would declare the node that leaves dead, and start its guests elsewhere",
                do=AGAIN,
            )
    if facts.has_watchdog_client:
        return refusal(
            RefusalId.WATCHDOG_CLIENT_IS_BACK,
            node.name,
            seen="a watchdog client is active again",
            why="it can reset the node in the middle of the window",
            do="Find it: `ss -xp src /run/watchdog-mux.sock`; do not kill it",
        )
    if facts.scheduler_runs and facts.state is not NodeState.STANDALONE:
        return refusal(
            RefusalId.SCHEDULER_IS_BACK,
            node.name,
            seen="the scheduler runs again",
            why="local mode is quorate: overdue jobs would start",
            do=AGAIN,
        )
    return ""


def _noisy(node: Node) -> str:
    """A reboot drops the run-time mask."""
    facts = node.facts
    if facts.state is NodeState.STANDALONE or (facts.corosync.is_stopped and facts.corosync.is_masked):
        return ""
    return refusal(
        RefusalId.PEERS_COROSYNC_IS_BACK,
        node.name,
        seen=f"corosync is {facts.corosync.active} and {facts.corosync.file_state}; it was stopped and masked",
        why="the node was rebooted, or somebody started it: it could rejoin in the middle of a window",
        do=AGAIN,
    )


def _changed(node: Node, network: Mapping[str, str]) -> str:
    """The article's second mistake: migrating the network in the middle of the recovery."""
    changed = changed_files(node, network)
    if changed:
        return refusal(
            RefusalId.NETWORK_CHANGED,
            node.name,
            seen=f"{', '.join(changed)} changed since the baseline",
            why="pmxcfs resolves the node's name when it starts: after a wrong change /etc/pve would not come back",
            do="Put it back, finish the dismantling, and redesign the network after that",
        )
    if not [a for a in node.facts.own_addresses if not a.startswith("127.") and a != "::1"]:
        return refusal(
            RefusalId.OWN_NAME_ON_LOOPBACK,
            node.name,
            seen="its own name resolves to loopback only",
            why="pmxcfs refuses to start then",
            do="Put the node's own address into its /etc/hosts",
        )
    return ""


def _waiting(node: Node) -> str:
    """What acts as soon as /etc/pve is writable: in local mode already, a second before that pmxcfs ends."""
    found = node.facts.held_starts
    return starts_wait(node.facts, found) if found else ""


def _unheld(node: Node) -> str:
    return startall_not_held(node.facts) if node.facts.startall_is_loose else ""


def _moving(node: Node) -> str:
    facts = node.facts
    tasks = facts.tasks_under_way
    if tasks:
        return refusal(
            RefusalId.TASK_IS_BACK,
            node.name,
            seen=f"a task is running: {', '.join(f'{t.type} {t.id}'.strip() for t in tasks)}",
            why="it would lose /etc/pve in the middle",
            do="Wait until it is done, then run the same command line again",
        )
    if facts.waiting_guests_on_shared_storage:
        return doubled_start(facts)
    return ""
