"""What gates of runbook/ and of checks/ say of one node: one text for one finding.

Every function takes the node's facts and returns three lines; the caller has judged already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pve_runbook.facts.ha import can_disarm
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.tasks import Task
from pve_runbook.probes.answers import known
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

AGAIN = "Run the same command line again: it goes on from the state it finds"
IN_OR_OUT = "Type what the verdict below says: its key is put back and it stays a member, or the runbook takes it out"
"""Of a half-dismantled node."""


def _named(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


def not_root(facts: NodeFacts) -> str:
    """The login is not root's."""
    return refusal(
        RefusalId.NOT_ROOT,
        facts.node,
        seen="the login is not root",
        why="Proxmox's tools answer only root, so nothing that this node says could be trusted",
        do="Log in as root (root@NODE in --hosts), or give --sudo",
    )


def not_known_proxmox(facts: NodeFacts) -> str:
    """No Proxmox VE, or a version nobody has tried."""
    version = facts.version
    return refusal(
        RefusalId.NOT_KNOWN_PROXMOX,
        facts.node,
        seen=f"this is Proxmox VE {version.full}" if version else "this is no Proxmox VE node: there is no pveversion",
        why="the commands of this tool are known to hold for Proxmox VE 7, 8 and 9 only",
        do="Leave it out of --hosts; an older node is taken apart by hand, with the vendor's documentation",
    )


def same_node(name: str, other: str, hostname: str) -> str:
    """Two entries of --hosts, one node."""
    return refusal(
        RefusalId.NAMED_TWICE,
        name,
        seen=f"this is {hostname}, the same node as {other}",
        why="it would be counted, frozen and separated twice",
        do=f"Leave {name} or {other} out of --hosts",
    )


def stacked_mount(facts: NodeFacts) -> str:
    """More than one mount on /etc/pve."""
    return refusal(
        RefusalId.STACKED_MOUNT,
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
        RefusalId.STALE_MOUNT,
        facts.node,
        seen='/etc/pve is a stale mount: "Transport endpoint is not connected", its pmxcfs was killed',
        why="nothing of Proxmox answers on this node, and a window could neither go on nor go back",
        do="There: `umount -l /etc/pve`, `systemctl reset-failed pve-cluster`, `systemctl start pve-cluster`; guests "
        "run on. Then run the same command line again",
    )


def hung_mount(facts: NodeFacts) -> str:
    """Nothing that touches /etc/pve comes back."""
    return refusal(
        RefusalId.HUNG_MOUNT,
        facts.node,
        seen="/etc/pve hangs: it is mounted, and no access to it returned in time",
        why="every tool of Proxmox hangs with it, and a window could neither go on nor go back",
        do="Look at `journalctl -n 50 -u pve-cluster -u corosync` there: pmxcfs waits without end for a corosync that "
        "runs and does not synchronise. With HA off `systemctl stop corosync` there ends that. If it still hangs: "
        "`systemctl stop pve-cluster`, `umount -l /etc/pve`, `systemctl reset-failed pve-cluster`, `systemctl start "
        "pve-cluster`; guests run on. Then run the same command line again",
    )


def unknown_state(facts: NodeFacts) -> str:
    """The node's own words contradict each other."""
    return refusal(
        RefusalId.STATE_IS_UNKNOWN,
        facts.node,
        seen=f"its state is {facts.state.meaning}",
        why="a step that is right in one state destroys configuration in another",
        do="Compare `pvecm status`, `findmnt /etc/pve`, `pgrep -ax pmxcfs` and `stat -c %a /etc/pve/local` there",
    )


def no_space(facts: NodeFacts, target: str, available_kib: int) -> str:
    """Too little space on one of the file systems that matter."""
    return refusal(
        RefusalId.NO_SPACE,
        facts.node,
        seen=f"{target} has {available_kib // 1024} MiB left",
        why="neither a backup nor pmxcfs's own database could be written safely",
        do="Free some space there",
    )


