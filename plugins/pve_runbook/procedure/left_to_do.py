"""What a run leaves to the operator: the way back, what still ties the nodes together, what comes back by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from pve_runbook.actions.commits import STOP_FIREWALL_COMMIT, STOP_SDN_COMMIT
from pve_runbook.actions.disarm import DISARM_HA
from pve_runbook.cluster.node import Node
from pve_runbook.diagnosis.shared_storage import owners_in_words, shared_by_guests, signs_of_ceph
from pve_runbook.diagnosis.volumes import left_without
from pve_runbook.facts import copies
from pve_runbook.journal.events import ActionIntent, Entry, Note, of_kind
from pve_runbook.parsers.guests import FOLDERS, GuestConfig
from pve_runbook.probes import per_subject
from pve_runbook.probes.probe import BACKUP_ROOT, CONFIG_DB
from pve_runbook.procedure.members import Members
from pve_runbook.procedure.startall.words import DOWN

QDEVICE_LEFT = (
    "the QDevice's host{host} still knows this cluster, and `pvecm qdevice remove` cannot be used any more: remove "
    "what it keeps of it in /etc/corosync/qnetd there by hand"
)
CEPH_LEFT = (
    "Ceph goes on as one cluster over these nodes; its configuration and keyrings in /etc/pve are now one copy a node, "
    "and what is changed on one does not reach the others. When all is well: ceph osd unset noout"
)


QDEVICE, QDEVICE_AT = "qdevice", "corosync.conf has a QDevice at "
"""The topic of the notes on it, and how they begin."""
ACME_LEFT = (
    "each node has a copy of the ACME account {names}, and renews its own certificate with it: what one of them "
    "deactivates (`pvenode acme account deactivate`) is deactivated for all; register another where it matters"
)
KEEP_BACKUPS = (
    "{folder} on each node and backups/ beside this record hold keys and password hashes: attach report.html only, "
    "and delete them once the rebuild is done"
)
PENDING = {
    STOP_SDN_COMMIT.name: "pve-sdn-commit was stopped before it acted: pending SDN changes, and what is edited in "
    "/etc/network/interfaces, are not applied. The next boot applies them, or `systemctl start pve-sdn-commit`, which "
    "reloads the network (`ifreload -a`) under running guests: look at both first",
    STOP_FIREWALL_COMMIT.name: "pve-firewall-commit was stopped before it acted: pending changes of the host's "
    "firewall are not applied. The next boot applies them, or `systemctl start pve-firewall-commit`",
    DISARM_HA.name: "HA was disarmed before it was stopped (`ha-manager crm-command disarm-ha freeze`), and a "
    "manager_status of that time says so, the parked one too: where HA runs with it again, `ha-manager crm-command "
    "arm-ha`",
}
"""Action → what it leaves."""
NEVER_AGAIN = "must never be powered on in this network as it is: it would come back as a member that nobody knows"


def others(name: str, nodes: Sequence[Node], absent: Sequence[str]) -> str:
    """The members beside ``name``, as --hosts and --absent take them. Raises UnknownFact."""
    return ",".join([*(n.facts.hostname for n in nodes), *(a for a in absent if a != name)])


def its_return(name: str, others: str) -> str:
    """What happens when a member that was powered off comes back."""
    return (
        f"Unless it has left the cluster already, {name} comes back, when it is powered on, with its old corosync.conf "
        "and authkey: alone, without quorum; its guests do not start. Never start it beside a rebuilt cluster while it "
        f"has them; HA on it has to be off. Take it out alone first: pytest runbook/ --hosts={name} --absent={others}\n"
    )


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
    nodes: Sequence[Node], work: str, absent: Sequence[str], entries: Iterable[Entry]
) -> list[tuple[str | None, str]]:
    """(node or None for all, text) of what the operator has to do after the run.

    ``absent`` are the members that were powered off, ``entries`` those of the journal of the run and of the one that it
    took up. Raises UnknownFact.
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
        back = its_return(name, others(name, nodes, absent)).rstrip()
        left.append((None, f"{name} was not part of this. {back}"))
    left += [(None, QDEVICE_LEFT.format(host=host)) for host in _qdevice_hosts(entries)]
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
        left += [(node.name, text) for text in left_without(facts, [n.facts for n in nodes])]
        foreign = sorted({g.node for g in facts.all_guests.values() if g.node != facts.hostname})
        if foreign:
            left.append((node.name, f"configs of guests of {', '.join(foreign)} are still in its /etc/pve/nodes"))
        if facts.guests:
            with_guests.append(node.name)
    left += _copies(nodes, absent)
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


def _qdevice_hosts(entries: Iterable[Entry]) -> list[str]:
    """How the hosts of the QDevices are named that the nodes had, or "" where that is not known."""
    notes = [note for note in of_kind(entries, Note) if note.topic == QDEVICE]
    hosts = dict.fromkeys(note.text.partition(QDEVICE_AT)[2].partition(";")[0] for note in notes)
    return [f" {host}".rstrip() for host in hosts]


