"""For each refusal of a gate that has a way on: the state in which it is said, and what a person does who reads it.

A command is typed on the lab's nodes, without quorum where there is none; what is done to hardware is done to the
model. Afterwards the gate holds, and a run that is carried out comes to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from gate_states import NO_OTHER_KEYS, Kind
from pve_lab.model.cluster import Cluster
from pve_lab.model.node import Node
from pve_lab.model.storage import Mount
from pve_lab.shapes import nodes_of, second
from pve_lab.shapes.disks import TARGET
from pve_runbook.diagnosis.stability import QUIET_SECONDS

Hand = Callable[[Cluster], None]


@dataclass(frozen=True)
class Walk:
    """What is done at a refusal that ``gate`` says in ``state``."""

    state: str
    gate: str
    kind: Kind = "runbook"
    at: str = ""
    """Words of the refusal that are followed."""
    typed: tuple[tuple[str, str], ...] = ()
    """Node, and what is typed there."""
    hand: Hand | None = None
    """What is done by hand, to cables, power and disks, or by somebody else."""
    passes: float = 0.0
    """Seconds that are waited after that."""
    said: str = ""
    """An option that the refusal names, as a pattern: it is typed as it stands there."""
    more: tuple[str, ...] = ()
    """Options that stand on the command line from then on, beside those that were there."""
    less: tuple[str, ...] = ()
    """Options that are left out from then on."""
    hosts: Mapping[str, str] | None = field(default_factory=lambda: None)
    """--hosts from then on, where they are others."""
    says: Mapping[str, Mapping[str, str]] | None = None
    """What nodes say from then on where the lab has no model of it."""
    runs: bool = False
    """Whether the gate of checks/ holds once the runbook was run."""
    ends: bool = True
    """Whether the run comes to its end with this alone."""


ALL = {name: name for name in ("pve1", "pve2", "pve3")}
TWO = {name: name for name in ("pve1", "pve2")}
OTHER_TWO = {name: name for name in ("pve1", "pve3")}
TAKES_OUT = "or the runbook takes it out"
AGAIN = "Run the same command line again"
LOOK = "Look at `systemctl status"
CONF = "/etc/corosync/corosync.conf"
OUT_OF_HA = "systemctl disable --now pve-ha-lrm; systemctl disable --now pve-ha-crm"
PVE_BACK = "systemctl reset-failed pve-cluster; systemctl start pve-cluster"


def _healed(cluster: Cluster) -> None:
    cluster.heal()
    cluster.clock.advance(60.0)


def _calm(cluster: Cluster) -> None:
    """The link comes and goes no more."""
    cluster.heal()
    cluster.isolate = cluster.heal  # type: ignore[method-assign]
    cluster.clock.advance(60.0)


def _powered(*names: str) -> Hand:
    def hand(cluster: Cluster) -> None:
        for name in names:
            cluster.nodes[name].power_on()
        cluster.clock.advance(60.0)

    return hand


def _nas_back(cluster: Cluster) -> None:
    node, place = second(cluster), "/mnt/pve/nas"
    node.storages.inactive.discard("nas")
    node.files.hung.discard(place)
    other = nodes_of(cluster)[-1]
    if place not in [m.target for m in node.storages.mounts]:
        node.storages.mounts.append(replace(next(m for m in other.storages.mounts if m.target == place)))
        _copied(other, node, place)


def _copied(source: Node, target: Node, folder: str) -> None:
    """What the folder holds is there on the other node too."""
    target.files.make_directories(folder)
    for path in (f"{folder}/{name}" for name in source.files.names(folder)):
        if source.files.is_directory(path):
            _copied(source, target, path)
        else:
            target.files.put(path, source.files.read(path))


def _writable(cluster: Cluster) -> None:
    for mount in second(cluster).storages.mounts:
        mount.options = mount.options.replace("ro,", "rw,", 1)


def _room(cluster: Cluster) -> None:
    root = second(cluster).storages.mounts[0]
    root.used = root.total // 4


def _in_time(cluster: Cluster) -> None:
    for node in nodes_of(cluster):
        node.skew = 0.0


def _let_go_of_the_watchdog(cluster: Cluster) -> None:
    for node in nodes_of(cluster):
        if node.ha.stray_client:
            node.processes.end(node.processes.named(node.ha.stray_client)[0].pid)
            node.ha.stray_client = ""
            node.ha.update_marker()


def _window_over(cluster: Cluster) -> None:
    for node in nodes_of(cluster):
        for name in [n for n in node.units.table if n.startswith("pve-runbook-")]:
            del node.units.table[name]


def _shut_down(vmid: int) -> Hand:
    return lambda cluster: second(cluster).guests.end(vmid)


def _migration_is_over(cluster: Cluster) -> None:
    """Without quorum it cannot hand the guest over: it fails, and the guest's lock stays."""
    source = nodes_of(cluster)[0].tasks
    for task in source.running:
        source.end(task, "migration aborted")
    second(cluster).guests.end(101)


