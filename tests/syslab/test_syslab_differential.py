"""The embedded lab agrees with the system lab: every probe and every action, in the same state."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from differential import Model, parsed, real, without
from pve_runbook.lab import shapes
from pve_runbook.lab.model.cluster import Cluster
from pve_runbook.syslab.errors import SystemLabError, until
from pve_runbook.work import actions, families, probes
from pve_runbook.work.probe import BACKUP_ROOT, CONFIG_DB
from pve_runbook.work.window import script

pytestmark = pytest.mark.syslab

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
    "line_before": "the journal's age",
    "proc_stats": "asked with each lab's own pids, below",
    "pause": "it only waits",
}
"""Probes whose answers differ for a reason; they must be readable by both all the same."""
SUBJECTS = {
    "name": "pve1",
    "route_to": "10.55.0.12",
    "files": "/var/lib/vz",
    "target": "/var/lib/vz",
    "entries": CONFIG_DB,
    "sums": "/etc/corosync/authkey /etc/corosync/corosync.conf",
    "sizes": "/etc/corosync",
    "folder_space": "none-such",
    "own_folder": "none-such",
    "window_status": f"{BACKUP_ROOT}/none-such/window-1",
    "window_log": f"{BACKUP_ROOT}/none-such/window-1",
    "guest_status": "101",
    "corosync_log": "600",
    "line_before": "600",
    "pause": "1",
}
NOT_HERE = {"zfs_dataset": "there is no ZFS in the system lab"}
"""Families about what the system lab does not have."""
STATES: dict[str, Callable[[Cluster], None]] = {
    "broken": shapes.broken,
    "quorate": shapes.quorate,
    "half-dismantled": shapes.half_dismantled,
    "standalone": shapes.standalone,
}


def questions(pids: str) -> list[tuple[str, Callable[..., Any], tuple[str, ...]]]:
    """Every probe and every family with a subject: name, parser, argv."""
    at_rest = probes.TREE_AT_REST  # asked only while no pmxcfs runs
    found: list[Any] = [(p.name, p.parse, p.argv) for p in probes.registry() if p is not at_rest]
    for family in (f for f in families.registry() if f.name not in NOT_HERE):
        subject = pids if family.name == "proc_stats" else SUBJECTS[family.name]
        found.append((family.name, family.parse, family.argv(subject)))
    return found


def pid_of(answer: Any) -> str:
    """The pid of guest 101."""
    return str(answer["101"]["pid"])


def told_apart(name: str, seen: Any, modelled: Any) -> str:
    """The parts that differ."""
    if isinstance(seen, dict) and isinstance(modelled, dict):
        keys = [k for k in seen.keys() | modelled.keys() if seen.get(k) != modelled.get(k)]
        seen, modelled = ({k: side.get(k) for k in keys} for side in (seen, modelled))
    return f"{name}:\n  real  {seen}\n  model {modelled}"


@pytest.mark.parametrize("state", STATES)
def test_every_probe_says_the_same(stage: Any, tmp_path: Path, state: str) -> None:
    """Parsed alike; what differs by its nature is at least readable in both labs."""
    stage.set(state)
    container = stage.lab.containers[NODE]
    model = Model(tmp_path / "model", stage.lab, STATES[state])
    try:
        processes = probes.GUEST_PROCESSES
        ours = pid_of(parsed(processes.parse, real(container, processes.argv)))
        theirs = pid_of(parsed(processes.parse, model.ask(NODE, processes.argv)))
        differences = []
        for (name, parse, asked), (_, _, also) in zip(questions(ours), questions(theirs), strict=True):
            seen, modelled = parsed(parse, real(container, asked)), parsed(parse, model.ask(NODE, also))
            if name in OF_ITS_NATURE:
                same = ("unknown" in str(seen)[:12]) == ("unknown" in str(modelled)[:12])
            else:
                same = without(seen, VOLATILE) == without(modelled, VOLATILE)
            if not same:
                differences.append(told_apart(name, seen, modelled))
    finally:
        model.close()
    assert not differences, "\n".join(differences)


RUN, ATTEMPT = "20261123T000000Z-0001", "1"
VALUES = {"run": RUN, "attempt": ATTEMPT, "vmid": "9000", "tag": "test", "lock": "run=test;by=root@here"}
ORDER = (
    *("make-folder", "take-lock", "backup-db", "backup-etc-pve", "backup-system", "put-by-hand"),
    *("stop-scheduler", "mask-scheduler", "stop-old-scheduler", "park-backup-cron"),
    *("stop-lrm", "disable-lrm", "stop-crm", "disable-crm", "stop-qdevice", "mask-qdevice"),
    *("expected-1", "start-pve-cluster", "put-keys", "put-window-script", "window"),
    *("restart-pvedaemon", "restart-pveproxy", "restart-pvestatd", "restart-spiceproxy", "reset-failed-corosync"),
    *("canary-create", "canary-start", "canary-stop", "canary-destroy"),
    *("put-database", "put-system", "put-restore-script", "restore"),
    *("unmask-corosync", "enable-corosync", "start-corosync", "stop-corosync", "mask-corosync", "disable-corosync"),
    *("unmask-qdevice", "enable-qdevice", "remove-keys", "unmask-scheduler", "start-scheduler"),
    *("start-old-scheduler", "unpark-backup-cron", "forget-outcomes", "release-lock"),
)
"""Every action once, so that each meets a state it can meet in a run."""
NEEDS_A_QDEVICE = ("mask-qdevice", "unmask-qdevice")
"""Sent only where there is one, and the system lab has none: a mask of a unit that does not exist is not modelled."""
AFTER = (
    *(probes.UNIT_STATES, probes.JOBS, probes.PVE_MOUNT, probes.PVE_MODE, probes.PVECM, probes.PVE_COROSYNC_CONF),
    *(probes.ETC_COROSYNC_CONF, probes.COROSYNC_DIRS, probes.PMXCFS_PROCESS, probes.COROSYNC_PROCESS, probes.LOCK),
    *(probes.QM_LIST, probes.SECOND_KEYS, probes.API_STATUS),
)
"""What is looked at after every action."""
SETTLED = 20
"""Seconds within which both labs have to agree after an action."""


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


def test_every_action_does_the_same(stage: Any, tmp_path: Path) -> None:
    """The same exit status, and the same state of the node a moment later."""
    assert set(ORDER) == set(actions.registry())
    stage.set("broken")
    container = stage.lab.containers[NODE]
    model = Model(tmp_path / "model", stage.lab, shapes.broken)

    def real_file(name: str) -> bytes:
        return bytes((container.root / f"{BACKUP_ROOT[1:]}/{RUN}/{name}").read_bytes())

    def model_file(name: str) -> bytes:
        return bytes(model.cluster.nodes[NODE].files.read(f"{BACKUP_ROOT}/{RUN}/{name}"))

    def differences() -> dict[str, str]:
        model.cluster.clock.advance(1.0)
        found = {}
        for probe in AFTER:
            seen = without(parsed(probe.parse, real(container, probe.argv)), VOLATILE)
            modelled = without(parsed(probe.parse, model.ask(NODE, probe.argv)), VOLATILE)
            if seen != modelled:
                found[probe.name] = told_apart(probe.name, seen, modelled)
        return found

    wrong: list[str] = []
    told: set[str] = set()

    def agreed() -> bool:
        return not differences().keys() - told

    try:
        for name in (n for n in ORDER if n not in NEEDS_A_QDEVICE):
            action = actions.registry()[name].bind(**VALUES)
            seen = real(container, action.argv, stdin_of(name, real_file))
            modelled = model.ask(NODE, action.argv, stdin_of(name, model_file))
            if seen.exit_status != modelled.exit_status:
                wrong.append(f"{name}: real {seen}\n  model {modelled}")
            try:
                until(agreed, SETTLED, name)
            except SystemLabError:
                new = {k: v for k, v in differences().items() if k not in told}
                told.update(new)  # one that stays is told once
                wrong += [f"after {name}: {text}" for text in new.values()]
    finally:
        model.close()
    assert not wrong, "\n".join(wrong)