def read_only_place(facts: NodeFacts) -> str:
    """A file system that matters is mounted read-only."""
    return refusal(
        RefusalId.READ_ONLY_PLACE,
        facts.node,
        seen=f"{_named(facts.read_only_places)} is mounted read-only",
        why="neither a backup nor pmxcfs's own database can be written; the kernel does that to a disk that fails",
        do="Look at `dmesg` there; once the disk is well, remount it, or move its guests and reboot it",
    )


def locked_guests(facts: NodeFacts) -> str:
    """Guests with a lock in their config."""
    return refusal(
        RefusalId.GUESTS_ARE_LOCKED,
        facts.node,
        seen=f"guests are locked: {_named(f'{v} ({why})' for v, why in facts.locked.items())}",
        why="an operation on them is under way or was cut short",
        do="Wait for it. If nothing works on the guest any more, `qm unlock VMID` (or pct); that needs quorum. "
        "Without it: --accept=locks leaves them as they are, to be unlocked when the node is standalone",
    )


def locked_by_another(facts: NodeFacts) -> str:
    """The node's lock is not this run's."""
    return refusal(
        RefusalId.LOCKED_BY_ANOTHER,
        facts.node,
        seen=f"its lock says {facts.lock.text if facts.lock else 'nothing'}",
        why="another run came between; two runs at once would undo each other's steps",
        do="Ask who it is, then run the same command line again",
    )


def lock_left(facts: NodeFacts) -> str:
    """The lock is there after the end."""
    return refusal(
        RefusalId.LOCK_IS_LEFT,
        facts.node,
        seen=f"its lock is still there: {facts.lock.text if facts.lock else ''}",
        why="the next run would take this one for unfinished",
        do="Run the same command line again",
    )


def scheduler_on(facts: NodeFacts) -> str:
    """The scheduler was stopped and runs."""
    return refusal(
        RefusalId.SCHEDULER_RUNS,
        facts.node,
        seen="the scheduler still runs",
        why="overdue jobs start within a minute of quorum",
        do="Look at `systemctl status pvescheduler` there",
    )


def changed_meanwhile(facts: NodeFacts, what: Iterable[str]) -> str:
    """A node that is to be put back is not what its backup knows."""
    return refusal(
        RefusalId.CHANGED_SINCE_THE_BACKUP,
        facts.node,
        seen=f"its backup does not know: {_named(what)}",
        why="the old database takes its place: what it does not know is lost, and a guest that runs has no config then",
        do="Leave the nodes standalone; or take these changes back, and run the same command line again",
    )


def key_left(facts: NodeFacts) -> str:
    """The key of the second way in is there after the end."""
    return refusal(
        RefusalId.KEY_IS_LEFT,
        facts.node,
        seen="a key that ends in pve-runbook-... is still in /root/.ssh/authorized_keys2",
        why="it was made for this work only, and opens the node to whoever has the record's folder",
        do="Run the same command line again, or take the line out",
    )


def still_under_way(facts: NodeFacts) -> str:
    """A command of an earlier run goes on."""
    return refusal(
        RefusalId.STILL_UNDER_WAY,
        facts.node,
        seen=f"still under way: {_named(facts.our_units)}",
        why="it was sent before the connection was lost, and may change what is read now",
        do="Look at `systemctl status` of it there, then run the same command line again",
    )


def busy(facts: NodeFacts, tasks: Iterable[Task]) -> str:
    """Tasks that must not be cut in two."""
    return refusal(
        RefusalId.TASK_RUNS,
        facts.node,
        seen=f"a task is running: {_named(f'{t.type} {t.id}'.strip() for t in tasks)}",
        why="cut in two it leaves a guest locked, or its config on one node and its process on another",
        do="Wait until it is done, or stop it in the web UI, then run the same command line again",
    )