def _copies(nodes: Sequence[Node], others: Sequence[str]) -> list[tuple[str | None, str]]:
    """What each node's own copy of the configuration goes on doing by itself. ``others``: members that are none of
    ``nodes``. Raises UnknownFact."""
    names = [*(n.facts.hostname for n in nodes), *others]
    left: list[tuple[str | None, str]] = [
        (node.name, text)
        for node in nodes
        for text in copies.acting(node.facts, [name for name in names if name != node.facts.hostname])
    ]
    if nodes and (accounts := copies.acme_accounts(nodes[0].ask_about(per_subject.ENTRIES, CONFIG_DB))):
        left.append((None, ACME_LEFT.format(names=", ".join(accounts))))
    return left


def still_down(entries: Iterable[Entry]) -> list[tuple[str | None, str]]:
    """(node, text) of the guests that were down when the work began, and that nobody starts.

    ``entries`` as for :func:`what_is_left`.
    """
    return list(dict.fromkeys((note.node, note.text) for note in of_kind(entries, Note) if note.topic == DOWN))


def not_applied(entries: Iterable[Entry]) -> list[tuple[str | None, str]]:
    """(node, text) of what waited for quorum to be applied, and was stopped: it is still pending.

    ``entries`` as for :func:`what_is_left`.
    """
    sent = dict.fromkeys((intent.node, intent.action) for intent in of_kind(entries, ActionIntent))
    return [(node, PENDING[action]) for node, action in sent if action in PENDING]


def where_others_stay(members: Members, work: str, absent: Sequence[str]) -> list[tuple[str | None, str]]:
    """(node or None for all, text) of what the operator has to do after the run. Raises UnknownFact."""
    gone = members.is_let_go
    stay = [n.facts.hostname for n in members.staying]
    first = members.staying[0].facts
    left: list[tuple[str | None, str]] = []
    for node in members.leaving:
        name = node.facts.hostname
        left.append(
            (
                node.name,
                f"HA stays off there; its files are parked in {BACKUP_ROOT}/{work}/parked. The folders of "
                f"{', '.join(stay)} are still in its /etc/pve/nodes: delete them before anything is restored there",
            )
        )
        left += [(node.name, text) for text in left_without(node.facts, [n.facts for n in members.cluster.nodes])]
        left.append((node.name, f"{', '.join(stay)} still trust its root key, and it trusts theirs: {_trust(name)}"))
    for name in gone:
        if name in absent:
            left.append((None, f"{name} {NEVER_AGAIN}. Its root key is still trusted: {_trust(name)}"))
            left += [(None, text) for text in _orphans(name, first.all_guests.values(), members.staying)]
        else:
            left.append(
                (
                    None,
                    f"/etc/pve/nodes/{name} is still there on {', '.join(stay)}: copies of the configs of guests that "
                    f"run on {name}; delete it once you have seen what is in it",
                )
            )
    for file, what in _named(first.tree.files, gone).items():
        left.append((None, f"{file} still names {what}: take it out (it does nothing while the name is unused)"))
    left.append((None, f"if a name of {', '.join(gone)} is used again: `pvecm updatecerts` on those that stay, first"))
    left += _copies(members.leaving, [*stay, *(name for name in gone if name in absent)])
    for storage, owners in shared_by_guests([n.facts for n in members.cluster.nodes], absent).items():
        if set(owners) & set(gone):
            left.append(
                (None, f"storage {storage} holds disks of guests of {owners_in_words(owners)}: no lock crosses them")
            )
    left.append(
        (
            None,
            f"{BACKUP_ROOT}/{work} on each node and backups/ beside this record hold keys, tokens and password hashes: "
            "attach report.html only, and delete them when they are not needed any more",
        )
    )
    return left


def _trust(name: str) -> str:
    return f"the line that ends in root@{name} in /etc/pve/priv/authorized_keys, and {name} in known_hosts"


def _orphans(name: str, guests: Collection[GuestConfig], staying: Sequence[Node]) -> list[str]:
    """What of a dead node's guests remains: where their configs are, and how one is taken over."""
    found = []
    for guest in sorted((g for g in guests if g.node == name), key=lambda g: g.vmid):
        stores = sorted({v.storage for v in guest.volumes})
        reach = [
            n.name
            for n in staying
            if stores and all(s in n.facts.storages and n.facts.storages[s].is_shared for s in stores)
        ]
        folder = FOLDERS[guest.kind]
        line = f"mv /etc/pve/nodes/{name}/{folder}/{guest.vmid}.conf /etc/pve/nodes/NODE/{folder}/"
        where = (
            f"its disks are in reach of {', '.join(reach)}: {line}"
            if reach
            else (f"its disks ({', '.join(stores) or 'none'}) are on {name} itself: restore it from a backup")
        )
        found.append(f"guest {guest.vmid} of {name} has its config in /etc/pve/nodes/{name} still; {where}")
    return found


_FILES = ("ha/groups.cfg", "ha/rules.cfg", "storage.cfg", "jobs.cfg", "vzdump.cron")


def _named(files: Mapping[str, bytes], names: Sequence[str]) -> dict[str, str]:
    """File of /etc/pve → the names that it still has."""
    found = {}
    for file in _FILES:
        words = (files.get(file) or b"").decode(errors="replace").replace(",", " ").replace(":", " ").split()
        named = [name for name in names if name in words]
        if named:
            found[f"/etc/pve/{file}"] = ", ".join(named)
    return found
