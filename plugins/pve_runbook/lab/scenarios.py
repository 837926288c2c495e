"""Starting states of the lab by name: a line that says what it is, and the shape that makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pve_runbook.lab import shapes
from pve_runbook.lab import shapes_recognised as recognised
from pve_runbook.lab import shapes_refused as refused
from pve_runbook.lab.inventory import RICH, SHARED, Inventory
from pve_runbook.lab.model.cluster import Cluster
from pve_runbook.lab.model.version import PVE7, PVE8, PVE9, Version


@dataclass(frozen=True)
class Scenario:
    """One starting state."""

    line: str
    shape: Callable[[Cluster], None]
    version: Version = PVE8
    inventory: Inventory = RICH


SCENARIOS: dict[str, Scenario] = {
    "broken": Scenario(
        "every node alone without quorum, guests running, root causes in the network (default)", shapes.broken
    ),
    "quorate": Scenario("a healthy cluster", shapes.quorate),
    "flapping": Scenario("quorum comes and goes", shapes.flapping),
    "heals-mid-run": Scenario(
        "broken, until corosync is first stopped on a node: then the link is whole", shapes.heals_mid_run
    ),
    "half-dismantled": Scenario(
        "left by the article typed literally: read-only, corosync failed, authkey gone", shapes.half_dismantled
    ),
    "standalone": Scenario("every node has left the cluster already", shapes.standalone),
    "ha-quorate": Scenario("quorate, high availability active with three services", shapes.ha_quorate),
    "ha-armed": Scenario("high availability active, quorum lost 20 s ago, watchdogs running", shapes.ha_armed),
    "startall-waiting": Scenario("broken, pve2 was reset: its guests' start waits for quorum", shapes.startall_waiting),
    "storage-readonly": Scenario("broken, two storages of pve2 are mounted read-only", shapes.storage_readonly),
    "storage-missing": Scenario(
        "broken, a volume is gone on pve1, the nas does not answer on pve2", shapes.storage_missing
    ),
    "backup-running": Scenario("broken, a backup is running on pve1", shapes.backup_running),
    "migrating": Scenario("broken, guest 101 is on its way from pve1 to pve2", shapes.migrating),
    "pve7": Scenario(
        "broken, on Proxmox VE 7.0: pvesr.timer and vzdump's cron file, no pvescheduler", shapes.broken, PVE7
    ),
    "pve9": Scenario(
        "broken, on Proxmox VE 9.1: HA rules, the fencing line, the KiB header of pvesm", shapes.pve9, PVE9
    ),
    "watchdog-client-left": Scenario(
        "broken, something that is not HA holds the watchdog of pve2", refused.watchdog_client_left
    ),
    "peer-quorate": Scenario("pve1 is alone, the other nodes see each other and have quorum", refused.peer_quorate),
    "member-unreachable": Scenario("broken, the last node is powered off", refused.member_unreachable),
    "conf-differs": Scenario("broken, /etc/corosync/corosync.conf of the last node was edited", refused.conf_differs),
    "authkey-differs": Scenario("broken, corosync's authkey of the last node is another one", refused.authkey_differs),
    "duplicate-id": Scenario(
        "broken, guest 203 is on pve1 in one database and on pve2 in the others", refused.duplicate_id
    ),
    "volume-elsewhere": Scenario(
        "broken, the disk of a stopped guest of pve1 is on the last node", refused.volume_elsewhere
    ),
    "guest-locked": Scenario("broken, guest 102 of pve1 kept a lock that no task holds", refused.guest_locked),
    "name-on-loopback": Scenario(
        "broken, the last node's own name resolves to loopback only", refused.name_on_loopback
    ),
    "clock-skew": Scenario("broken, the last node's clock is 90 s ahead", refused.clock_skew),
    "disk-full": Scenario("broken, the root file system of pve2 is full", refused.disk_full),
    "disk-short": Scenario(
        "broken, the root file system of pve2 has a little less left than its backup needs", refused.disk_short
    ),
    "stacked-mount": Scenario(
        "broken, /etc/pve of pve2 is mounted twice, the lower mount is dead", refused.stacked_mount
    ),
    "stale-mount": Scenario("broken, pmxcfs of pve2 was killed and left its mount behind", refused.stale_mount),
    "hung-pve": Scenario("broken, no access to /etc/pve of pve2 returns", refused.hung_pve),
    "other-run-live": Scenario("broken, a window of a run that nobody knows goes on on pve2", refused.other_run_live),
    "startall-shared": Scenario(
        "startall-waiting, and a guest that waits has its disk on the nas", refused.startall_shared
    ),
    "diverged": Scenario("broken, each node was given quorum alone for a while and edited", refused.diverged),
    "shared-by-two": Scenario(
        "broken, guests of pve2 and pve3 have their disks on the nas", shapes.broken, inventory=SHARED
    ),
    "ceph": Scenario("broken, Ceph runs on all nodes", refused.ceph),
    "qdevice": Scenario("broken, a QDevice gives its vote to one of the nodes", refused.qdevice),
    "corosync-removed-by-hand": Scenario(
        "broken, corosync stopped, disabled and its files deleted on every node", recognised.corosync_removed_by_hand
    ),
    "local-mode": Scenario("broken, pmxcfs -l was started by hand on pve1", recognised.local_mode),
    "hand-started-pmxcfs": Scenario(
        "broken, pmxcfs of pve1 was started by hand, not by its unit", recognised.hand_started_pmxcfs
    ),
    "unmounted": Scenario("broken, pve-cluster and corosync are stopped on pve1", recognised.unmounted),
    "standalone-corosync-running": Scenario(
        "broken, pve1 lost its power in its window: standalone, and corosync runs",
        recognised.standalone_corosync_running,
    ),
    "leftovers": Scenario(
        "standalone, with the authkey, corosync's ring ids and HA's files left", recognised.leftovers
    ),
}
