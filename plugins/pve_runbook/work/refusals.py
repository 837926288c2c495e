"""What gates say that stand in runbook/ and in checks/ alike: one text for one finding.

Every function takes the node's facts and returns three lines; the caller has judged already.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pve_runbook.work.nodefacts import NodeFacts
from pve_runbook.work.refusal import refusal

AGAIN = "Run the same command line again: it goes on from the state it finds"


def _named(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


def not_root(facts: NodeFacts) -> str:
    """The login is not root's."""
    return refusal(
        facts.node,
        seen="the login is not root",
        why="Proxmox's tools answer only root, so nothing that this node says could be trusted",
        do="Log in as root (root@NODE in --hosts), or give --sudo",
    )


def not_known_proxmox(facts: NodeFacts) -> str:
    """No Proxmox VE, or a version nobody has tried."""
    version = facts.version
    return refusal(
        facts.node,
        seen=f"this is Proxmox VE {version.full}" if version else "this is no Proxmox VE node: there is no pveversion",
        why="the commands of this tool are known to hold for Proxmox VE 7, 8 and 9 only",
        do="Leave it out of --hosts; an older node is taken apart by hand, with the vendor's documentation",
    )


def same_node(name: str, other: str, hostname: str) -> str:
    """Two entries of --hosts, one node."""
    return refusal(
        name,
        seen=f"this is {hostname}, the same node as {other}",
        why="it would be counted, frozen and separated twice",
        do=f"Leave {name} or {other} out of --hosts",
    )


def missing_members(missing: Collection[str], given: Iterable[str]) -> str:
    """Members of corosync.conf that --hosts leaves out."""
    return refusal(
        "cluster",
        seen=f"{_named(missing)} is a member in corosync.conf, but not in --hosts",
        why="a member that is left out keeps voting, and its HA could take over the others' guests",
        do=f"Add it: --hosts={','.join([*given, *missing])}",
    )


def unknown_state(facts: NodeFacts) -> str:
    """The node's own words contradict each other."""
    return refusal(
        facts.node,
        seen=f"its state is {facts.state.meaning}",
        why="a step that is right in one state destroys configuration in another",
        do="Compare `pvecm status`, `findmnt /etc/pve`, `pgrep -ax pmxcfs` and `stat -c %a /etc/pve/local` there",
    )


def no_space(facts: NodeFacts, target: str, available_kib: int) -> str:
    """Too little space on one of the file systems that matter."""
    return refusal(
        facts.node,
        seen=f"{target} has {available_kib // 1024} MiB left",
        why="neither a backup nor pmxcfs's own database could be written safely",
        do="Free some space there",
    )


def locked_guests(facts: NodeFacts) -> str:
    """Guests with a lock in their config."""
    return refusal(
        facts.node,
        seen=f"guests are locked: {_named(f'{v} ({why})' for v, why in facts.locked.items())}",
        why="an operation on them is under way or was cut short",
        do="Wait for it. If nothing works on the guest any more, `qm unlock VMID` (or pct); that needs quorum",
    )


def missing_volumes(facts: NodeFacts) -> str:
    """Volumes that no storage of the node holds."""
    return refusal(
        facts.node,
        seen=f"volumes are not there: {_named(facts.volumes_not_found)}",
        why="a guest whose disk is elsewhere or gone cannot be kept by this node",
        do="Find the disk before anything is changed; the article says: if disks are unavailable, stop here",
    )


def storage_trouble(facts: NodeFacts) -> str:
    """Storages with guests on them that are inactive or read-only."""
    return refusal(
        facts.node,
        seen=f"storage trouble: {_named(f'{i} is {why}' for i, why in facts.unusable_storages.items())}",
        why="guests that cannot write are not intact, and the dismantling would hide when it happened",
        do="Mend the storage first; the article says: if disks are unavailable, stop here",
    )


def ha_armed(facts: NodeFacts) -> str:
    """HA active, watchdog armed, no quorum."""
    return refusal(
        facts.node,
        seen="HA is active on this node, its watchdog is armed, and there is no quorum",
        why="about 60 s after quorum was lost the watchdog resets the node, whatever is done: stopping the LRM blocks "
        "and does not disarm it",
        do="Bring quorum back (power on or reconnect enough nodes) and run this again, or wait for the reset",
    )


