"""The states that every gate is asked in: those in which a lab can start, and what is made here where no such state has
a gate say no, or yes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pve_lab.model.cluster import Cluster
from pve_lab.model.network import INTERFACES
from pve_lab.model.node import Node
from pve_lab.model.units import Unit
from pve_lab.scenarios import SCENARIOS
from pve_lab.shapes import leave_by_vendors_way, nodes_of, second
from pve_lab.shapes.booted import EDIT as MORE_BRIDGE
from pve_lab.wiring import TWO_LINKS, Wiring

Kind = Literal["checks", "runbook", "rollback"]


def all_leave(cluster: Cluster) -> None:
    """Every node leaves the cluster."""
    for node in nodes_of(cluster):
        leave_by_vendors_way(node)
    cluster.clock.advance(30.0)


def one_leaves(cluster: Cluster) -> None:
    """pve1 leaves the cluster, the others stay in it."""
    leave_by_vendors_way(nodes_of(cluster)[0])
    cluster.clock.advance(30.0)


def last_leaves(cluster: Cluster) -> None:
    """The last node leaves the cluster, the others stay in it."""
    leave_by_vendors_way(nodes_of(cluster)[-1])
    cluster.clock.advance(30.0)


def none_leaves(cluster: Cluster) -> None:
    """Every node stays in the cluster."""


@dataclass(frozen=True)
class State:
    """A starting state of the lab, and what is done to it before the gates are asked."""

    scenario: str
    line: str
    kinds: tuple[Kind, ...] = ("checks", "runbook")
    """The runs whose gates are asked in it."""
    options: tuple[str, ...] = ()
    """What stands on the command line beside --hosts."""
    hosts: Mapping[str, str] | None = None
    """Name in --hosts → the node that it leads to; None: every node by its own name."""
    wiring: Wiring | None = None
    """How the nodes are wired, where it is otherwise than in the starting state."""
    taken_up: bool = False
    """Whether a run that was cut short after its backups is taken up."""
    first: tuple[str, ...] = ()
    """What stood on the command line of the run that is rolled back or taken up."""
    left: Callable[[Cluster], None] = all_leave
    """What became of the nodes in the run that is rolled back or taken up, after its backups."""
    shape: Callable[[Cluster], None] | None = None
    """A change to the model before anything is read."""
    typed: Mapping[str, str] = field(default_factory=dict)
    """Node → what another hand types there before anything is read."""
    says: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Node → command → what it says, where the lab has no such node."""
    strikes: Callable[[Cluster], None] | None = None
    """A change to the model after the baseline was taken."""
    struck: Mapping[str, str] = field(default_factory=dict)
    """Node → what another hand types there after the baseline was taken."""

    @property
    def takes_seconds(self) -> bool:
        """Whether a run with backups is made first, or a command that never ends is waited for."""
        return "rollback" in self.kinds or self.taken_up or self.scenario == "other-run-live"


CHECKS: tuple[Kind, ...] = ("checks",)
RUNBOOK: tuple[Kind, ...] = ("runbook",)
BACK: tuple[Kind, ...] = ("rollback",)
ALL = ("pve1", "pve2", "pve3")
TWO = {"pve1": "pve1", "pve2": "pve2"}
LEAVE = ("--leave=pve3",)
ALONE = ("--leave=pve2,pve3",)
LOCK = "run=20260101T000000Z-abcd;by=other@there;since=2026-01-01T00:00:00Z;record=x"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKlab00000000000000000000000000000000 pve-runbook-20260101T000000Z-abcd"
NO_OTHER_KEYS = {
    "sshd -T": "permitrootlogin without-password\npasswordauthentication no\nauthorizedkeysfile .ssh/authorized_keys\n"
}
FROZEN = (
    "systemctl stop pvescheduler.service; systemctl mask --runtime pvescheduler.service; "
    "rm -f /etc/cron.d/vzdump; systemctl disable --now pve-ha-lrm.service pve-ha-crm.service"
)
SILENT = f"{FROZEN}; systemctl stop corosync.service; systemctl mask --runtime corosync.service"
THAWED_NOT = "systemctl stop pvescheduler; systemctl mask --runtime pvescheduler; rm -f /etc/cron.d/vzdump"
UNLOCKED = "rm -f /var/lib/pve-runbook/lock"
EDIT = "'description: x\\n'"
NEW_GUEST = "qm create 299 --memory 16 --name new --kvm 0; qm start 299"
STALL = "Corosync main process was not scheduled (@1) for 3000.0000 ms (threshold is 2920.0000 ms)."
ISCSI = "tcp: [1] 10.55.0.8:3260,1 iqn.2001-05.com.example:x (non-flash)\n"
MORE_STORAGES = (
    "iscsi: san\n\tportal 10.55.0.8\n\ttarget iqn.2001-05.com.example:x\n\tcontent none\n\n"
    "pbs: vault\n\tserver 10.55.0.7\n\tdatastore x\n\tcontent backup\n\n"
    "dir: disk\n\tpath /var/lib/vz\n\tis_mountpoint /mnt/disk\n\tcontent backup\n\n"
)