def _resumed(cluster: Cluster) -> None:
    second(cluster).guests.qmp_status.clear()


def _nearer(cluster: Cluster) -> None:
    cluster.network.latency = 200


def _plugged(cluster: Cluster) -> None:
    for node in nodes_of(cluster):
        for interface in node.interfaces:
            interface.carrier = True
    cluster.form_memberships()
    cluster.clock.advance(60.0)


def _started(cluster: Cluster) -> None:
    """Quorum is back, and what waited for it is over; the guests that nobody starts are started by hand."""
    _healed(cluster)
    for node in nodes_of(cluster):
        for config in node.guests.own():
            if config.vmid not in node.guests.running and "template" not in config.values:
                node.guests.start(config.vmid)


def _same_mtu(cluster: Cluster) -> None:
    for node in nodes_of(cluster):
        for interface in node.interfaces:
            interface.mtu = min(interface.mtu, 1500)


def _more_mounted(cluster: Cluster) -> None:
    for node in nodes_of(cluster):
        node.files.make_directories("/mnt/more")
        node.storages.mounts.append(Mount("/mnt/more", "/dev/sdb1", "ext4", "rw,relatime"))


def _more_storages_well(cluster: Cluster) -> None:
    for node in nodes_of(cluster):
        node.storages.groups["pve"] = "wz--n-"
        node.storages.volume_attributes.clear()


def _ceph_well(cluster: Cluster) -> None:
    for node in nodes_of(cluster):
        node.storages.ceph_health = "HEALTH_OK"


def _portal_answers(cluster: Cluster) -> None:
    for node in nodes_of(cluster):
        node.storages.sessions.append(TARGET)


def checked(state: str, gate: str, at: str, **more: object) -> Walk:
    """A way on from what checks/ say."""
    return Walk(state, gate, "checks", at, **more)  # type: ignore[arg-type]


def back(state: str, gate: str, at: str, **more: object) -> Walk:
    """A way on from what the way back says."""
    return Walk(state, gate, "rollback", at, **more)  # type: ignore[arg-type]


def walk(state: str, gate: str, at: str, **more: object) -> Walk:
    """A way on from what the runbook says."""
    return Walk(state, gate, "runbook", at, **more)  # type: ignore[arg-type]