def storage_trouble(facts: NodeFacts, wrong: Mapping[str, str]) -> str:
    """Storages with guests on them that are inactive or read-only; storage → what is wrong."""
    running = sorted({v for s in wrong if s in facts.read_only_storages() for v in facts.running_on(s)})
    first = f"shut {', '.join(map(str, running))} down (that needs no quorum), then " if running else ""
    return refusal(
        RefusalId.STORAGE_IS_IN_TROUBLE,
        facts.node,
        seen=f"storage trouble: {_named(f'{i} is {why}' for i, why in wrong.items())}",
        why="guests that cannot write are not intact, and the dismantling would hide when it happened",
        do="Fix the storage first; the article says: if disks are unavailable, stop here. If it cannot be fixed now: "
        f"{first}--accept=volumes goes on with it, and the record names it",
    )


def ha_armed(facts: NodeFacts) -> str:
    """HA active, watchdog armed, no quorum."""
    disarms = known(lambda: can_disarm(facts))
    return refusal(
        RefusalId.HA_IS_ARMED,
        facts.node,
        seen="HA is active on this node, its watchdog is armed, and there is no quorum",
        why="about 60 s after quorum was lost the watchdog resets the node, whatever is done: stopping the LRM would "
        "hang, and would not disarm the watchdog",
        do="Bring quorum back (power on or reconnect enough nodes) and run this again, or wait for the reset"
        + ("; with quorum HA can be disarmed: `ha-manager crm-command disarm-ha freeze`" if disarms else ""),
    )


def stray_watchdog_client(facts: NodeFacts) -> str:
    """A watchdog client without quorum, where HA has nothing to do."""
    return refusal(
        RefusalId.STRAY_WATCHDOG_CLIENT,
        facts.node,
        seen="a watchdog client is active, and it is not HA's: no resource is under HA",
        why="if it stops feeding the watchdog, the node is reset and its guests die; stopping HA would not stop it",
        do="Find it: `ss -xp src /run/watchdog-mux.sock`, and end it the way it was started; do not kill it and do not "
        "stop watchdog-mux",
    )


def doubled_start(facts: NodeFacts) -> str:
    """A start of all guests that waits for quorum, with guests on shared storage."""
    return refusal(
        RefusalId.START_WOULD_DOUBLE,
        facts.node,
        seen=f"the start of all guests waits for quorum, and {_named(facts.waiting_guests_on_shared_storage)} lie on "
        "shared storage",
        why="they would start the moment quorum is granted, perhaps a second time: their disks are in others' reach",
        do="Check that they run on no other node, then restore quorum and let them start. Without quorum `systemctl "
        "kill pve-guests` there (not stop) ends that start: guests that are down stay down till you start them, at "
        "the end",
    )


def stray_guests(facts: NodeFacts) -> str:
    """Processes of guests whose config is not on the node."""
    return refusal(
        RefusalId.STRAY_GUESTS,
        facts.node,
        seen=f"guests run here whose config is not here: {_named(facts.strays)}",
        why="their config is on another node or lost; neither node would own them",
        do="Find the config (`ls /etc/pve/nodes/*/*/`). With quorum, move it to this node. Without: shut the "
        "guest down from inside, run the same command line again, and once the node is standalone move the config and "
        "start it",
    )


def booted_meanwhile(facts: NodeFacts) -> str:
    """The node was booted between the baseline and now."""
    return refusal(
        RefusalId.REBOOTED_SINCE_THE_BASELINE,
        facts.node,
        seen="the node was booted after its guests were written down",
        why="what was written down ended with the boot: its guests start anew, and nothing could be proven of them",
        do="Find out why (`journalctl -b -1 -e` there) and let its guests start, then run the same command line again",
    )


def unlisted_guests(facts: NodeFacts, vmids: Iterable[int]) -> str:
    """Guests that Proxmox's own tools do not show."""
    return refusal(
        RefusalId.GUESTS_ARE_NOT_LISTED,
        facts.node,
        seen=f"qm list and pct list do not show {_named(vmids)}",
        why="a guest that Proxmox does not list cannot be managed",
        do="Compare `ls /etc/pve/nodes/*/*/` there with the backup in a record's folder",
    )


