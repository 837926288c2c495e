"""What both labs are asked and told, with which subjects, and what may differ between their answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from pve_runbook.actions import registry as actions
from pve_runbook.probes import per_subject
from pve_runbook.probes import registry as probes
from pve_runbook.probes.probe import BACKUP_ROOT, CONFIG_DB
from pve_runbook.procedure.window import script

NODE = "pve1"
VOLATILE = frozenset(
    ("pid", "main_pid", "pstart", "upid", "ring_id", "mtime", "available_kib", "latency_ave", "latency_max", "packets")
)
"""What no two runs have in common."""
OF_ITS_NATURE = {
    "boot_id": "every boot has its own",
    "clock": "the model has its own time",
    "history_clock": "the model has its own time",
    "members": "its version counts what happened before",
    "lvs": "the system lab has directories only",
    "vgs": "the system lab has directories only",
    "zfs": "the system lab has directories only",
    "zpools": "the system lab has directories only",
    "mounts": "a container's mounts",
    "space": "this machine's disk",
    "target": "a container's root",
    "folder_space": "a container's root",
    "sizes": "a database's size depends on what was deleted before",
    "cron": "Debian's own",
    "ceph": "Ceph's client is not installed",
    "addresses": "the cards' numbers",
    "links": "the system lab's guests have no network",
    "counters": "the link's past",
    "corosync_log": "the link's past",
    "symptoms": "the link's past, and the kernel of the machine that the lab runs on",
    "line_before": "the journal's age",
    "own_words": "the journal's past",
    "ha_version": "the system lab has no package of Proxmox",
    "pid_files": "each lab's guests have their own pids",
    "proc_stats": "asked with each lab's own pids, below",
    "open_files": "asked with each lab's own pids, below",
    "mountinfos": "asked with each lab's own pids, below",
    "dev_links": "a container's own /dev",
    "loop_devices": "the loop devices of the machine that the lab runs on",
    "pause": "it only waits",
}
"""Probes whose answers differ for a reason; they must be readable by both all the same."""
SUBJECTS = {
    "name": "pve1",
    "route_to": "10.55.0.12",
    "files": "/var/lib/vz",
    "target": "/var/lib/vz",
    "images": "/var/lib/vz/images",
    "entries": CONFIG_DB,
    "sums": "/etc/corosync/authkey /etc/corosync/corosync.conf",
    "sizes": "/etc/corosync",
    "folder_space": "none-such",
    "own_folder": "none-such",
    "own_words": "60",
    "window_status": f"{BACKUP_ROOT}/none-such/window-1",
    "window_log": f"{BACKUP_ROOT}/none-such/window-1",
    "guest_status": "101",
    "corosync_log": "600",
    "symptoms": "600",
    "line_before": "600",
    "pause": "1",
}
NOT_HERE = {
    "zfs_dataset": "there is no ZFS in the system lab",
    "rbd": "there is no Ceph in the system lab",
}
"""Families about what the system lab does not have."""
PER_PROCESS = ("proc_stats", "open_files", "mountinfos")
"""The families that are asked about each lab's own pids."""
RUN, ATTEMPT = "20261123T000000Z-0001", "1"
VALUES = {"run": RUN, "attempt": ATTEMPT, "vmid": "9000", "tag": "test", "lock": "run=test;by=root@here"}
VALUES |= {"node": "pve3", "votes": "1", "sid": "vm:301"}
ORDER = (
    *("make-folder", "take-lock", "backup-db", "backup-etc-pve", "backup-system", "put-by-hand"),
    *("stop-scheduler", "mask-scheduler", "stop-old-scheduler", "park-backup-cron"),
    *("stop-sdn-commit", "stop-firewall-commit", "hold-startall", "release-startall"),
    *("disarm-ha", "stop-lrm", "disable-lrm", "stop-crm", "disable-crm", "stop-qdevice", "mask-qdevice"),
    *("expect-own-votes", "ha-remove", "delnode", "expected-rest"),
    *("unmask-pve-cluster", "start-pve-cluster", "put-keys", "put-window-script", "window"),
    *("restart-services", "reset-failed-corosync"),
    *("canary-create", "canary-start", "canary-stop", "canary-destroy"),
    *("put-database", "put-system", "put-restore-script", "restore"),
    *("unmask-corosync", "enable-corosync", "start-corosync", "stop-corosync", "mask-corosync", "disable-corosync"),
    *("unmask-qdevice", "enable-qdevice", "remove-keys", "unmask-scheduler", "start-scheduler"),
    *("start-old-scheduler", "unpark-backup-cron", "forget-outcomes", "release-lock"),
)
"""Every action once, so that each meets a state it can meet in a run."""
NEEDS_A_QDEVICE = ("mask-qdevice", "unmask-qdevice")
"""Sent only where there is one, and the system lab has none: a mask of a unit that does not exist is not modelled."""


def stdin_of(action: str, folder: Callable[[str], bytes]) -> bytes:
    """What the action is given."""
    if action == "put-window-script":
        return script("window", RUN, ATTEMPT, ["pve1", "pve2", "pve3"]).encode()
    if action == "put-restore-script":
        sums = [hashlib.sha256(folder(name)).hexdigest() for name in ("config.db", "system.tar.gz")]
        return script("restore", RUN, ATTEMPT, sums).encode()
    return {
        "put-database": lambda: folder("config.db"),
        "put-system": lambda: folder("system.tar.gz"),
        "put-keys": lambda: b"ssh-ed25519 AAAA test\n",
        "put-by-hand": lambda: b"by hand\n",
    }.get(action, lambda: b"")()


def unprepared() -> list[str]:
    """What was added to the registries, or taken from them, and is not in the lists above: what to write, and where."""
    here = "tests/system_lab/asked.py"
    of_their_own = {family.name: family for family in per_subject.registry()}
    wanted = [
        f"the probe family {name!r} has no subject: add one to SUBJECTS in {here}, or to NOT_HERE why there is none"
        for name in of_their_own
        if name not in SUBJECTS and name not in (*NOT_HERE, *PER_PROCESS)
    ]
    wanted += [
        f"the probe family {name!r} does not accept {subject!r}: change it in SUBJECTS in {here}"
        for name, subject in SUBJECTS.items()
        if name in of_their_own and not of_their_own[name].accepts(subject)
    ]
    wanted += [
        f"the action {name!r} is in no order: add it to ORDER in {here}, where a run would send it"
        for name in actions.registry()
        if name not in ORDER
    ]
    known = {*of_their_own, *(probe.name for probe in probes.registry()), *actions.registry()}
    listed = {*SUBJECTS, *NOT_HERE, *OF_ITS_NATURE, *ORDER, *NEEDS_A_QDEVICE}
    return wanted + [
        f"{name!r} is no probe, family or action: take it out of {here}" for name in sorted(listed - known)
    ]


def questions(pids: str) -> list[tuple[str, Callable[..., Any], tuple[str, ...]]]:
    """Every probe and every family with a subject: name, parser, argv. `pids` are of the lab's own guests."""
    at_rest = probes.TREE_AT_REST  # asked only while no pmxcfs runs
    found: list[Any] = [(p.name, p.parse, p.argv) for p in probes.registry() if p is not at_rest]
    for family in (f for f in per_subject.registry() if f.name not in NOT_HERE):
        subject = pids if family.name in PER_PROCESS else SUBJECTS[family.name]
        found.append((family.name, family.parse, family.argv(subject)))
    return found
