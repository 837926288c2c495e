"""The probes that are asked once per subject: a storage, a name, a backup, a window.

Commands and outputs: recorded on PVE 8.3, variants of 7 and 9 from Proxmox's sources.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from pve_runbook.parsers import config_db, corosync_log, guests, host, iproute, output, own_files, storage
from pve_runbook.parsers.devices import of_processes
from pve_runbook.parsers.output import Output
from pve_runbook.probes import redact as kept
from pve_runbook.probes.probe import BACKUP_ROOT, CONFIG_DB, ProbeFamily

T = TypeVar("T")

_registry: list[ProbeFamily[object]] = []


PATH = r"/[^\x00-\x1f\x7f]*"
"""Any absolute path: it begins with a slash, so that no command takes it for an option."""
RBD_OPTION = (
    r"--(pool|namespace)=[\w.][\w.-]*|--conf=/etc/pve/(priv/ceph/[\w.-]+|ceph)\.conf|--mon_host=[\w.:,/\[\]-]+"
    r"|--auth_supported=(cephx|none)|--name=client\.[\w.-]+|--keyring=/etc/pve/priv/ceph/[\w.-]+\.keyring"
)
"""What says how a pool is reached, and nothing else that rbd could be told."""
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
    redact: Callable[[Output], str] | None = None,
) -> ProbeFamily[T]:
    family = ProbeFamily(name, words, re.compile(subject), parse, why, timeout, separator, redact)
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
    config_db.parse_entries,
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
    iproute.parse_getent_ahosts,
    "pmxcfs refuses to start when its node's name resolves to loopback only",
)
ROUTE_TO = _family(
    "route_to",
    ("ip", "-j", "route", "get", "{}"),
    r"[0-9A-Fa-f:.]+",
    iproute.parse_ip_route,
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
STORAGE_IMAGES = _family(
    "images",
    ("find", "{}", "-maxdepth", "2", "-printf", "%y %P\\n"),
    PATH,
    storage.parse_find,
    "whether every volume is there, where a storage keeps them in a directory of another name (content-dirs)",
    timeout=15,
)
RBD_IMAGES = _family(
    "rbd",
    ("rbd", "{}", "ls", "--format", "json"),
    RBD_OPTION,
    storage.parse_rbd_ls,
    "whether every volume is there; pvesm would write into /etc/pve/priv/ceph for this",
    timeout=20,
    separator=" ",
)
OPEN_FILES = _family(
    "open_files",
    ("find", "/proc/{}/fd", "-type", "l", "-lname", "/*", "-printf", "%h %l\\n"),
    r"[1-9][0-9]*",
    of_processes.parse_open_files,
    "a disk that a running VM has open is there, whatever its storage says",
    separator=",",
)
MOUNTINFOS = _family(
    "mountinfos",
    ("grep", "-H", ".", "/proc/{}/mountinfo"),
    r"[1-9][0-9]*",
    of_processes.parse_mountinfos,
    "a volume that a running container has mounted is there, whatever its storage says",
    separator=",",
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
    host.parse_sha256sums,
    "that a backup here and on the node are the same bytes",
    timeout=60,
    separator=" ",
)
SIZES = _family(
    "sizes",
    ("du", "-sbx", "{}"),
    "|".join(BACKED_UP),
    host.parse_du,
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
    host.parse_ls,
    "what this work has put aside on the node",
)
# Waits for it on the node, for a second at most: what ends is seen within a tenth of it, by one request a second.
WINDOW_STATUS = _family(
    "window_status",
    (
        *("sh", "-c", 'n=0; until [ -e "$1" ] || [ "$n" -ge 10 ]; do n=$((n + 1)); sleep 0.1; done; cat "$1"'),
        *("sh", "{}.status"),
    ),
    OWN,
    own_files.parse_window_status,
    "how the window ended, in its own words",
)
WINDOW_LOG = _family(
    "window_log",
    ("cat", "{}.log"),
    OWN,
    output.parse_text,
    "what the window did, step by step",
)
GUEST_STATUS = _family(
    "guest_status",
    ("qm", "status", "{}"),
    r"[1-9][0-9]*",
    output.parse_text,
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
SYMPTOMS = _family(
    "symptoms",
    (
        "journalctl",
        "_TRANSPORT=kernel",
        "+",
        "_SYSTEMD_UNIT=corosync.service",
        "+",
        "_SYSTEMD_UNIT=pve-cluster.service",
        "--since=-{}s",
        f"--grep={corosync_log.SIGNS_PATTERN}",
        "--reverse",
        f"--lines={corosync_log.MOST_SIGNS}",
        "--output=short-unix",
        "--no-hostname",
        "--no-pager",
    ),
    SECONDS,
    corosync_log.parse_symptoms,
    "why a link or a member was lost: a card that hangs, a service that failed",
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
OWN_WORDS = _family(
    "own_words",
    (
        *("journalctl", "--unit=pve-cluster.service", "--unit=corosync.service", "--unit=ssh.service"),
        *("--since=-{}s", "--lines=80", "--output=short-iso", "--no-hostname", "--no-pager"),
    ),
    SECONDS,
    output.parse_text,
    "what the node itself says of the time in which a step failed: kept in the record, and judged by nobody",
    redact=kept.own_words,
)
ZFS_DATASET = _family(
    "zfs_dataset",
    ("zfs", "get", "-H", "-o", "property,value", "readonly,mounted", "{}"),
    r"[A-Za-z][\w.:%/ -]*",
    storage.parse_zfs_get,
    "whether the storage's dataset is there, mounted and writable",
    timeout=20,
)
PAUSE = _family(
    "pause",
    ("sleep", "{}"),
    r"[1-9][0-9]?",
    output.parse_text,
    "the time between two looks, waited on the node",
    timeout=110,
)


def registry() -> tuple[ProbeFamily[object], ...]:
    """All families."""
    return tuple(_registry)
