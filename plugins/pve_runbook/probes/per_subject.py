"""The probes that are asked once per subject: a storage, a name, a backup, a window.

Commands and outputs: recorded on PVE 8.3, variants of 7 and 9 from Proxmox's sources.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from pve_runbook.facts import config_tree, corosync_log, guests, identity, net, storage, storage_state, window
from pve_runbook.facts.output import Output
from pve_runbook.work.probe import BACKUP_ROOT, CONFIG_DB, ProbeFamily

T = TypeVar("T")

_registry: list[ProbeFamily[object]] = []


PATH = r"/[^\x00-\x1f\x7f]*"
"""Any absolute path: it begins with a slash, so that no command takes it for an option."""
NAME_OR_ADDRESS = r"[A-Za-z0-9_:.][A-Za-z0-9_:.%-]*"
SECONDS = r"[0-9]{1,7}"
WORK = r"[A-Za-z0-9][A-Za-z0-9_-]*"
"""The id of a run."""
OWN = rf"{BACKUP_ROOT}/{WORK}/[A-Za-z0-9_.-]+"
"""A file in the tool's own folder for a run."""
BACKED_UP = (f"{CONFIG_DB}(-wal)?", "/etc/(pve|corosync|network)", "/var/lib/corosync", r"/root/\.ssh")


def _family(
    name: str,
    words: tuple[str, ...],
    subject: str,
    parse: Callable[[Output], T],
    why: str,
    *,
    timeout: int = 10,
    separator: str | None = None,
) -> ProbeFamily[T]:
    family = ProbeFamily(name, words, re.compile(subject), parse, why, timeout, separator)
    _registry.append(family)
    return family


ENTRIES_SQL = (
    "WITH RECURSIVE t(inode,path,type,version) AS ("
    "SELECT inode,name,type,version FROM tree WHERE parent=0 AND inode<>0 "
    "UNION ALL SELECT c.inode,t.path||'/'||c.name,c.type,c.version FROM tree c JOIN t ON c.parent=t.inode) "
    "SELECT version,path FROM t WHERE type=8 ORDER BY path"
)
ENTRIES = _family(
    "entries",
    ("sqlite3", "-readonly", "{}", ENTRIES_SQL),
    rf"{CONFIG_DB}|file:{CONFIG_DB}\?immutable=1",
    config_tree.parse_entries,
    "which files of the database were written since, the secret ones too, without their contents",
)

PROC_STATS = _family(
    "proc_stats",
    ("cat", "/proc/{}/stat"),
    r"[1-9][0-9]*",
    guests.parse_proc_stats,
    "continuity: the moment each guest's process started",
    separator=",",
)
NAME = _family(
    "name",
    ("getent", "ahosts", "{}"),
    NAME_OR_ADDRESS,
    net.parse_getent_ahosts,
    "pmxcfs refuses to start when its node's name resolves to loopback only",
)
ROUTE_TO = _family(
    "route_to",
    ("ip", "-j", "route", "get", "{}"),
    r"[0-9A-Fa-f:.]+",
    net.parse_ip_route,
    "over which device the cluster's packets leave, and whether a router stands between",
)
STORAGE_FILES = _family(
    "files",
    ("find", "{}/images", "{}/private", "-maxdepth", "2", "-printf", "%y %P\\n"),
    PATH,
    storage.parse_find,
    "whether every volume is there",
    timeout=15,
)
STORAGE_MOUNT = _family(
    "target",
    ("findmnt", "-n", "-T", "{}", "-o", "TARGET,OPTIONS,SOURCE,FSTYPE"),
    PATH,
    storage.parse_findmnt_target,
    "whether the storage is mounted and writable",
)
SUMS = _family(
    "sums",
    ("sha256sum", "{}"),
    rf"{OWN}|/etc/corosync/(authkey|corosync\.conf)",
    identity.parse_sha256sums,
    "that a backup here and on the node are the same bytes",
    timeout=60,
    separator=" ",
)
SIZES = _family(
    "sizes",
    ("du", "-sbx", "{}"),
    "|".join(BACKED_UP),
    identity.parse_du,
    "how large a backup may become",
    timeout=60,
    separator=" ",
)
FOLDER_SPACE = _family(
    "folder_space",
    ("df", "-Pk", f"{BACKUP_ROOT}/{{}}"),
    WORK,
    storage.parse_df,
    "whether a backup fits where it is written",
)
OWN_FOLDER = _family(
    "own_folder",
    ("ls", "-A", f"{BACKUP_ROOT}/{{}}"),
    WORK,
    identity.parse_ls,
    "what this work has put aside on the node",
)
WINDOW_STATUS = _family(
    "window_status",
    ("cat", "{}.status"),
    OWN,
    window.parse_window_status,
    "how the window ended, in its own words",
)
WINDOW_LOG = _family(
    "window_log",
    ("cat", "{}.log"),
    OWN,
    window.parse_text,
    "what the window did, step by step",
)
GUEST_STATUS = _family(
    "guest_status",
    ("qm", "status", "{}"),
    r"[1-9][0-9]*",
    window.parse_text,
    "whether the canary runs",
    timeout=30,
)
# Newest first: so --lines counts matching lines alone, and keeps the newest (systemd 252 and 253, journalctl.c).
COROSYNC_LOG = _family(
    "corosync_log",
    (
        "journalctl",
        "--unit=corosync.service",
        "--since=-{}s",
        f"--grep={corosync_log.PATTERN}",
        "--reverse",
        f"--lines={corosync_log.MOST_LINES}",
        "--output=short-unix",
        "--no-hostname",
        "--no-pager",
    ),
    SECONDS,
    corosync_log.parse_corosync_log,
    "whether the cluster link came and went, though it may be whole at the moment",
    timeout=30,
)
LINE_BEFORE = _family(
    "line_before",
    (
        "journalctl",
        "--until=-{}s",
        "--reverse",
        "--lines=1",
        "--output=json",
        "--output-fields=PRIORITY",
        "--no-pager",
    ),
    SECONDS,
    corosync_log.parse_line_before,
    "whether the journal reaches back so far",
)
ZFS_DATASET = _family(
    "zfs_dataset",
    ("zfs", "get", "-H", "-o", "property,value", "readonly,mounted", "{}"),
    r"[A-Za-z][\w.:%/ -]*",
    storage_state.parse_zfs_get,
    "whether the storage's dataset is there, mounted and writable",
    timeout=20,
)
PAUSE = _family(
    "pause",
    ("sleep", "{}"),
    r"[1-9][0-9]?",
    window.parse_text,
    "the time between two looks, waited on the node",
    timeout=110,
)


def registry() -> tuple[ProbeFamily[object], ...]:
    """All families."""
    return tuple(_registry)
