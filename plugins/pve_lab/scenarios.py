"""Starting states of the lab by name: a line that says what it is, and the shape that makes it."""

from __future__ import annotations

from pve_lab import shapes
from pve_lab.inventory import SHARED
from pve_lab.model.version import PVE7, PVE9
from pve_lab.scenario import Scenario
from pve_lab.shapes import causes, recognised, refused
from pve_lab.states.booted import BOOTED
from pve_lab.states.disks import DISKS
from pve_lab.states.misread import MISREAD
from pve_lab.states.reported import REPORTED
from pve_lab.wiring import BY_NAME, ONE_FOR_ALL, OWN_LINK, TWO_LINKS

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
    "ha-quorate-9": Scenario("ha-quorate on Proxmox VE 9.1, where HA can be disarmed", shapes.ha_quorate, PVE9),
    "ha-armed": Scenario("high availability active, quorum lost 20 s ago, watchdogs running", shapes.ha_armed),
    "startall-waiting": Scenario("broken, pve2 was reset: its guests' start waits for quorum", shapes.startall_waiting),
    "storage-readonly": Scenario("broken, two storages of pve2 are mounted read-only", shapes.storage_readonly),
    "storage-missing": Scenario(
        "broken, a volume is gone on pve1, the nas does not answer on pve2", shapes.storage_missing
    ),
    "hung-nas": Scenario("healthy, no access to the nas of pve2 returns", shapes.hung_nas, wiring=OWN_LINK),
    "guest-starting": Scenario("healthy, a VM of pve1 is just starting", shapes.guest_starting, wiring=OWN_LINK),
    "guest-twice": Scenario("healthy, a VM of pve1 is two processes", shapes.guest_twice, wiring=OWN_LINK),
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
    "root-readonly": Scenario("broken, the root file system of pve2 went read-only", refused.root_readonly),
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
    "shared-link": Scenario(
        "broken, corosync shares the guests' bridge with everything", shapes.broken, wiring=ONE_FOR_ALL
    ),
    "shared-vlan": Scenario(
        "broken, corosync's VLAN on the guests' bridge has guests in it",
        causes.all_of(causes.shared_vlan, shapes.broken),
        wiring=OWN_LINK,
    ),
    "two-gateways": Scenario(
        "broken, pve2 has two default routes of the same rank",
        causes.all_of(causes.two_gateways, shapes.broken),
        wiring=OWN_LINK,
    ),
    "gateway-in-files": Scenario(
        "flapping, pve2's network files name two gateways",
        causes.all_of(causes.gateway_in_files, shapes.flapping),
        wiring=OWN_LINK,
    ),
    "routed": Scenario(
        "broken, the last node's ring address is behind a router",
        causes.all_of(causes.routed, shapes.broken),
        wiring=OWN_LINK,
    ),
    "names-differ": Scenario(
        "the last node is alone: it finds its peers' names in a stale network", causes.names_differ, wiring=BY_NAME
    ),
    "names-on-loopback": Scenario(
        "broken, every node's own name leads to 127.0.1.1 too",
        causes.all_of(causes.names_on_loopback, shapes.broken),
        wiring=OWN_LINK,
    ),
    "name-twice": Scenario(
        "flapping, pve2 finds two addresses for pve1",
        causes.all_of(causes.name_twice, shapes.flapping),
        wiring=OWN_LINK,
    ),
    "other-interface": Scenario(
        "the last node is alone: its corosync is bound to another interface", causes.other_interface, wiring=BY_NAME
    ),
    "address-twice": Scenario(
        "broken, pve2 has its ring address on two interfaces",
        causes.all_of(causes.address_twice, shapes.broken),
        wiring=OWN_LINK,
    ),
    "authkey-lost": Scenario("the last node is alone: its authkey is gone", causes.authkey_lost, wiring=OWN_LINK),
    "config-older": Scenario(
        "the last node is alone: its corosync.conf is older than the others'", causes.config_older, wiring=OWN_LINK
    ),
    "votes-edited": Scenario(
        "no quorum although all see each other: seven votes are expected", causes.votes_edited, wiring=OWN_LINK
    ),
    "filtered-port": Scenario(
        "the last node is alone: it drops corosync's packets", causes.filtered_port, wiring=OWN_LINK
    ),
    "filtered-all": Scenario(
        "the last node is alone: its firewall has no rule for corosync", causes.filtered_all, wiring=OWN_LINK
    ),
    "dead-link": Scenario(
        "the last node is alone: the card of its only link has no carrier", causes.dead_link, wiring=OWN_LINK
    ),
    "dead-link-of-two": Scenario(
        "quorate, one of two links of the last node has no carrier", causes.dead_link, wiring=TWO_LINKS
    ),
    "dead-port-of-two": Scenario(
        "quorate, one of two links of the last node is cut at the switch", causes.dead_beyond_the_card, wiring=TWO_LINKS
    ),
    "authkey-lost-shared": Scenario(
        "authkey-lost, and corosync shares the guests' bridge", causes.authkey_lost, wiring=ONE_FOR_ALL
    ),
    "filtered-two-gateways": Scenario(
        "filtered-port, and two default routes on pve2",
        causes.all_of(causes.two_gateways, causes.filtered_port),
        wiring=OWN_LINK,
    ),
    "config-older-names": Scenario(
        "config-older, and two addresses for pve1 on pve2",
        causes.all_of(causes.name_twice, causes.config_older),
        wiring=OWN_LINK,
    ),
    "votes-edited-routed": Scenario(
        "votes-edited, and the last node is behind a router",
        causes.all_of(causes.routed, causes.votes_edited),
        wiring=OWN_LINK,
    ),
    "dead-link-loopback": Scenario(
        "dead-link, and names on loopback", causes.all_of(causes.names_on_loopback, causes.dead_link), wiring=OWN_LINK
    ),
    "large-packets": Scenario(
        "broken, pve2 sends larger packets than the others",
        causes.all_of(causes.large_packets, shapes.broken),
        wiring=OWN_LINK,
    ),
    "far-apart": Scenario(
        "flapping, the token timeout is too short for the way",
        causes.all_of(causes.far_apart, shapes.flapping),
        wiring=OWN_LINK,
    ),
    "no-cause": Scenario("broken, and nothing on the nodes says why", shapes.broken, wiring=OWN_LINK),
    "settling": Scenario("quorate again since a moment ago", causes.settling, wiring=OWN_LINK),
    "own-link": Scenario("healthy, corosync has a card for itself", shapes.quorate, wiring=OWN_LINK),
    "two-links": Scenario("healthy, corosync has two cards for itself", shapes.quorate, wiring=TWO_LINKS),
    "weighted-votes": Scenario("healthy, one node has two votes", causes.weighted_votes, wiring=OWN_LINK),
    "ranked-gateways": Scenario(
        "healthy, a second default route waits with a metric", causes.ranked_gateways, wiring=OWN_LINK
    ),
    "firewall-on": Scenario("healthy, the firewall is on and knows corosync", causes.firewall_on, wiring=OWN_LINK),
    "firewall-with-states": Scenario(
        "healthy, the firewall knows no corosync, and lets it in as answers",
        causes.firewall_with_states,
        wiring=OWN_LINK,
    ),
    "own-vlan": Scenario("healthy, corosync has a VLAN for itself on a shared card", causes.own_vlan, wiring=OWN_LINK),
    "two-families": Scenario(
        "healthy, every name has an address of IPv6 too", causes.names_with_two_families, wiring=OWN_LINK
    ),
    **REPORTED,
    **BOOTED,
    **DISKS,
    **MISREAD,
}
