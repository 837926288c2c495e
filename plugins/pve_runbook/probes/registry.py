"""The registry of probes: every read-only question a node is ever asked.

A probe is an argv, a time bound, a parser and one sentence that says why it is asked. Nothing else is sent
to a node in a run that only verifies. Commands and outputs: recorded on PVE 8.3, variants of 7 and 9 from
Proxmox's sources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec.structs import replace

from pve_runbook.parsers import (
    config_db,
    corosync_conf,
    corosync_stats,
    guests,
    ha,
    host,
    iproute,
    iptables,
    network_files,
    nftables,
    own_files,
    pmxcfs,
    pvecm,
    pvesh,
    storage,
    systemd,
    tasks,
)
from pve_runbook.parsers.output import Output
from pve_runbook.probes import checks_only, pid_files, redact, start_jobs, volumes
from pve_runbook.probes.ha import HA_VERSION
from pve_runbook.probes.probe import AUTHORIZED_KEYS2, CONFIG_DB, LOCK_PATH, Group, Probe

T = TypeVar("T")

INTERFACES_FILES = (network_files.INTERFACES, f"{network_files.INTERFACES}.d")

UNITS = (
    "corosync.service",
    "corosync-qdevice.service",
    "pve-cluster.service",
    "pvedaemon.service",
    "pveproxy.service",
    "pvestatd.service",
    "spiceproxy.service",
    "pvescheduler.service",
    "pvesr.timer",
    "pve-ha-lrm.service",
    "pve-ha-crm.service",
    "watchdog-mux.service",
    "pve-guests.service",
    "pve-firewall.service",
    "pve-sdn-commit.service",
    "pve-firewall-commit.service",
)


_registry: list[Probe[object]] = [*checks_only.PROBES, *volumes.PROBES, *pid_files.PROBES]
_registry += [*start_jobs.PROBES, HA_VERSION]


def _probe(
    name: str,
    argv: Iterable[str],
    parse: Callable[[Output], T],
    why: str,
    *,
    timeout: int = 10,
    group: Group = Group.CORE,
    redact: Callable[[Output], str] | None = None,
) -> Probe[T]:
    probe = Probe(name, tuple(argv), parse, why, timeout, group, redact)
    _registry.append(probe)
    return probe


HOSTNAME = _probe("hostname", ["hostname"], host.parse_hostname, "which node answers at this address")
UID = _probe("uid", ["id", "-u"], host.parse_uid, "whether the login is root")
# More than others: on busy nodes pveversion, which loads all of Proxmox's modules, took over ten seconds (kept facts).
VERSION = _probe("version", ["pveversion"], host.parse_version_if_any, "which Proxmox VE this is", timeout=30)
BOOT_ID = _probe(
    "boot_id",
    ["cat", "/proc/sys/kernel/random/boot_id"],
    host.parse_boot_id,
    "continuity: the same boot before and after",
)
CLOCK = _probe("clock", ["date", "+%s.%N"], host.parse_epoch, "whether the nodes' clocks agree")
HOSTS_FILE = _probe(
    "hosts_file",
    ["cat", "/etc/hosts"],
    host.parse_hosts_file,
    "how names resolve on this node",
    redact=redact.without_comments,
)
UNIT_STATES = _probe(
    "units",
    [
        "systemctl",
        "show",
        "-p",
        "Id,LoadState,ActiveState,SubState,UnitFileState,ConditionResult,MainPID,ExecMainStatus,Result,Job",
        *UNITS,
    ],
    systemd.parse_units,
    "which of Proxmox's services run, and which will start again",
)
JOBS = _probe(
    "jobs",
    ["systemctl", "list-jobs", "--no-pager", "--no-legend"],
    systemd.parse_list_jobs,
    "what waits for quorum and would start the moment it is granted",
)
PVE_MOUNT = _probe(
    "pve_mount",
    ["findmnt", "-n", "-o", "FSTYPE,SOURCE,OPTIONS", "/etc/pve"],
    pmxcfs.parse_findmnt,
    "whether /etc/pve is mounted, once",
)
PVE_MODE = _probe(
    "pve_mode",
    ["stat", "-c", "%a", "/etc/pve/local"],
    pmxcfs.parse_mode,
    "whether /etc/pve is writable: 755, or 555 without quorum",
)
MEMBERS = _probe("members", ["cat", "/etc/pve/.members"], pmxcfs.parse_members, "the members as pmxcfs sees them")
PVE_COROSYNC_CONF = _probe(
    "pve_corosync_conf",
    ["cat", "/etc/pve/corosync.conf"],
    corosync_conf.parse_corosync_conf,
    "the cluster's configuration in the database",
    redact=redact.corosync_conf,
)
ETC_COROSYNC_CONF = _probe(
    "etc_corosync_conf",
    ["cat", "/etc/corosync/corosync.conf"],
    corosync_conf.parse_corosync_conf,
    "the configuration that corosync itself reads",
    redact=redact.corosync_conf,
)
COROSYNC_DIRS = _probe(
    "corosync_dirs",
    ["ls", "-A", "/etc/corosync", "/var/lib/corosync"],
    host.parse_ls_dirs,
    "what corosync left on the disk",
)
AUTHKEY = _probe(
    "authkey",
    ["sha256sum", "/etc/corosync/authkey"],
    host.parse_sha256sums,
    "whether the nodes share one corosync key",
)
DB_DIR = _probe(
    "db_dir",
    ["ls", "-A", "/var/lib/pve-cluster"],
    host.parse_ls,
    "how the configuration database may be read without touching it",
)
PMXCFS_PROCESS = _probe("pmxcfs", ["pgrep", "-ax", "pmxcfs"], pmxcfs.parse_pgrep, "who serves /etc/pve")
COROSYNC_PROCESS = _probe("corosync", ["pgrep", "-ax", "corosync"], pmxcfs.parse_pgrep, "whether corosync runs")
UDP = _probe("udp", ["ss", "-H", "-ulnp"], iproute.parse_ss_udp, "whether anything listens on corosync's ports")
PVECM = _probe("pvecm", ["pvecm", "status"], pvecm.parse_pvecm_status, "quorum as Proxmox itself reports it")
WATCHDOG = _probe(
    "watchdog",
    ["ls", "-ld", "/run/watchdog-mux.active"],
    ha.parse_watchdog_marker,
    "whether a watchdog client could reset this node",
)
CRON = _probe(
    "cron",
    ["ls", "-A", "/etc/cron.d"],
    host.parse_ls,
    "backups that cron would start: vzdump is a link to /etc/pve/vzdump.cron, on 8 and 9 too, where it starts only "
    "what PVE 7.0 and older wrote there",
)
TASK_PROCESSES = _probe(
    "task_processes",
    ["pgrep", "-af", "^task UPID:"],
    tasks.parse_task_processes,
    "workers that really live: the task list can be stale",
)
GUEST_PROCESSES = _probe(
    "guest_processes",
    ["pgrep", "-af", guests.GUEST_PROGRAMS],
    guests.parse_guest_processes,
    "continuity: every guest is a process with a pid",
    redact=redact.guest_processes,
)
STORAGE_CFG = _probe(
    "storage_cfg",
    ["cat", "/etc/pve/storage.cfg"],
    storage.parse_storage_cfg,
    "which storages there are",
    redact=redact.storage_cfg,
)
PROC_MOUNTS = _probe("mounts", ["cat", "/proc/mounts"], storage.parse_proc_mounts, "whether a storage became read-only")
FREE_SPACE = _probe(
    "space",
    ["df", "-Pk", "/var/lib/pve-cluster", "/root", "/run"],
    storage.parse_df,
    "whether a backup fits and the database can be written",
)
LVS = _probe(
    "lvs",
    ["lvs", "--reportformat", "json", "-o", "vg_name,lv_name,lv_attr,data_percent,metadata_percent"],
    storage.parse_lvs,
    "the volumes on LVM",
    timeout=20,
)
ZFS = _probe("zfs", ["zfs", "list", "-H", "-o", "name"], storage.parse_zfs_list, "the volumes on ZFS", timeout=20)
ZPOOLS = _probe(
    "zpools", ["zpool", "list", "-H", "-o", "name,health"], storage.parse_zpool_list, "the pools' health", timeout=20
)
ADDRESSES = _probe(
    "addresses",
    ["ip", "-j", "addr"],
    iproute.parse_ip_addr,
    "this node's addresses, and that nothing changes the network under the guests during the run",
)
ROUTES = _probe(
    "routes",
    ["ip", "-j", "route"],
    iproute.parse_ip_route,
    "whether there is one default gateway",
    group=Group.NETWORK,
)
ROUTES6 = _probe(
    "routes6",
    ["ip", "-j", "-6", "route", "show", "default"],
    iproute.parse_ip_route,
    "whether there is one default gateway for IPv6",
    group=Group.NETWORK,
)
LINKS = _probe(
    "links",
    ["ip", "-j", "-d", "-s", "link"],
    iproute.parse_ip_link,
    "which link the cluster shares with what, and how well it carries",
    group=Group.NETWORK,
)
GATEWAY_LINES = _probe(
    "gateway_lines",
    ["grep", "-rHE", network_files.GATEWAY_LINES, *INTERFACES_FILES],
    network_files.parse_gateway_lines,
    "which default gateways will be there after the next start of the network",
    redact=redact.without_comments,
    group=Group.NETWORK,
)
NSSWITCH = _probe(
    "nsswitch",
    ["cat", "/etc/nsswitch.conf"],
    network_files.parse_nsswitch,
    "who is asked first when a name is looked up",
    group=Group.NETWORK,
)
PACKET_FILTER = _probe(
    "packet_filter",
    ["iptables-save"],
    iptables.parse_iptables_save,
    "whether corosync's packets are dropped (pve-firewall itself reads them so every ten seconds)",
    redact=redact.packet_filter,
    group=Group.NETWORK,
)
NFT_RULESET = _probe(
    "nft_ruleset",
    ["nft", "-j", "list", "ruleset"],
    nftables.parse_nft_ruleset,
    "whether rules that iptables-save does not show drop corosync's packets",
    redact=redact.nft_ruleset,
    group=Group.NETWORK,
)
NETWORK_FILES = _probe(
    "network_files",
    ["sha256sum", "/etc/hosts", "/etc/hostname", "/etc/network/interfaces"],
    host.parse_sha256sums,
    "that nobody changes the network during the run",
)
NETWORK_DROP_INS = _probe(
    "network_drop_ins",
    ["find", *network_files.DROP_INS, "-type", "f", "-exec", "sha256sum", "{}", "+"],
    network_files.parse_drop_ins,
    "that nobody changes during the run what becomes of the network at the next boot",
)
LOCK = _probe(
    "lock",
    ["readlink", LOCK_PATH],
    own_files.parse_lock,
    "whether another run holds this node",
)
SECOND_KEYS = _probe(
    "second_keys",
    ["cat", AUTHORIZED_KEYS2],
    host.parse_file_lines,
    "which keys would still let a login in while /etc/pve is not mounted",
    redact=redact.second_keys,
)
OUR_UNITS = _probe(
    "our_units",
    ["systemctl", "list-units", "--no-legend", "--plain", "--no-pager", "--all", "pve-runbook-*"],
    systemd.parse_list_units,
    "whether a command of an earlier run still goes on here",
)

QM_LIST = _probe(
    "qm_list",
    ["qm", "list", "--full"],
    guests.parse_qm_list,
    "the VMs as Proxmox lists them, paused and io-error included",
    timeout=60,
    group=Group.GUESTS,
)
PCT_LIST = _probe(
    "pct_list",
    ["pct", "list"],
    guests.parse_pct_list,
    "the containers as Proxmox lists them",
    timeout=60,
    group=Group.GUESTS,
)
PVESM = _probe(
    "pvesm",
    ["pvesm", "status"],
    storage.parse_pvesm_status,
    "whether the storages are active (this mounts what is not mounted)",
    timeout=90,
    group=Group.ACTIVATING,
)
API_STATUS = _probe(
    "api_status",
    ["pvesh", "get", "/cluster/status", "--output-format", "json"],
    pvesh.parse_cluster_status,
    "what the web UI says of the cluster",
    timeout=30,
    group=Group.API,
)
API_RESOURCES = _probe(
    "api_resources",
    ["pvesh", "get", "/cluster/resources", "--output-format", "json"],
    pvesh.parse_cluster_resources,
    "the guests that the web UI shows",
    redact=redact.resources,
    timeout=30,
    group=Group.API,
)
WEB_UI = _probe(
    "web_ui",
    ["wget", "-q", "-O", "/dev/null", "--no-check-certificate", "https://localhost:8006/"],
    pvesh.parse_wget,
    "whether the web UI answers",
    timeout=30,
    group=Group.API,
)
COUNTERS = _probe(
    "counters",
    ["corosync-cmapctl", "-m", "stats"],
    corosync_stats.parse_counters,
    "how often the cluster link failed since corosync's start, and how quick it is",
    group=Group.HISTORY,
)
HISTORY_CLOCK = _probe(
    "history_clock",
    ["date", "+%s.%N"],
    host.parse_epoch,
    "how long ago, by the node's own clock, what its journal tells was",
    group=Group.HISTORY,
)

TREE_SQL = (
    "SELECT 'version',version,mtime,writer FROM tree WHERE inode=0; "
    "WITH RECURSIVE t(inode,path,type,data) AS ("
    "SELECT inode,name,type,data FROM tree WHERE parent=0 AND inode<>0 "
    "UNION ALL SELECT c.inode,t.path||'/'||c.name,c.type,c.data FROM tree c JOIN t ON c.parent=t.inode) "
    "SELECT 'file',path,hex(data) FROM t WHERE type=8 AND path NOT LIKE 'priv/%' AND path NOT LIKE '%/priv/%' "
    "AND (path LIKE '%.conf' OR path LIKE '%.cfg' OR path LIKE '%.fw' OR path LIKE '%.fw.new' OR path LIKE '%.cron' "
    "OR path LIKE 'ha/%' OR path LIKE '%/lrm_status') ORDER BY path"
)
TREE = _probe(
    "tree",
    ["sqlite3", "-readonly", CONFIG_DB, TREE_SQL],
    config_db.parse_config_tree,
    "every guest's config, from the database that survives corosync",
    redact=config_db.redact_config_tree,
)
# While no pmxcfs runs, a plain open would leave -wal and -shm files beside the database.
TREE_AT_REST = replace(TREE, argv=("sqlite3", "-readonly", f"file:{CONFIG_DB}?immutable=1", TREE_SQL))

IS_QUORATE = (PVECM, PVE_MODE)
"""What quorum is told by: text and mode together."""
WHERE_NEEDED = (*checks_only.WHERE_NEEDED, *volumes.PROBES, HA_VERSION, PVESM)
"""Asked once it is known what the node has."""
FIRST_ROUND = tuple(p for p in _registry if p is not TREE and p not in WHERE_NEEDED)


def registry() -> tuple[Probe[object], ...]:
    """All probes but those of the families."""
    return (*_registry, TREE_AT_REST)
