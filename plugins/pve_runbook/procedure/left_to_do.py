"""What the operator is asked before anything that cannot simply be taken back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pve_runbook.work.node import Node
from pve_runbook.work.probe import BACKUP_ROOT
from pve_runbook.work.sharing import owners_in_words, shared_by_guests, signs_of_ceph

Event = Mapping[str, Any]

QDEVICE_LEFT = (
    "the QDevice's host still knows this cluster, and `pvecm qdevice remove` cannot be used any more: remove what it "
    "keeps of it in /etc/corosync/qnetd there by hand"
)
CEPH_LEFT = (
    "Ceph goes on as one cluster over these nodes; its configuration and keyrings in /etc/pve are now one copy a node, "
    "and what is changed on one does not reach the others. When all is well: ceph osd unset noout"
)


KEEP_BACKUPS = (
    "{folder} on each node and backups/ beside this record hold keys, tokens and password hashes: "
    "attach report.html only, keep them until the rebuild is done, then delete them"
)


def freeze(cluster: str, nodes: Sequence[Node], running: int, folder: str) -> str:
    """Before the first change."""
    names = ", ".join(n.name for n in nodes)
    return (
        f"FREEZE the cluster {cluster}: {names}.\n"
        f"First every node's configuration is backed up into {BACKUP_ROOT} there and into {folder} here, and checked;\n"
        "then scheduler and HA are stopped and disabled on all of them, and stay off after a reboot (HA).\n"
        f"At stake: {running} running guests; they are not touched. Undo: systemctl unmask --runtime pvescheduler,\n"
        "systemctl enable --now pve-ha-lrm pve-ha-crm, start pvescheduler.\n"
        "Before the first node leaves, a key made for this run goes into root's authorized_keys2 (out at the end).\n"
        "By approving you also say that you can reach the console of every node (IPMI, screen) if SSH is lost.\n"
        + waiting(nodes)
    )


def quorum(authority: Node, peers: Sequence[Node], nodes: Sequence[Node]) -> str:
    """Before quorum is forced."""
    names = ", ".join(n.name for n in peers) or "none"
    return (
        f"FORCE QUORUM on {authority.name} alone.\n"
        f"Corosync is stopped and masked (until a reboot) on its peers: {names}; then `pvecm expected 1` there.\n"
        + _qdevice_stops(nodes)
        + f"At stake: /etc/pve becomes writable on {authority.name}, read-only on the others; guests run on.\n"
        "Undo: systemctl unmask --runtime corosync; systemctl start corosync (on the peers); the force ends then.\n"
        + waiting(nodes)
    )


def _qdevice_stops(nodes: Sequence[Node]) -> str:
    names = ", ".join(n.name for n in nodes if has_qdevice(n))
    return f"The QDevice on {names} is stopped and masked first: its vote would refuse the force.\n" if names else ""


def has_qdevice(node: Node) -> bool:
    """Whether the node's corosync.conf has a QDevice. Raises UnknownFact."""
    conf = node.facts.corosync_conf
    return conf is not None and conf.qdevice


def without(name: str, nodes: Sequence[Node], absent: Sequence[str]) -> str:
    """Before a run without the member ``name``, one of ``absent``. Raises UnknownFact."""
    others = _others(name, nodes, absent)
    return (
        f"WITHOUT {name}: by typing this you say that it is powered off, or has left the cluster already.\n"
        "Nothing is read from it, and no backup of it is made; its guests are not part of this run.\n"
        f"If it is not off, stop here: its HA can take over guests that run on {others}.\n" + _its_return(name, others)
    )


def _others(name: str, nodes: Sequence[Node], absent: Sequence[str]) -> str:
    return ",".join([*(n.facts.hostname for n in nodes), *(a for a in absent if a != name)])


def _its_return(name: str, others: str) -> str:
    return (
        f"Unless it has left the cluster already, {name} comes back, when it is powered on, with its old corosync.conf "
        "and authkey: alone, without quorum; its guests do not start. Never let it meet a rebuilt cluster with them; "
        f"HA on it has to be off. Take it out alone, first: pytest runbook/ --hosts={name} --absent={others}\n"
    )


def console(node: str, why: str) -> str:
    """Where a second login could not be proven."""
    return (
        f"NO SECOND WAY INTO {node} could be proven: {why}.\n"
        "While its /etc/pve is not mounted, logins by key fail. If the connection is lost just then, only the console\n"
        f"is left. By approving you say that the console of {node} is open in front of you.\n"
    )


def window(leaver: Node, run: str, is_last: bool) -> str:
    """Before a node leaves."""
    return (
        f"{leaver.name} LEAVES THE CLUSTER{' (the authority, the last one)' if is_last else ''}.\n"
        "For about 10 s /etc/pve is not mounted there and logins by key fail; guests run on.\n"
        "Until pve-cluster is started standalone a step that fails puts the node back by itself; after that the way\n"
        "back is --rollback, until somebody changes a node that left. HA's files are parked in\n"
        f"{BACKUP_ROOT}/{run} there.\n" + waiting([leaver])
    )


