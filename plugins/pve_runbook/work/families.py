"""The probes that are asked once per subject: a storage, a name, a backup, a window.

Commands and outputs: recorded on PVE 8.3, variants of 7 and 9 from Proxmox's sources.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pve_runbook.facts import config_tree, corosync_log, guests, identity, net, storage, window
from pve_runbook.facts.output import Output
from pve_runbook.work.probe import BACKUP_ROOT, ProbeFamily

T = TypeVar("T")

_registry: dict[str, ProbeFamily[object]] = {}


def _family(
    name: str, argv: Callable[[str], tuple[str, ...]], parse: Callable[[Output], T], why: str, *, timeout: int = 10
) -> ProbeFamily[T]:
    family = ProbeFamily(name, argv, parse, why, timeout)
    _registry[name] = family
    return family


ENTRIES_SQL = (
    "WITH RECURSIVE t(inode,path,type,version) AS ("
    "SELECT inode,name,type,version FROM tree WHERE parent=0 AND inode<>0 "
    "UNION ALL SELECT c.inode,t.path||'/'||c.name,c.type,c.version FROM tree c JOIN t ON c.parent=t.inode) "
    "SELECT version,path FROM t WHERE type=8 ORDER BY path"
)
ENTRIES = _family(
    "entries",
    lambda database: ("sqlite3", "-readonly", database, ENTRIES_SQL),
    config_tree.parse_entries,
    "which files of the database were written since, the secret ones too, without their contents",
)

PROC_STATS = _family(
    "proc_stats",
    lambda pids: ("cat", *(f"/proc/{pid}/stat" for pid in pids.split(","))),
    guests.parse_proc_stats,
    "continuity: the moment each guest's process started",
)
NAME = _family(
    "name",
    lambda name: ("getent", "ahosts", name),
    net.parse_getent_ahosts,
    "pmxcfs refuses to start when its node's name resolves to loopback only",
)
ROUTE_TO = _family(
    "route_to",
    lambda address: ("ip", "-j", "route", "get", address),
    net.parse_ip_route,
    "over which device the cluster's packets leave, and whether a router stands between",
)
STORAGE_FILES = _family(
    "files",
    lambda path: ("find", f"{path}/images", f"{path}/private", "-maxdepth", "2", "-printf", "%y %P\\n"),
    storage.parse_find,
    "whether every volume is there",
    timeout=15,
)
STORAGE_MOUNT = _family(
    "target",
    lambda path: ("findmnt", "-n", "-T", path, "-o", "TARGET,OPTIONS,SOURCE,FSTYPE"),
    storage.parse_findmnt_target,
    "whether the storage is mounted and writable",
)
SUMS = _family(
    "sums",
    lambda paths: ("sha256sum", *paths.split(" ")),
    identity.parse_sha256sums,
    "that a backup here and on the node are the same bytes",
    timeout=60,
)
SIZES = _family(
    "sizes",
    lambda paths: ("du", "-sbx", *paths.split(" ")),
    identity.parse_du,
    "how large a backup may become",
    timeout=60,
)
FOLDER_SPACE = _family(
    "folder_space",
    lambda work: ("df", "-Pk", f"{BACKUP_ROOT}/{work}"),
    storage.parse_df,
    "whether a backup fits where it is written",
)
OWN_FOLDER = _family(
    "own_folder",
    lambda work: ("ls", "-A", f"{BACKUP_ROOT}/{work}"),
    identity.parse_ls,
    "what this work has put aside on the node",
)
WINDOW_STATUS = _family(
    "window_status",
    lambda window: ("cat", f"{window}.status"),
    window.parse_window_status,
    "how the window ended, in its own words",
)
WINDOW_LOG = _family(
    "window_log",
    lambda window: ("cat", f"{window}.log"),
    window.parse_text,
    "what the window did, step by step",
)
GUEST_STATUS = _family(
    "guest_status",
    lambda vmid: ("qm", "status", vmid),
    window.parse_text,
    "whether the canary runs",
    timeout=30,
)
# Newest first: so --lines counts matching lines alone, and keeps the newest (systemd 252 and 253, journalctl.c).
COROSYNC_LOG = _family(
    "corosync_log",
    lambda seconds: (
        "journalctl",
        "--unit=corosync.service",
        f"--since=-{seconds}s",
        f"--grep={corosync_log.PATTERN}",
        "--reverse",
        f"--lines={corosync_log.MOST_LINES}",
        "--output=short-unix",
        "--no-hostname",
        "--no-pager",
    ),
    corosync_log.parse_corosync_log,
    "whether the cluster link came and went, though it may be whole at the moment",
    timeout=30,
)
LINE_BEFORE = _family(
    "line_before",
    lambda seconds: (
        "journalctl",
        f"--until=-{seconds}s",
        "--reverse",
        "--lines=1",
        "--output=json",
        "--output-fields=PRIORITY",
        "--no-pager",
    ),
    corosync_log.parse_line_before,
    "whether the journal reaches back so far",
)
PAUSE = _family(
    "pause",
    lambda seconds: ("sleep", seconds),
    window.parse_text,
    "the time between two looks at the cluster, waited on the node",
    timeout=60,
)


def registry() -> dict[str, ProbeFamily[object]]:
    """All families by name."""
    return dict(_registry)