def standing_guests(facts: NodeFacts) -> str:
    """Guests that are listed as running and do not serve."""
    return refusal(
        RefusalId.GUESTS_STAND_STILL,
        facts.node,
        seen=f"guests stand still: {_named(f'{v} is {s}' for v, s in facts.standing_still.items())}",
        why="a guest that waits for its disk is not intact, and the dismantling would hide when that happened",
        do="Fix the storage and `qm resume VMID`, or shut the guest down, then run the same command line again",
    )


def knows_a_cluster(facts: NodeFacts, do: str = AGAIN) -> str:
    """pvecm does not say that there is no cluster."""
    return refusal(
        RefusalId.KNOWS_A_CLUSTER,
        facts.node,
        seen=f"pvecm status finds this node to be: {facts.pvecm.kind}",
        why="it is the one check that tells a standalone node from a half-dismantled one",
        do=do,
    )


def not_its_own_master(facts: NodeFacts, do: str = AGAIN) -> str:
    """/etc/pve is not what it is on a standalone node."""
    return refusal(
        RefusalId.NOT_ITS_OWN_MASTER,
        facts.node,
        seen=f"{len(facts.pve_mounts)} mounts on /etc/pve, writable: {facts.is_writable}, corosync.conf in the "
        f"database: {facts.has_corosync_conf_in_database}",
        why="without all three a stopped guest cannot be started again after the next restart",
        do=do,
    )


def foreign_pmxcfs(facts: NodeFacts) -> str:
    """/etc/pve is served by a pmxcfs that is not the unit's."""
    return refusal(
        RefusalId.FOREIGN_PMXCFS,
        facts.node,
        seen=f"pmxcfs runs as {[p.pid for p in facts.pmxcfs_processes] or 'nothing'}, pve-cluster's own is "
        f"{facts.units['pve-cluster.service'].main_pid}",
        why="a hand-started one is not restarted when it dies, and blocks the unit's own",
        do="End it (`pkill -TERM -x pmxcfs`), then `systemctl start pve-cluster`",
    )


def dead_services(facts: NodeFacts) -> str:
    """Proxmox's own services do not all run."""
    return refusal(
        RefusalId.SERVICES_ARE_DEAD,
        facts.node,
        seen=f"{_named(facts.dead_services)} does not run",
        why="guests run on, but nobody can manage them",
        do="Look at `systemctl --failed` and `journalctl -n 50` there",
    )


def corosync_could_return(facts: NodeFacts) -> str:
    """Something of corosync is left that could act."""
    return refusal(
        RefusalId.COROSYNC_COULD_RETURN,
        facts.node,
        seen=f"corosync is {facts.corosync.active} and {facts.corosync.file_state}; files: "
        f"{_named(facts.leftovers) or 'none'}; ports: {_named(facts.corosync_ports) or 'none'}",
        why="it could find its old peers again, and the newest database would overwrite the others'",
        do=AGAIN,
    )


def ha_left(facts: NodeFacts) -> str:
    """HA could act on a standalone node."""
    return refusal(
        RefusalId.HA_IS_LEFT,
        facts.node,
        seen=f"HA: {_named(facts.ha_units_on) or 'units off'}; watchdog client: {facts.has_watchdog_client}; "
        f"resources: {_named(facts.ha_resources) or 'none'}",
        why="a standalone node with HA declares its former peers dead and starts their guests",
        do=f"{AGAIN}, or by hand: systemctl disable --now pve-ha-lrm pve-ha-crm",
    )


def backups_missing(facts: NodeFacts, names: Iterable[str]) -> str:
    """Not everything that has to be backed up of a node lies on the control host."""
    return refusal(
        RefusalId.BACKUPS_ARE_MISSING,
        facts.node,
        seen=f"its backups on this machine lack {_named(names)}",
        why="nothing is changed on a node before all of its configuration lies here, checked",
        do=AGAIN,
    )