def _corosync_logs(node: Node, *messages: str) -> None:
    for message in messages:
        node.journal.add("corosync.service", "corosync", 900, message)


def _starved(cluster: Cluster) -> None:
    _corosync_logs(second(cluster), *[f"[MAIN  ] {STALL}"] * 5)


def _too_large(cluster: Cluster) -> None:
    text = (
        "[KNET  ] pmtud: possible MTU misconfiguration detected. kernel is reporting MTU: 9000 bytes for host 1 link 0 "
    )
    _corosync_logs(second(cluster), text + "but the other node is not acknowledging packets of this size.")


def _reloaded(cluster: Cluster) -> None:
    """Somebody typed `ifreload -a`: an edit of the interfaces file is live, and the file is put back."""
    node = second(cluster)
    before = node.files.text(INTERFACES)
    node.files.put(INTERFACES, before + MORE_BRIDGE)
    node.reload_network()
    node.files.put(INTERFACES, before)


def _startall_held(cluster: Cluster) -> None:
    node = second(cluster)
    node.signal(node.units.get("pve-guests"), "STOP")


def _left_held(cluster: Cluster) -> None:
    _startall_held(cluster)
    all_leave(cluster)


def _bad_card(cluster: Cluster) -> None:
    card = next(i for i in second(cluster).interfaces if i.address == second(cluster).rings[0])
    card.errors = 5_000_000


def _far(cluster: Cluster) -> None:
    cluster.network.latency = 9_000


def _ready_for_the_next_boot(cluster: Cluster) -> None:
    node = second(cluster)
    node.files.put("/etc/network/interfaces.new", node.files.text("/etc/network/interfaces"))
    node.pmxcfs.write(f"nodes/{node.name}/host.fw.new", b"[OPTIONS]\n\nenable: 1\n")


def _paused(cluster: Cluster) -> None:
    second(cluster).guests.qmp_status[201] = "io-error"


def _more_storages(cluster: Cluster) -> None:
    first = nodes_of(cluster)[0].pmxcfs
    first.write("storage.cfg", (first.database.text("storage.cfg") + MORE_STORAGES).encode())
    node = second(cluster).storages
    node.groups["pve"] = "r-z--n-"
    node.volume_attributes["pve/data"] = ("twi-aotz--", "97.00", "1.10")


def _ill_ceph(cluster: Cluster) -> None:
    for node in nodes_of(cluster):
        node.storages.ceph_health = "HEALTH_ERR"


def _rewritten(node: Node, edit: Callable[[str], str]) -> None:
    database = node.pmxcfs.database
    text = edit(database.text("corosync.conf"))
    database.write("corosync.conf", text.encode(), writer=1, mtime=int(node.wall))


def _newer_first(cluster: Cluster) -> None:
    database = nodes_of(cluster)[0].pmxcfs.database
    database.write("user.cfg", b"user:eve@pve:1:\n", writer=1, mtime=int(cluster.clock.wall))


