"""What gates say that stand in runbook/ and in checks/ alike: one text for one finding.

Every function takes the node's facts and returns three lines; the caller has judged already.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pve_runbook.facts.tasks import Task
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
        do=f"Add it: --hosts={','.join([*given, *missing])}; or, if it is powered off, say so: "
        f"--absent={','.join(missing)}",
    )


def stacked_mount(facts: NodeFacts) -> str:
    """More than one mount on /etc/pve."""
    return refusal(
        facts.node,
        seen=f"{len(facts.pve_mounts)} mounts lie on /etc/pve, one over the other",
        why="the lower one is dead, left by a pmxcfs that was killed: once the upper one is unmounted, every access to "
        "/etc/pve fails in the middle of the window",
        do="There, with HA off: `systemctl stop pve-cluster`, `umount -l /etc/pve` until `findmnt /etc/pve` prints "
        "nothing, `systemctl start pve-cluster`; guests run on. Then run the same command line again",
    )


def stale_mount(facts: NodeFacts) -> str:
    """/etc/pve is a mount that nobody serves."""
    return refusal(
        facts.node,
        seen='/etc/pve is a stale mount: "Transport endpoint is not connected", its pmxcfs was killed',
        why="nothing of Proxmox answers on this node, and a window could neither go on nor go back",
        do="There: `umount -l /etc/pve`, `systemctl reset-failed pve-cluster`, `systemctl start pve-cluster`; guests "
        "run on. Then run the same command line again",
    )


def hung_mount(facts: NodeFacts) -> str:
    """Nothing that touches /etc/pve comes back."""
    return refusal(
        facts.node,
        seen="/etc/pve hangs: it is mounted, and no access to it returned in time",
        why="every tool of Proxmox hangs with it, and a window could neither go on nor go back",
        do="Look at `journalctl -n 50 -u pve-cluster -u corosync` there: pmxcfs waits without end for a corosync that "
        "runs and does not synchronise. Mend that, then run the same command line again",
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


def read_only_place(facts: NodeFacts) -> str:
    """A file system that matters is mounted read-only."""
    return refusal(
        facts.node,
        seen=f"{_named(facts.read_only_places)} is mounted read-only",
        why="neither a backup nor pmxcfs's own database can be written; the kernel does that to a disk that fails",
        do="Look at `dmesg` there; once the disk is well, remount it, or move its guests and reboot it",
    )


def locked_guests(facts: NodeFacts) -> str:
    """Guests with a lock in their config."""
    return refusal(
        facts.node,
        seen=f"guests are locked: {_named(f'{v} ({why})' for v, why in facts.locked.items())}",
        why="an operation on them is under way or was cut short",
        do="Wait for it. If nothing works on the guest any more, `qm unlock VMID` (or pct); that needs quorum. "
        "Without it: --accept=locks leaves them as they are, to be unlocked when the node is standalone",
    )


def locked_by_another(facts: NodeFacts) -> str:
    """The node's lock is not this run's."""
    return refusal(
        facts.node,
        seen=f"its lock says {facts.lock.text if facts.lock else 'nothing'}",
        why="another run came between; two runs at once would undo each other's steps",
        do="Ask who it is, then run the same command line again",
    )


def lock_left(facts: NodeFacts) -> str:
    """The lock is there after the end."""
    return refusal(
        facts.node,
        seen=f"its lock is still there: {facts.lock.text if facts.lock else ''}",
        why="the next run would take this one for unfinished",
        do="Run the same command line again",
    )


def scheduler_on(facts: NodeFacts) -> str:
    """The scheduler was stopped and runs."""
    return refusal(
        facts.node,
        seen="the scheduler still runs",
        why="overdue jobs start within a minute of quorum",
        do="Look at `systemctl status pvescheduler` there",
    )


def changed_meanwhile(facts: NodeFacts, what: Iterable[str]) -> str:
    """A node that is to be put back is not what its backup knows."""
    return refusal(
        facts.node,
        seen=f"its backup does not know: {_named(what)}",
        why="the old database takes its place: what it does not know is lost, and a guest that runs has no config then",
        do="Leave the nodes standalone; or take these changes back, and run the same command line again",
    )


def lost_when_they_meet(newest: str, guests: Iterable[str]) -> str:
    """Guests that the newest database does not know as their own nodes do."""
    return refusal(
        "cluster",
        seen=f"{newest}'s database is the newest, without the config of {_named(guests)}",
        why="when the nodes meet, the newest one overwrites the others: these guests would have no config any more",
        do="Do not let these nodes meet: as they are, every one keeps its own guests",
    )


def key_left(facts: NodeFacts) -> str:
    """The key of the second way in is there after the end."""
    return refusal(
        facts.node,
        seen="a key that ends in pve-runbook-... is still in /root/.ssh/authorized_keys2",
        why="it was made for this work only, and opens the node to whoever has the record's folder",
        do="Run the same command line again, or take the line out",
    )


def still_under_way(facts: NodeFacts) -> str:
    """A command of an earlier run goes on."""
    return refusal(
        facts.node,
        seen=f"still under way: {_named(facts.our_units)}",
        why="it was sent before the line was lost, and may change what is read now",
        do="Look at `systemctl status` of it there, then run the same command line again",
    )


def busy(facts: NodeFacts, tasks: Iterable[Task]) -> str:
    """Tasks that must not be cut in two."""
    return refusal(
        facts.node,
        seen=f"a task is running: {_named(f'{t.type} {t.id}'.strip() for t in tasks)}",
        why="cut in two it leaves a guest locked, or its config on one node and its process on another",
        do="Wait until it is done, or stop it in the web UI, then run the same command line again",
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


def stray_watchdog_client(facts: NodeFacts) -> str:
    """A watchdog client without quorum, where HA has nothing to do."""
    return refusal(
        facts.node,
        seen="a watchdog client is active, and it is not HA's: no resource is under HA",
        why="if it stops feeding the watchdog, the node is reset and its guests die; stopping HA would not stop it",
        do="Find it: `ss -xp src /run/watchdog-mux.sock`, and end it the way it was started; do not kill it and do not "
        "stop watchdog-mux",
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