def doubled_start(facts: NodeFacts) -> str:
    """A start of all guests that waits for quorum, with guests on shared storage."""
    return refusal(
        facts.node,
        seen=f"the start of all guests waits for quorum, and {_named(facts.waiting_guests_on_shared_storage)} lie on "
        "shared storage",
        why="they would start the moment quorum is granted, perhaps a second time: their disks are in others' reach",
        do="See that they run nowhere else, then let them start by restoring quorum (`onboot 0` needs quorum too)",
    )


def stray_guests(facts: NodeFacts) -> str:
    """Processes of guests whose config is not on the node."""
    return refusal(
        facts.node,
        seen=f"guests run here whose config is not here: {_named(facts.strays)}",
        why="their config is on another node or lost; neither node would own them",
        do="Find the config (`ls /etc/pve/nodes/*/*/`) and move it to this node while there is quorum",
    )


def unlisted_guests(facts: NodeFacts, vmids: Iterable[int]) -> str:
    """Guests that Proxmox's own tools do not show."""
    return refusal(
        facts.node,
        seen=f"qm list and pct list do not show {_named(vmids)}",
        why="a guest that Proxmox does not list cannot be managed",
        do="Compare `ls /etc/pve/nodes/*/*/` there with the backup in a record's folder",
    )


def standing_guests(facts: NodeFacts) -> str:
    """Guests that are listed as running and do not serve."""
    return refusal(
        facts.node,
        seen=f"guests stand still: {_named(f'{v} is {s}' for v, s in facts.standing_still.items())}",
        why="a guest that waits for its disk is not intact, and the dismantling would hide when that happened",
        do="Mend the storage and `qm resume VMID`, or shut the guest down, then run the same command line again",
    )


def knows_a_cluster(facts: NodeFacts) -> str:
    """pvecm does not say that there is no cluster."""
    return refusal(
        facts.node,
        seen=f"pvecm status finds this node to be: {facts.pvecm.kind}",
        why="it is the one check that tells a standalone node from a half-dismantled one",
        do=AGAIN,
    )


def not_its_own_master(facts: NodeFacts) -> str:
    """/etc/pve is not what it is on a standalone node."""
    return refusal(
        facts.node,
        seen=f"{len(facts.pve_mounts)} mounts on /etc/pve, writable: {facts.is_writable}, corosync.conf in the "
        f"database: {facts.has_corosync_conf_in_database}",
        why="without all three a stopped guest cannot be started again after the next restart",
        do=AGAIN,
    )


def foreign_pmxcfs(facts: NodeFacts) -> str:
    """/etc/pve is served by a pmxcfs that is not the unit's."""
    return refusal(
        facts.node,
        seen=f"pmxcfs runs as {[p.pid for p in facts.pmxcfs_processes] or 'nothing'}, pve-cluster's own is "
        f"{facts.units['pve-cluster.service'].main_pid}",
        why="a hand-started one is not restarted when it dies, and blocks the unit's own",
        do="End it (`pkill -TERM -x pmxcfs`), then `systemctl start pve-cluster`",
    )


def dead_services(facts: NodeFacts) -> str:
    """Proxmox's own services do not all run."""
    return refusal(
        facts.node,
        seen=f"{_named(facts.dead_services)} does not run",
        why="guests run on, but nobody can manage them",
        do="Look at `systemctl --failed` and `journalctl -n 50` there",
    )


def corosync_could_return(facts: NodeFacts) -> str:
    """Something of corosync is left that could act."""
    return refusal(
        facts.node,
        seen=f"corosync is {facts.corosync.active} and {facts.corosync.file_state}; files: "
        f"{_named(facts.leftovers) or 'none'}; ports: {_named(facts.corosync_ports) or 'none'}",
        why="it could find its old peers again, and the newest database would overwrite the others'",
        do=AGAIN,
    )


def ha_left(facts: NodeFacts) -> str:
    """HA could act on a standalone node."""
    return refusal(
        facts.node,
        seen=f"HA: {_named(facts.ha_units_on) or 'units off'}; watchdog client: {facts.has_watchdog_client}; "
        f"resources: {_named(facts.ha_resources) or 'none'}",
        why="a standalone node with HA declares its former peers dead and starts their guests",
        do=f"{AGAIN}, or by hand: systemctl disable --now pve-ha-lrm pve-ha-crm",
    )


def interrupted(vmids: Iterable[int]) -> str:
    """Guests that did not run on while a node left the cluster."""
    return refusal(
        "cluster",
        seen=f"while the node left, the process of these guests was not seen any more: {_named(vmids)}",
        why="no guest may be interrupted; the next node is not touched",
        do="Look at these guests first (`qm status VMID`, the console), then at the journal's samples",
    )