def _two_clusters(cluster: Cluster) -> None:
    _rewritten(second(cluster), lambda text: text.replace("cluster_name: labcluster", "cluster_name: another"))


def _stranger(cluster: Cluster) -> None:
    """pve3 is called otherwise in everybody's corosync.conf, and whom that names is called absent."""
    for node in nodes_of(cluster):
        _rewritten(node, lambda text: text.replace("name: pve3", "name: pve4"))


def _another_cluster(cluster: Cluster) -> None:
    text = second(cluster).files.text("/etc/pve/corosync.conf")
    database = second(cluster).pmxcfs.database
    conf = text.replace("labcluster", "another")
    database.write("corosync.conf", conf.encode(), writer=1, mtime=int(cluster.clock.wall))


def _window_under_way(cluster: Cluster) -> None:
    name = "pve-runbook-20260101T000000Z-abcd-window.service"
    unit = Unit(name, "pve-runbook", ("/bin/bash",), enablement="transient", active="activating", sub="start")
    second(cluster).units.table[name] = unit


def _stacked(cluster: Cluster) -> None:
    second(cluster).files.dead_mounts = 1


def _falls_apart(cluster: Cluster) -> None:
    cluster.isolate()
    cluster.clock.advance(60.0)


def _left(cluster: Cluster) -> None:
    leave_by_vendors_way(second(cluster))


def _reset(cluster: Cluster) -> None:
    second(cluster).power_cycle()
    cluster.clock.advance(60.0)


def _alone(name: str) -> dict[str, str]:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return {
        "cat /root/.ssh/authorized_keys": f"ssh-ed25519 AAAA admin@{name}.example\n",
        "sha256sum /etc/pve/pve-root-ca.pem": f"{digest}  /etc/pve/pve-root-ca.pem\n",
        "cat /etc/pve/storage.cfg": "dir: local\n\tpath /var/lib/vz\n\tcontent images\n",
    }