SSHD = NO_OTHER_KEYS["sshd -T"].replace("authorized_keys\n", "authorized_keys .ssh/authorized_keys2\n")
HOSTS_BACK = "sed -i '/10.9.9.9 other/d' /etc/hosts"
MORE_KEY = "sed -i /pve-runbook-/d /root/.ssh/authorized_keys2"
NAME_BACK = (
    ("pve2", "hostnamectl set-hostname pve2"),
    ("pve2", "sed -i s/nodex/pve2/g /etc/hosts"),
    ("pve2", "systemctl restart pve-cluster"),
)
NEWER = "-e 's/config_version: 4/config_version: 5/' -e 's/config_version: 3/config_version: 4/'"
WITHOUT_DEVICE = f"sed -i -e '/^ *device {{/,/^  }}/d' {NEWER} /etc/pve/corosync.conf"
NO_REPLICA = ("pve1", "pvesr delete 102-0")
SOON = ("pve1", "sleep 120")
"""Until pvescheduler has taken the job out."""
CONFIG_BACK = (("pve1", "cp /root/111.conf /etc/pve/nodes/pve1/lxc/"),)
ONE_OWNER = (
    ("pve1", "systemctl stop pve-cluster; pmxcfs -l"),
    ("pve1", "mv /etc/pve/nodes/pve1/qemu-server/203.conf /etc/pve/nodes/pve2/qemu-server/"),
    ("pve1", "pkill -TERM -x pmxcfs; systemctl start pve-cluster"),
)