def thaw(jobs: Mapping[str, Sequence[str]]) -> str:
    """Before the schedulers run again."""
    lines = [f"THAW: the schedulers run again on {', '.join(jobs)}."]
    for node, found in jobs.items():
        lines += [f"  {node}: {line}" for line in found] or [f"  {node}: no job that deserves a look"]
    lines.append("Undo: systemctl stop pvescheduler. If you say no they stay off; type later, on each node:")
    lines.append("systemctl unmask --runtime pvescheduler; systemctl start pvescheduler; rm /var/lib/pve-runbook/lock")
    return "\n".join(lines)


def waiting(nodes: Sequence[Node]) -> str:
    """Guests that would start the moment their node is granted quorum."""
    found = [f"{n.name}: {', '.join(map(str, n.facts.waiting_guests))}" for n in nodes if n.facts.waiting_guests]
    if not found:
        return ""
    return "These guests wait for quorum and will START the moment it is granted: " + "; ".join(found) + "\n"


def way_back(work: str, record: str) -> str:
    """How the nodes that left are put back: by this tool, or by hand (pve-docs; tried on PVE 8.3, three nodes)."""
    folder = f"{BACKUP_ROOT}/{work}"
    return (
        "only while no node's configuration was changed after it left. From this control host, with the same --hosts:\n"
        f"    pytest runbook/ --rollback={record}\n"
        "Without this record's folder, by hand, on every node:\n"
        "    systemctl stop pve-cluster    # wait until `findmnt /etc/pve` prints nothing\n"
        "    rm -f /var/lib/pve-cluster/config.db-wal /var/lib/pve-cluster/config.db-shm\n"
        f"    install -m 0600 {folder}/config.db /var/lib/pve-cluster/config.db\n"
        f"    tar -C / -xzf {folder}/system.tar.gz etc/corosync\n"
        "    systemctl unmask --runtime corosync; systemctl enable corosync\n"
        "Then on all of them, close together:\n"
        "    systemctl start pve-cluster\n"
        "After five minutes of stable quorum, on every node:\n"
        "    systemctl unmask --runtime pvescheduler; systemctl start pvescheduler\n"
        "    systemctl enable --now pve-ha-lrm pve-ha-crm"
    )


def what_is_left(
    nodes: Sequence[Node], work: str, absent: Sequence[str], events: Iterable[Event]
) -> list[tuple[str | None, str]]:
    """(node or None for all, text) of what the operator has to do after the run.

    ``absent`` are the members that were powered off, ``events`` those of the run and of the one that it took up. Raises
    UnknownFact.
    """
    left: list[tuple[str | None, str]] = [
        (
            None,
            f"HA stays off; its files are parked in {BACKUP_ROOT}/{work}/parked on each node. On the rebuilt cluster: "
            "systemctl enable --now pve-ha-lrm pve-ha-crm, then its resources",
        ),
        (
            None,
            KEEP_BACKUPS.format(folder=f"{BACKUP_ROOT}/{work}"),
        ),
        (None, "the nodes still trust each other's root SSH keys: remove them from /etc/pve/priv/authorized_keys"),
    ]
    for name in absent:
        back = _its_return(name, _others(name, nodes, absent)).rstrip()
        left.append((None, f"{name} was not part of this. {back}"))
    if any(e["kind"] == "note" and e["topic"] == "qdevice" for e in events):
        left.append((None, QDEVICE_LEFT))
    if any(signs_of_ceph(n.facts) for n in nodes):
        left.append((None, CEPH_LEFT))
    used: dict[str, list[str]] = {}
    with_guests = []
    for node in nodes:
        facts = node.facts
        for storage_id, store in facts.storages.items():
            if store.is_shared:
                used.setdefault(storage_id, []).append(node.name)
        for vmid, lock in facts.locked.items():
            left.append(
                (node.name, f"guest {vmid} is locked ({lock}): once nothing works on it, qm unlock (or pct unlock)")
            )
        foreign = sorted({g.node for g in facts.all_guests.values() if g.node != facts.hostname})
        if foreign:
            left.append((node.name, f"configs of guests of {', '.join(foreign)} are still in its /etc/pve/nodes"))
        if facts.guests:
            with_guests.append(node.name)
    shared = shared_by_guests([n.facts for n in nodes], absent)
    for storage_id, by_node in shared.items():
        text = f"storage {storage_id} holds disks of guests of {owners_in_words(by_node)}: no lock crosses the nodes"
        left.append((None, f"{text} any more; create or destroy none of these VMIDs on another node than its own"))
    for storage_id, names in sorted(used.items()):
        if len(names) > 1 and storage_id not in shared:
            left.append(
                (
                    None,
                    f"storage {storage_id} is in reach of {', '.join(names)}: no lock crosses them any more; limit it "
                    f"(pvesm set {storage_id} --nodes NODE) or use distinct VMIDs",
                )
            )
    left.append(
        (
            None,
            "rebuild: only one node may keep its guests and `pvecm create`"
            + (f" (guests are on {', '.join(with_guests)})" if len(with_guests) > 1 else "")
            + "; the others join empty, and without leftover configs of foreign guests",
        )
    )
    return left