MADE: dict[str, State] = {
    # The command line.
    "named-twice": State("broken", "pve1 stands in --hosts twice", hosts={**TWO, "pve3": "pve3", "again": "pve1"}),
    "left-out": State("broken", "a member is not in --hosts", hosts=TWO),
    "absent-seen": State("quorate", "--absent names a member that is up", hosts=TWO, options=("--absent=pve3",)),
    "stranger": State("broken", "pve3 is no member", RUNBOOK, ("--absent=pve4",), shape=_stranger),
    "two-clusters": State("broken", "pve2 is of another cluster", shape=_two_clusters),
    "canary-taken": State("broken", "--canary is the id of a guest", RUNBOOK, ("--canary=201",)),
    "watched": State("flapping", "flapping, with --watch", CHECKS, ("--watch=90",)),
    "watched-in-peace": State(
        "own-link",
        "healthy, with --watch and --activate-storage",
        CHECKS,
        ("--watch=10", "--activate-storage"),
    ),
    "watched-in-vain": State("hung-pve", "hung-pve, with --watch", CHECKS, ("--watch=10",)),
    "activated": State("storage-missing", "storage-missing, with --activate-storage", CHECKS, ("--activate-storage",)),
    "activated-pools": State("rbd", "disks on pools of Ceph, with --activate-storage", CHECKS, ("--activate-storage",)),
    "poor-authority": State("storage-missing", "--authority lacks a disk", RUNBOOK, ("--authority=pve1",)),
    "voteless-authority": State(
        "member-without-vote-broken", "--authority has no vote", RUNBOOK, ("--authority=pve1",)
    ),
    "voteless-newest": State(
        "member-without-vote-broken", "the node with the newest database has no vote", RUNBOOK, shape=_newer_first
    ),
    "old-authority": State("diverged", "--authority is not the newest", RUNBOOK, ("--authority=pve1",)),
    # Only some nodes leave.
    "leaving": State("own-link", "pve3 leaves a healthy cluster", RUNBOOK, LEAVE),
    "leaving-apart": State("broken", "pve3 leaves, and nobody sees another", RUNBOOK, LEAVE),
    "leaving-forced-apart": State(
        "broken",
        "pve3 leaves, and those that stay were given quorum each by itself",
        RUNBOOK,
        LEAVE,
        typed={"pve1": "pvecm expected 1", "pve2": "pvecm expected 1"},
    ),
    "leaving-unsettled": State("settling", "pve3 leaves, a moment after quorum came back", RUNBOOK, LEAVE),
    "leaving-edited": State("conf-differs", "pve1 leaves, pve3's corosync.conf was edited", RUNBOOK, ("--leave=pve1",)),
    "leaving-ha": State("ha-quorate", "pve3 leaves, and HA manages a guest of it", RUNBOOK, LEAVE),
    "leaving-ha-armed": State("ha-armed", "the same, without quorum", RUNBOOK, LEAVE),
    "leaving-replica": State("own-link", "pve2 leaves, and guest 102 is replicated to it", RUNBOOK, ("--leave=pve2",)),
    "leaving-shared": State("shared-by-two", "pve3 leaves, its guests lie on a shared storage", RUNBOOK, LEAVE),
    "leaving-no-nodelist": State("conf-without-nodelist", "pve3 leaves, and no nodelist is readable", RUNBOOK, LEAVE),
    "leaving-device": State("qdevice", "pve1 alone stays, and has a QDevice", RUNBOOK, ALONE),
    "leaving-voteless": State("member-without-vote", "pve1 alone stays, and has no vote", RUNBOOK, ALONE),
    "leaving-votes-edited": State("votes-edited", "pve3 leaves, and seven votes are expected", RUNBOOK, LEAVE),
    "leaving-ha-minority": State("ha-quorate", "pve1 alone stays, and HA is active on it", RUNBOOK, ALONE),
    "leaving-let-go": State("removed-while-up", "pve3 leaves, and is in no nodelist any more", RUNBOOK, LEAVE),
    "leaving-ceph": State(
        "own-link", "pve3 leaves, and Ceph was set up", RUNBOOK, LEAVE, typed={"pve1": "touch /etc/pve/ceph.conf"}
    ),
    "back-let-go": State(
        "quorate",
        "back, the others have let pve3 go",
        BACK,
        first=LEAVE,
        left=last_leaves,
        typed={"pve1": "pvecm delnode pve3"},
    ),
    # Who answers, and as whom.
    "not-root": State("broken", "the login to pve2 is no root", says={"pve2": {"id -u": "1000\n"}}),
    "pve6": State(
        "broken",
        "pve2 runs Proxmox VE 6",
        says={"pve2": {"pveversion": "pve-manager/6.4-13/9f411e79 (running kernel: 5.4.124-1-pve)\n"}},
    ),
    "keys-in-etc-pve": State(
        "own-link", "root gets in by the keys in /etc/pve alone", CHECKS, says={"pve2": NO_OTHER_KEYS}
    ),
    "by-sudo": State(
        "own-link", "the same, and the login is another one's", CHECKS, ("--sudo",), says={"pve2": NO_OTHER_KEYS}
    ),
    # Guests, services, storages.
    "paused": State("quorate", "a guest of pve2 stands still by an error of its disk", shape=_paused),
    "unlisted": State(
        "quorate",
        "pct and the API of pve2 show no guest",
        says={
            "pve2": {
                "pct list": "VMID       Status     Lock         Name                \n",
                "pvesh get /cluster/resources --output-format json": "[]\n",
            }
        },
    ),
    "more-storages": State("own-link", "storages of more kinds, those of pve2 in a bad way", shape=_more_storages),
    "iscsi": State(
        "own-link",
        "every node is logged in to its iSCSI target",
        CHECKS,
        shape=_more_storages,
        says={name: {"iscsiadm -m session": ISCSI} for name in ALL},
    ),
    "ill-ceph": State("ceph", "ceph, and it is in error", shape=_ill_ceph),
    "services-down": State(
        "standalone",
        "pvestatd and pveproxy of pve2 are stopped",
        typed={"pve2": "systemctl stop pvestatd; systemctl stop pveproxy"},
    ),
    "foreign-pmxcfs": State(
        "standalone",
        "pmxcfs of pve2 was started by hand",
        typed={"pve2": "systemctl stop pve-cluster; pmxcfs"},
    ),
    "ha-left": State(
        "leftovers", "leftovers, and HA runs", typed={"pve2": "systemctl enable --now pve-ha-lrm pve-ha-crm"}
    ),
    "ready-to-rebuild": State(
        "standalone",
        "nothing ties the nodes together, and pve1 alone has guests",
        CHECKS,
        wiring=TWO_LINKS,
        says={name: _alone(name) for name in ALL},
        typed={
            "pve1": "rm -rf /etc/pve/nodes/pve2 /etc/pve/nodes/pve3",
            "pve2": "rm -rf /etc/pve/nodes/pve1 /etc/pve/nodes/pve3 /etc/pve/nodes/pve2/qemu-server/*.conf "
            "/etc/pve/nodes/pve2/lxc/*.conf",
            "pve3": "rm -rf /etc/pve/nodes/pve1 /etc/pve/nodes/pve2 /etc/pve/nodes/pve3/qemu-server/*.conf "
            "/etc/pve/nodes/pve3/lxc/*.conf",
        },
    ),
    "next-boot": State(
        "own-link",
        "changes of pve2's network and firewall lie ready for its next boot",
        shape=_ready_for_the_next_boot,
    ),
    # The cluster link.
    "bad-card": State("own-link", "the card of pve2's cluster link has errors", CHECKS, shape=_bad_card),
    "starved": State("own-link", "corosync of pve2 was not run in time", CHECKS, shape=_starved),
    "too-large": State("own-link", "pve2's large packets do not arrive", CHECKS, shape=_too_large),
    "slow-link": State("own-link", "the nodes are 9 ms apart", CHECKS, shape=_far),
    # What an earlier run left.
    "locked": State(
        "broken",
        "another run holds pve2",
        RUNBOOK,
        typed={"pve2": f"mkdir -p /var/lib/pve-runbook; ln -s -T '{LOCK}' /var/lib/pve-runbook/lock"},
    ),
    "key-left": State(
        "standalone",
        "the key of a run is still on pve2, and its canary",
        RUNBOOK,
        typed={
            "pve2": f"echo '{KEY}' > /root/.ssh/authorized_keys2; "
            "qm create 9999 --memory 16 --name pve-runbook-canary-abcd --kvm 0"
        },
    ),
    # In the middle of the work.
    "frozen": State("broken", "phase 0 is done", RUNBOOK, typed=dict.fromkeys(ALL, FROZEN)),
    "forced": State(
        "broken",
        "phase 2 is done: pve1 is quorate by itself",
        RUNBOOK,
        typed={"pve2": SILENT, "pve3": SILENT, "pve1": f"{FROZEN}; sleep 40; pvecm expected 1; sleep 15"},
    ),
    "one-left": State("broken", "pve2 has left", RUNBOOK, shape=_left),
    # After the baseline was taken.
    "guest-killed": State(
        "broken", "a guest was killed", RUNBOOK, struck={"pve3": "kill -9 $(cat /run/qemu-server/301.pid)"}
    ),
    "reloaded": State("broken", "pve2's network was reloaded with another file", RUNBOOK, strikes=_reloaded),
    "startall-held": State("startall-waiting", "and it is held", RUNBOOK, shape=_startall_held),
    "reset": State("broken", "pve2 was reset", RUNBOOK, strikes=_reset),
    "guest-removed": State(
        "quorate", "a stopped guest was removed", RUNBOOK, struck={"pve1": "mv /etc/pve/nodes/pve1/lxc/111.conf /root/"}
    ),
    "scheduler-stopped": State(
        "quorate", "the scheduler was stopped", RUNBOOK, struck={"pve2": "systemctl stop pvescheduler"}
    ),
    # A run that was cut short is taken up.
    "taken-up": State("broken", "the nodes are locked and backed up", RUNBOOK, taken_up=True, left=none_leaves),
    "taken-up-late": State("broken", "every node has left by then", RUNBOOK, taken_up=True),
    "taken-up-live": State(
        "broken", "a window goes on on pve2", RUNBOOK, taken_up=True, left=none_leaves, shape=_window_under_way
    ),
    # The way back.
    "back": State("quorate", "all left, and are to go back", BACK),
    "back-frozen": State("quorate", "back, and the schedulers are off", BACK, typed=dict.fromkeys(ALL, THAWED_NOT)),
    "back-member": State("quorate", "nobody left", BACK, left=none_leaves, typed=dict.fromkeys(ALL, UNLOCKED)),
    "back-apart": State("quorate", "nobody left, and quorum was lost", BACK, left=none_leaves, shape=_falls_apart),
    "back-edited": State(
        "quorate",
        "nobody left, and a guest was edited",
        BACK,
        left=none_leaves,
        typed={"pve2": f"printf {EDIT} >> /etc/pve/nodes/pve2/qemu-server/201.conf"},
    ),
    "back-not-root": State("quorate", "back, the login to pve2 is no root", BACK, says={"pve2": {"id -u": "1000\n"}}),
    "back-left-out": State("quorate", "back, a node is not in --hosts", BACK, hosts=TWO),
    "back-locked": State(
        "quorate",
        "back, another run holds pve2",
        BACK,
        typed={"pve2": f"ln -sfn '{LOCK}' /var/lib/pve-runbook/lock"},
    ),
    "back-live": State("quorate", "back, a window goes on on pve2", BACK, shape=_window_under_way),
    "back-stacked": State("quorate", "back, /etc/pve of pve2 is mounted twice", BACK, shape=_stacked),
    "back-joined": State("quorate", "pve2 has joined another cluster", BACK, left=one_leaves, shape=_another_cluster),
    "back-ha": State("quorate", "back, and HA runs", BACK, typed={"pve2": "systemctl enable --now pve-ha-lrm"}),
    "back-watchdog": State("watchdog-client-left", "pve1 left, pve2 has a watchdog client", BACK, left=one_leaves),
    "back-busy": State("backup-running", "back, a backup runs", BACK, left=none_leaves),
    "back-network": State(
        "quorate", "back, /etc/hosts was changed", BACK, typed={"pve2": "echo 10.9.9.9 other >> /etc/hosts"}
    ),
    "back-half": State("half-dismantled", "the backups are of a half-dismantled cluster", BACK, left=none_leaves),
    "back-changed": State(
        "quorate",
        "back, a guest was edited since",
        BACK,
        typed={"pve2": f"printf {EDIT} >> /etc/pve/nodes/pve2/qemu-server/201.conf"},
    ),
    "back-homeless": State("quorate", "back, a new guest runs", BACK, typed={"pve2": NEW_GUEST}),
    "pid-file": State(
        "broken", "the pid file of guest 201 names another process", typed={"pve2": "echo 1 > /run/qemu-server/201.pid"}
    ),
    "back-stray": State(
        "quorate",
        "back, a new guest runs, and its config is gone",
        BACK,
        typed={"pve2": f"{NEW_GUEST}; rm /etc/pve/nodes/pve2/qemu-server/299.conf"},
    ),
    "back-diverged": State("diverged", "back, the databases had diverged", BACK),
    "back-key": State(
        "quorate",
        "back, the key of a run is left",
        BACK,
        typed={"pve2": f"echo '{KEY}' > /root/.ssh/authorized_keys2"},
    ),
    "back-killed": State(
        "quorate", "back, a guest was killed", BACK, struck={"pve3": "kill -9 $(cat /run/qemu-server/301.pid)"}
    ),
    "back-held": State("startall-waiting", "back, and the start of all guests is held", BACK, left=_left_held),
    "back-reset": State("quorate", "back, pve2 was reset", BACK, strikes=_reset),
}
"""One gate or a few say in each what they say in no starting state."""

STATES: dict[str, State] = {name: State(name, scenario.line) for name, scenario in SCENARIOS.items()} | MADE