WALKS: dict[str, Walk] = {
    "PVE-R001": checked(
        "keys-in-etc-pve",
        "test_a_second_way_in_would_hold",
        "Let sshd read .ssh/authorized_keys2 too",
        says={"pve2": {"sshd -T": SSHD}},
    ),
    "PVE-R002": checked("unmounted", "test_node_is_not_half_way", "Finish the dismantling", runs=True),
    "PVE-R003": checked(
        "others-off", "test_member_is_quorate", "See the verdict at the end", hand=_powered("pve2", "pve3")
    ),
    "PVE-R004": checked(
        "config-older",
        "test_members_agree",
        "Look at `grep config_version /etc/pve/corosync.conf` on each",
        typed=(("pve3", f"scp -p pve1:{CONF} /etc/corosync/"), ("pve3", "systemctl restart corosync")),
        passes=60,
    ),
    "PVE-R005": checked(
        "votes-forced-at-boot",
        "test_votes_are_not_forced",
        "restart corosync",
        typed=tuple((name, "systemctl restart corosync") for name in ALL),
        passes=60,
    ),
    "PVE-R006": checked(
        "startall-waiting", "test_no_guest_waits_for_quorum", "See that this is what you want", hand=_healed, passes=300
    ),
    "PVE-R007": checked("leftovers", "test_no_file_of_ha_is_left", "Run the runbook again: it parks them", runs=True),
    "PVE-R008": checked(
        "flapping",
        "test_link_does_not_come_and_go",
        "Fix the network under it first",
        hand=_calm,
        passes=3600,
        more=("--since=30m",),
    ),
    "PVE-R009": checked(
        "starved",
        "test_corosync_is_run_in_time",
        "Look at `top`, /proc/pressure and the disks",
        passes=3600,
        more=("--since=30m",),
    ),
    "PVE-R010": checked(
        "last-off",
        "test_lost_members_are_back",
        "See whether it is on and answers",
        hand=_powered("pve3"),
        passes=2 * QUIET_SECONDS,
    ),
    "PVE-R011": checked("settling", "test_membership_is_settled", "Wait five minutes", passes=QUIET_SECONDS),
    "PVE-R012": checked(
        "too-large",
        "test_packets_of_full_size_arrive",
        "Compare the MTU along the way",
        hand=_same_mtu,
        passes=3600,
        more=("--since=30m",),
    ),
    "PVE-R013": checked("slow-link", "test_links_are_quick", "Look at what shares the link", hand=_nearer),
    "PVE-R014": checked(
        "watched", "test_nothing_changes_while_watched", "Fix the network under it first", hand=_calm, passes=60
    ),
    "PVE-R015": checked("activated", "test_proxmox_calls_them_active", "`pvesm status` says", hand=_nas_back),
    "PVE-R016": walk("clock-skew", "test_clocks_agree", "Fix time synchronisation first", hand=_in_time),
    "PVE-R017": walk(
        "duplicate-id", "test_every_guest_has_one_owner", "`systemctl stop pve-cluster; pmxcfs -l`", typed=ONE_OWNER
    ),
    "PVE-R018": walk("not-root", "test_login_is_root", "Log in as root", says={}),
    "PVE-R019": walk(
        "pve6", "test_is_proxmox_we_know", "Leave it out of --hosts", hosts=OTHER_TWO, more=("--absent=pve2",), says={}
    ),
    "PVE-R020": walk("named-twice", "test_every_node_is_named_once", "Leave again or pve1 out of --hosts", hosts=ALL),
    "PVE-R021": walk(
        "stacked-mount",
        "test_etc_pve_is_mounted_once",
        "`umount -l /etc/pve` until `findmnt /etc/pve` prints nothing",
        typed=(
            ("pve2", "systemctl stop pve-cluster"),
            ("pve2", "while findmnt /etc/pve; do umount -l /etc/pve; done"),
            ("pve2", "systemctl start pve-cluster"),
        ),
    ),
    "PVE-R022": walk(
        "stale-mount",
        "test_etc_pve_is_served",
        "There: `umount -l /etc/pve`, `systemctl reset-failed pve-cluster`, `systemctl start pve-cluster`",
        typed=(("pve2", "umount -l /etc/pve"), ("pve2", PVE_BACK)),
    ),
    "PVE-R023": walk(
        "hung-pve",
        "test_etc_pve_answers",
        "If it still hangs: `systemctl stop pve-cluster`, `umount -l /etc/pve`, `systemctl reset-failed pve-cluster`",
        typed=(
            ("pve2", "systemctl stop corosync"),
            ("pve2", "systemctl stop pve-cluster"),
            ("pve2", "umount -l /etc/pve"),
            ("pve2", PVE_BACK),
        ),
    ),
    "PVE-R024": walk(
        "stale-mount",
        "test_state_is_known",
        "Compare `pvecm status`, `findmnt /etc/pve`",
        typed=(("pve2", "umount -l /etc/pve"), ("pve2", PVE_BACK)),
    ),
    "PVE-R025": walk("disk-full", "test_there_is_space", "Free some space there", hand=_room),
    "PVE-R026": walk("root-readonly", "test_there_is_space", "once the disk is well, remount it", hand=_writable),
    "PVE-R027": walk("guest-locked", "test_no_guest_is_locked", "--accept=locks", said=r"--accept=locks"),
    "PVE-R028": walk("broken", "test_nodes_are_locked", "run the same command line again"),
    "PVE-R029": walk("taken-up", "test_nodes_are_released", AGAIN),
    "PVE-R030": walk("broken", "test_scheduler_is_off", LOOK),
    "PVE-R032": walk("key-left", "test_second_way_in_is_closed", "or take the line out", typed=(("pve2", MORE_KEY),)),
    "PVE-R033": walk(
        "taken-up-live", "test_nothing_of_an_earlier_run_goes_on", "run the same command line again", hand=_window_over
    ),
    "PVE-R034": walk(
        "backup-running", "test_nothing_is_under_way", "Wait until it is done", passes=8000, more=("--accept=locks",)
    ),
    "PVE-R035": walk(
        "volume-elsewhere", "test_guests_have_their_volumes", "--accept=volumes", said=r"--accept=volumes"
    ),
    "PVE-R036": walk("storage-readonly", "test_storages_are_usable", "Fix the storage first", hand=_writable),
    "PVE-R037": walk("ha-armed", "test_ha_can_be_stopped", "Bring quorum back", hand=_healed, passes=QUIET_SECONDS),
    "PVE-R038": walk(
        "watchdog-client-left",
        "test_no_watchdog_client_but_has",
        "end it the way it was started",
        hand=_let_go_of_the_watchdog,
    ),
    "PVE-R039": walk(
        "startall-shared",
        "test_no_start_of_all_guests_would_double",
        "restore quorum and let them start",
        hand=_healed,
        passes=900,
    ),
    "PVE-R040": checked(
        "migrating",
        "test_every_running_guest_has_its_config_here",
        "shut the guest down from inside",
        hand=_shut_down(101),
    ),
    "PVE-R041": walk(
        "guest-removed",
        "test_every_guest_is_listed",
        "Compare `ls /etc/pve/nodes/*/*/` there with the backup",
        typed=CONFIG_BACK,
    ),
    "PVE-R042": walk("paused", "test_no_guest_stands_still", "`qm resume VMID`", hand=_resumed),
    "PVE-R043": checked("half-dismantled", "test_pvecm_knows_no_cluster", TAKES_OUT, runs=True),
    "PVE-R044": checked("half-dismantled", "test_etc_pve_is_its_own", TAKES_OUT, runs=True),
    "PVE-R045": checked(
        "foreign-pmxcfs",
        "test_pmxcfs_is_the_units_own",
        "End it (`pkill -TERM -x pmxcfs`), then `systemctl start pve-cluster`",
        typed=(("pve2", "pkill -TERM -x pmxcfs"), ("pve2", "systemctl start pve-cluster")),
    ),
    "PVE-R046": checked(
        "services-down",
        "test_services_run",
        "Look at `systemctl --failed`",
        typed=(("pve2", "systemctl start pvestatd pveproxy"),),
    ),
    "PVE-R047": checked("leftovers", "test_corosync_cannot_come_back", AGAIN, runs=True),
    "PVE-R048": checked(
        "ha-left",
        "test_no_leftover_acts_on_a_standalone_node",
        "systemctl disable --now pve-ha-lrm pve-ha-crm",
        typed=(("pve2", "systemctl disable --now pve-ha-lrm pve-ha-crm"),),
    ),
    "PVE-R049": walk("member-unreachable", "test_hosts_are_the_members", "--absent=pve3", said=r"--absent=pve3"),
    "PVE-R050": walk(
        "absent-seen", "test_absent_members_are_not_seen", "Name it in --hosts", hosts=ALL, less=("--absent=pve3",)
    ),
    "PVE-R051": walk(
        "shared-by-two", "test_shared_storage_has_one_owner", "say so: --accept", said=r"--accept=shared-storage"
    ),
    "PVE-R052": walk("ceph", "test_ceph_does_not_run_here", "say so: --accept=ceph", said=r"--accept=ceph"),
    "PVE-R053": walk("diverged", "test_databases_have_not_diverged", "Name the authority", said=r"--authority=pve3"),
    "PVE-R056": walk("quorate", "test_no_majority_is_quorate", "give the reason", said=r"--anyway="),
    "PVE-R057": walk("quorate", "test_dismantling_is_called_for", "give the reason", said=r"--anyway="),
    "PVE-R066": back("back-locked", "test_nobody_else_works_here", "--break-lock=", said=r"--break-lock=[\w-]+"),
    "PVE-R071": walk("locked", "test_nobody_else_works_here", "given up for good", said=r"--break-lock=[\w-]+"),
    "PVE-R073": walk("leftovers", "test_nothing_stands_in_the_way", AGAIN),
    "PVE-R074": walk("broken", "test_nothing_stands_in_the_way", AGAIN),
    "PVE-R075": walk("frozen", "test_nothing_stands_in_the_way", AGAIN),
    "PVE-R079": walk(
        "two-clusters",
        "test_hosts_are_the_members",
        "Name the nodes of one cluster only",
        hosts=OTHER_TWO,
        more=("--absent=pve2",),
    ),
    "PVE-R080": walk("stranger", "test_hosts_are_the_members", "Leave it out: --hosts=", hosts=TWO),
    "PVE-R081": walk("other-run-live", "test_no_other_run_is_live", "Wait until", hand=_window_over),
    "PVE-R082": walk(
        "authkey-differs",
        "test_members_have_one_configuration",
        "mending it may be all that is needed",
        typed=(("pve3", "scp -p pve1:/etc/corosync/authkey /etc/corosync/"), ("pve3", "systemctl restart corosync")),
    ),
    "PVE-R083": walk(
        "peer-quorate", "test_nobody_is_quorate_beside_others", "Fix the network to", hand=_healed, passes=QUIET_SECONDS
    ),
    "PVE-R084": walk(
        "name-on-loopback",
        "test_name_is_off_loopback",
        "Put the node's own address before",
        typed=(("pve3", "sed -i s/127.0.1.1/10.55.0.13/ /etc/hosts"),),
    ),
    "PVE-R085": walk(
        "migrating",
        "test_no_guest_is_locked",
        "Wait for it",
        hand=_migration_is_over,
        more=("--accept=locks",),
    ),
    "PVE-R086": walk("canary-taken", "test_canary_id_is_free", "leave the option out", less=("--canary=201",)),
    "PVE-R087": walk("broken", "test_lrm_is_off", LOOK),
    "PVE-R088": walk("broken", "test_crm_is_off", LOOK),
    "PVE-R089": walk(
        "watchdog-client-left", "test_no_watchdog_client_is_left", "Find it", hand=_let_go_of_the_watchdog
    ),
    "PVE-R091": walk(
        "poor-authority",
        "test_authority_is_chosen",
        "Choose another one with --authority=NODE",
        hand=_nas_back,
        less=("--authority=pve1",),
        more=("--authority=pve3", "--accept=volumes"),
    ),
    "PVE-R092": walk(
        "old-authority",
        "test_authority_knows_the_newest_configuration",
        "accept it by name",
        less=("--authority=pve1",),
        said=r"--authority=pve1@\d+",
    ),
    "PVE-R093": walk("broken", "test_scheduler_still_waits_for_nobody", AGAIN),
    "PVE-R094": walk("broken", "test_peers_are_silent", LOOK),
    "PVE-R095": walk("unmounted", "test_etc_pve_is_there", LOOK),
    "PVE-R096": walk("broken", "test_authority_is_quorate", "run the same command line again"),
    "PVE-R097": walk(
        "guest-removed",
        "test_web_ui_shows_every_guest",
        "Look at `pvesh get /cluster/resources`",
        typed=CONFIG_BACK,
    ),
    "PVE-R098": walk("broken", "test_node_leaves", AGAIN),
    "PVE-R099": walk("broken", "test_node_is_standalone", AGAIN),
    "PVE-R100": walk(
        "services-down",
        "test_web_ui_answers",
        "Look at `systemctl status pveproxy`",
        typed=(("pve2", "systemctl start pveproxy pvestatd"),),
    ),
    "PVE-R101": walk("broken", "test_web_ui_shows_no_cluster", "Look at `cat /etc/pve/.members`"),
    "PVE-R102": walk("broken", "test_members_are_nobody", LOOK),
    "PVE-R103": walk("key-left", "test_guests_can_start_and_stop", AGAIN),
    "PVE-R104": walk(
        "scheduler-stopped",
        "test_schedulers_run_again",
        "Type `systemctl start pvescheduler` there",
        typed=(("pve2", "systemctl start pvescheduler"),),
    ),
    "PVE-R105": back("back-left-out", "test_hosts_are_those_of_the_record", "--hosts=pve1,pve2,pve3", hosts=ALL),
    "PVE-R107": back(
        "back-ha",
        "test_ha_is_off",
        "Type `systemctl disable --now pve-ha-lrm` on all nodes",
        typed=(("pve2", OUT_OF_HA),),
    ),
    "PVE-R108": back(
        "back-network",
        "test_network_is_as_it_was",
        "Put it back",
        typed=(("pve2", HOSTS_BACK),),
    ),
    "PVE-R109": back(
        "back-changed",
        "test_nobody_changed_the_node_since",
        "discard the changes by name",
        said=r"--discard-changes=\w+",
    ),
    "PVE-R110": back("back", "test_node_has_its_own_configuration_again", AGAIN),
    "PVE-R111": back(
        "back-edited",
        "test_node_has_its_own_configuration_again",
        "compare `ls /etc/pve/nodes/*/*/` with the record's backups",
        typed=(("pve2", "sed -i '/^description: x$/d' /etc/pve/nodes/pve2/qemu-server/201.conf"),),
    ),
    "PVE-R112": back("back", "test_corosync_runs_again", LOOK),
    "PVE-R113": back("back", "test_quorum_is_what_it_was", "Look at `pvecm status`"),
    "PVE-R114": checked("option-twice", "test_directories_are_in_their_place", "Mount it", hand=_more_mounted),
    "PVE-R115": checked(
        "storage-missing", "test_network_storages_are_mounted", "See that its server answers", hand=_nas_back
    ),
    "PVE-R116": checked("hung-nas", "test_network_storages_answer", "Check its server", hand=_nas_back),
    "PVE-R117": checked("storage-readonly", "test_storages_are_writable", "then remount", hand=_writable),
    "PVE-R118": checked("more-storages", "test_volume_groups_are_whole", "Look at `vgs`", hand=_more_storages_well),
    "PVE-R119": checked("more-storages", "test_thin_pools_have_room", "extend it", hand=_more_storages_well),
    "PVE-R120": checked("storage-readonly", "test_zfs_is_online", "Look at `zpool status -x`", hand=_writable),
    "PVE-R121": checked(
        "iscsi-no-session", "test_iscsi_targets_have_sessions", "See that the portal answers", hand=_portal_answers
    ),
    "PVE-R122": checked("ill-ceph", "test_ceph_is_healthy", "Look at `ceph -s`", hand=_ceph_well),
    **{
        id_: checked(state, gate, "dismantle (pytest runbook/ --hosts=...)", runs=True)
        for id_, state, gate in (
            ("PVE-R123", "broken", "test_cluster_link_is_not_shared"),
            ("PVE-R124", "two-gateways", "test_there_is_one_default_gateway"),
            ("PVE-R125", "routed", "test_cluster_traffic_is_not_routed"),
            ("PVE-R126", "name-twice", "test_names_mean_one_thing"),
            ("PVE-R127", "address-twice", "test_corosync_is_on_its_interface"),
        )
    },
    "PVE-R128": checked("dead-link", "test_links_are_connected", "Look at cable, card and switch port", hand=_plugged),
    "PVE-R129": checked(
        "filtered-port",
        "test_corosyncs_packets_pass",
        "Allow UDP 5405:5412",
        typed=(("pve3", "iptables -D INPUT -i eno3 -p udp -m udp --dport 5405 -j DROP"),),
    ),
    "PVE-R130": checked("large-packets", "test_packet_sizes_agree", "the same MTU everywhere", hand=_same_mtu),
    "PVE-R131": checked(
        "far-apart", "test_token_timeout_suits_the_way", "or bring the nodes closer together", hand=_nearer
    ),
    "PVE-R146": walk("reset", "test_baseline_is_taken", "run the same command line again"),
    "PVE-R148": walk(
        "node-renamed-broken",
        "test_hosts_are_the_members",
        "`hostnamectl set-hostname pve2`, pve2 for nodex in /etc/hosts, then `systemctl restart pve-cluster`",
        typed=NAME_BACK,
    ),
    "PVE-R149": walk(
        "voteless-newest",
        "test_authority_can_be_given_quorum",
        "Name a node with a vote, by the version of its database",
        said=r"--authority=pve2@\d+",
    ),
    "PVE-R150": checked(
        "conf-with-comment-broken",
        "test_corosync_starts_with_its_configuration",
        "in /etc/corosync/corosync.conf of this node, then `systemctl restart corosync` there",
        typed=(("pve3", f"sed -i 's/  # one for each//' {CONF}"), ("pve3", "systemctl restart corosync")),
    ),
    "PVE-R152": checked("rbd-silent", "test_pools_can_be_listed", "See that its monitors answer", passes=400),
    "PVE-R153": walk(
        "leaving-apart", "test_those_that_stay_are_a_cluster", "Fix that first", hand=_healed, passes=QUIET_SECONDS
    ),
    "PVE-R154": walk(
        "leaving-device",
        "test_those_that_stay_are_a_cluster",
        "take the section `device` out of /etc/pve/corosync.conf",
        typed=(("pve1", "pvecm expected 2"), ("pve1", "sleep 60"), NO_REPLICA, SOON, ("pve1", WITHOUT_DEVICE)),
        more=("--accept=forced-quorum",),
        passes=120,
    ),
    "PVE-R155": walk(
        "leaving-voteless",
        "test_those_that_stay_are_a_cluster",
        "Give one of them a vote first (quorum_votes in corosync.conf)",
        typed=(
            ("pve1", f"sed -i -e 's/quorum_votes: 0/quorum_votes: 1/' {NEWER} /etc/pve/corosync.conf"),
            NO_REPLICA,
        ),
        more=("--accept=forced-quorum",),
        passes=120,
    ),
    "PVE-R156": walk(
        "leaving-votes-edited",
        "test_those_that_stay_are_a_cluster",
        "Fix that first",
        typed=(
            ("pve1", "pvecm expected 3"),
            ("pve1", "sleep 60"),
            ("pve1", f"sed -i -e '/expected_votes: 7/d' {NEWER} /etc/pve/corosync.conf"),
        ),
        passes=30,
    ),
    "PVE-R157": walk(
        "leaving-ha-minority",
        "test_those_that_stay_are_a_cluster",
        "or let the nodes go one at a time",
        less=("--leave=pve2,pve3",),
        more=("--leave=pve3",),
    ),
    "PVE-R159": walk(
        "leaving-unsettled", "test_nodes_may_leave_now", "run the same command line", passes=QUIET_SECONDS
    ),
    "PVE-R160": walk(
        "leaving-ha", "test_ha_manages_no_guest_that_leaves", "`ha-manager remove vm:301` on pve1. Run the same"
    ),
    "PVE-R161": walk(
        "leaving-replica",
        "test_nothing_is_replicated_to_or_from_what_leaves",
        "Type `pvesr delete 102-0` on pve1",
        typed=(NO_REPLICA,),
        passes=120,
    ),
    "PVE-R162": walk("leaving-ceph", "test_ceph_does_not_run_here", "Once none is there", said=r"--accept=ceph"),
    "PVE-R163": walk("leaving", "test_those_that_left_are_forgotten", AGAIN),
    "PVE-R164": walk(
        "leaving-apart",
        "test_those_that_stay_are_quorate",
        "run the same command line",
        hand=_healed,
        passes=QUIET_SECONDS,
    ),
    "PVE-R167": walk(
        "leaving-ha-armed",
        "test_ha_can_be_told",
        "`pvecm expected 1` where it is alone",
        typed=(("pve1", "pvecm expected 1"), ("pve1", "sleep 15"), ("pve1", "ha-manager remove vm:301")),
        hand=_healed,
        passes=QUIET_SECONDS,
    ),
    "PVE-R172": checked(
        "ha-reset", "test_no_guest_is_down_that_nobody_starts", "is started once the node has quorum", hand=_started
    ),
    "PVE-R173": walk("reloaded", "test_network_is_untouched", "run the same command line again"),
    "PVE-R174": walk("startall-waiting", "test_start_of_all_guests_is_held", AGAIN),
    "PVE-R175": walk("startall-held", "test_start_of_all_guests_went_on", AGAIN),
    "PVE-R168": walk(
        "start-waits",
        "test_no_unknown_start_waits",
        "or end it: `systemctl stop site-sync.service`",
        typed=(("pve2", "systemctl stop site-sync.service"),),
    ),
    "PVE-R169": walk(
        "pid-file",
        "test_baseline_is_taken",
        "> /run/qemu-server/201.pid`",
        typed=(("pve2", "pgrep -f 'kvm -id 201 ' > /run/qemu-server/201.pid"),),
    ),
}
