"""Starting states as people reported them in public, by name."""

from __future__ import annotations

from pve_lab import shapes
from pve_lab.scenario import Scenario
from pve_lab.shapes import causes, configs, reported
from pve_lab.wiring import ONE_FOR_ALL, OWN_LINK

REPORTED: dict[str, Scenario] = {
    "last-off": Scenario("the last node is powered off, the others are quorate", reported.last_off, wiring=OWN_LINK),
    "last-off-shared": Scenario(
        "the last node is powered off, corosync shares the guests' bridge", reported.last_off, wiring=ONE_FOR_ALL
    ),
    "one-alone": Scenario(
        "the last node is alone, the others are quorate, and nothing says why", reported.one_alone, wiring=OWN_LINK
    ),
    "one-alone-shared": Scenario(
        "one-alone, and corosync shares the guests' bridge", reported.one_alone, wiring=ONE_FOR_ALL
    ),
    "pmxcfs-failed-by-hosts": Scenario(
        "pve-cluster of pve2 failed: its own name is missing in its /etc/hosts",
        reported.pmxcfs_failed_by_hosts,
        wiring=OWN_LINK,
    ),
    "database-damaged": Scenario(
        "pve-cluster of pve2 failed: its database is damaged", reported.database_damaged, wiring=OWN_LINK
    ),
    "both-down": Scenario(
        "pve-cluster and corosync of pve2 do not run, the others are quorate", reported.both_down, wiring=OWN_LINK
    ),
    "separated": Scenario(
        "the last node was separated by hand, the others still list it", reported.separated, wiring=OWN_LINK
    ),
    "reinstalled": Scenario(
        "the last node is standalone and empty, the others still list it", reported.reinstalled, wiring=OWN_LINK
    ),
    "removed-while-up": Scenario(
        "the last node was removed by pvecm delnode while it was up", reported.removed_while_up, wiring=OWN_LINK
    ),
    "address-changed": Scenario(
        "the last node's link has another address than corosync.conf says", reported.address_changed, wiring=OWN_LINK
    ),
    "guide-half-done": Scenario(
        "a guide half done on the last node: no files in /etc/corosync", reported.guide_half_done, wiring=ONE_FOR_ALL
    ),
    "guide-half-done-own": Scenario(
        "guide-half-done, and corosync has a card for itself", reported.guide_half_done, wiring=OWN_LINK
    ),
    "corosync-never-stopped": Scenario(
        "a guide on the last node that forgot to stop corosync", reported.corosync_never_stopped, wiring=ONE_FOR_ALL
    ),
    "node-renamed": Scenario(
        "healthy, pve2 was renamed with hostnamectl and calls itself nodex", reported.node_renamed, wiring=OWN_LINK
    ),
    "node-renamed-broken": Scenario(
        "broken, pve2 was renamed with hostnamectl and calls itself nodex",
        causes.all_of(reported.node_renamed, shapes.broken),
        wiring=ONE_FOR_ALL,
    ),
    "one-member": Scenario(
        "a cluster of one: the other hosts left long ago", reported.one_member_left, wiring=ONE_FOR_ALL
    ),
    "one-member-device": Scenario(
        "one-member, and a quorum device without a vote in the configuration",
        reported.one_member_left_and_a_device,
        wiring=ONE_FOR_ALL,
    ),
    "member-without-vote": Scenario(
        "healthy, pve1 is a member without a vote", reported.member_without_vote, wiring=OWN_LINK
    ),
    "member-without-vote-broken": Scenario(
        "broken, pve1 is a member without a vote",
        causes.all_of(reported.member_without_vote, shapes.broken),
        wiring=ONE_FOR_ALL,
    ),
    "two-nodes-mode": Scenario("healthy, corosync.conf has two_node: 1", reported.two_nodes_mode, wiring=OWN_LINK),
    "others-off": Scenario(
        "all nodes but the first are powered off, and it has no quorum", reported.others_off, wiring=OWN_LINK
    ),
    "local-mode-for-good": Scenario(
        "the last node is off, pmxcfs -l -f runs on pve1 since", reported.local_mode_for_good, wiring=ONE_FOR_ALL
    ),
    "votes-forced-at-boot": Scenario(
        "every node alone and quorate: a unit sets expected votes to 1", reported.votes_forced_at_boot, wiring=OWN_LINK
    ),
    "database-damaged-broken": Scenario(
        "broken, and the database of pve2 is damaged", reported.database_damaged_in_broken, wiring=ONE_FOR_ALL
    ),
    "card-hangs": Scenario(
        "the cluster link is dead for 90 minutes, every card says that it is up",
        reported.card_hangs,
        wiring=ONE_FOR_ALL,
    ),
    "card-hangs-own": Scenario("card-hangs, and corosync has a card for itself", reported.card_hangs, wiring=OWN_LINK),
    "card-hangs-said": Scenario(
        "card-hangs-own, and the kernel of pve2 says so", reported.card_hangs_by_the_kernel, wiring=OWN_LINK
    ),
    "databases-wiped": Scenario(
        "config.db was deleted everywhere: guests run without configs", reported.databases_wiped, wiring=ONE_FOR_ALL
    ),
    "retransmits": Scenario("quorate, corosync sends messages again and again", reported.retransmits, wiring=OWN_LINK),
    "stanza-in-backup": Scenario(
        "authkey-lost, an old stanza lies beside pve2's network files",
        causes.all_of(causes.authkey_lost, reported.stanza_in_a_backup),
        wiring=OWN_LINK,
    ),
    "fail2ban": Scenario("healthy, fail2ban keeps a table of nftables", reported.fail2ban, wiring=OWN_LINK),
    "fail2ban-shared": Scenario(
        "broken on a shared link, fail2ban keeps a table of nftables",
        causes.all_of(reported.fail2ban, shapes.broken),
        wiring=ONE_FOR_ALL,
    ),
    "fail2ban-authkey": Scenario(
        "authkey-lost, fail2ban keeps a table of nftables",
        causes.all_of(reported.fail2ban, causes.authkey_lost),
        wiring=OWN_LINK,
    ),
    "bond-uneven": Scenario(
        "healthy, the cluster link is a bond of mode balance-rr", reported.bonded("balance-rr"), wiring=OWN_LINK
    ),
    "bond": Scenario(
        "healthy, the cluster link is a bond of mode active-backup", reported.bonded("active-backup"), wiring=OWN_LINK
    ),
    "routed-fabric": Scenario(
        "healthy, the ring is a routed fabric of cables from node to node", reported.routed_fabric, wiring=OWN_LINK
    ),
    "nft-drops": Scenario(
        "the last node's own nftables rule drops what comes to corosync's port", reported.nft_drops, wiring=OWN_LINK
    ),
    "proxmox-firewall-nft": Scenario(
        "healthy, Proxmox's firewall of nftables is on", reported.proxmox_firewall, wiring=OWN_LINK
    ),
    "udpu": Scenario("healthy, corosync.conf says transport: udpu", reported.udpu, wiring=OWN_LINK),
    "udpu-shared": Scenario(
        "broken on a shared link, corosync.conf says transport: udpu",
        causes.all_of(reported.udpu, shapes.broken),
        wiring=ONE_FOR_ALL,
    ),
    "cmap-busy": Scenario(
        "broken on a shared link, corosync's cmap says try again",
        causes.all_of(reported.cmap_busy, shapes.broken),
        wiring=ONE_FOR_ALL,
    ),
    "open-vswitch": Scenario(
        "broken, corosync is on the guests' bridge of Open vSwitch",
        causes.all_of(reported.open_vswitch, shapes.broken),
        wiring=ONE_FOR_ALL,
    ),
    "ha-single-node": Scenario(
        "one host alone, a guest under HA for its restart", reported.ha_on_a_single_node, wiring=ONE_FOR_ALL
    ),
    "unused-volume-gone": Scenario(
        "broken, a stale unused disk in a guest's config",
        configs.with_line(103, "unused7: local-lvm:vm-103-disk-7"),
        wiring=ONE_FOR_ALL,
    ),
    "cloud-init-gone": Scenario(
        "broken, a stopped guest's cloud-init drive is not there",
        configs.with_line(103, "ide2: local-lvm:vm-103-cloudinit,media=cdrom"),
        wiring=ONE_FOR_ALL,
    ),
    "iso-as-disk": Scenario(
        "broken, an ISO file is attached as a disk",
        configs.with_line(103, "ide3: nas:iso/OpenCore.iso,cache=unsafe,size=150M"),
        wiring=ONE_FOR_ALL,
    ),
    "iso-with-blank": Scenario(
        "broken, an ISO file with a blank in its name",
        configs.with_line(103, "ide2: local:iso/Windows 10 DE.iso,media=cdrom,size=5G"),
        wiring=ONE_FOR_ALL,
    ),
    "stray-line": Scenario(
        "broken, a stray line in one guest's config", configs.with_line(103, "hello world"), wiring=ONE_FOR_ALL
    ),
    "disk-by-id": Scenario(
        "broken, a whole disk is passed through by its id",
        configs.with_line(103, "scsi5: /dev/disk/by-id/ata-WDC_WD40-X_Y,size=4T"),
        wiring=ONE_FOR_ALL,
    ),
    "storage-removed": Scenario(
        "broken, an unused disk on a storage that is not configured any more",
        configs.with_line(103, "unused3: oldssd:vm-103-disk-0"),
        wiring=ONE_FOR_ALL,
    ),
    "content-dirs": Scenario("broken, a directory storage with content-dirs", configs.content_dirs, wiring=ONE_FOR_ALL),
    "option-twice": Scenario(
        "broken, an option twice in storage.cfg",
        configs.with_storage("dir: more\n\tpath /mnt/more\n\tcontent iso\n\tcontent backup\n\n"),
        wiring=ONE_FOR_ALL,
    ),
}
