"""The registry of actions: every change this tool can make to a node, with why, undo and bounds.

An argv is data, not shell text. Fields in braces are filled by :meth:`ActionTemplate.bind`. Sources of the
commands: pve-docs (pvecm.adoc, "Separate a Node Without Reinstalling"), tried on PVE 8.3.
"""

from __future__ import annotations

from pve_runbook.actions import commits, disarm, leave, startall, window_cut
from pve_runbook.actions.action import ActionTemplate
from pve_runbook.probes.probe import AUTHORIZED_KEYS2, BACKUP_ROOT, CONFIG_DB, LOCK_PATH
from pve_runbook.ssh.detached import RUN_ROOT

_registry: dict[str, ActionTemplate] = {}


def _action(
    name: str,
    *argv: str,
    why: str,
    undo: str,
    repeatable: bool = True,
    timeout: int = 60,
    detached: bool = True,
    kept: bool = True,
    unmounts: bool = False,
) -> ActionTemplate:
    template = ActionTemplate(name, argv, why, undo, repeatable, timeout, detached, kept, unmounts)
    _registry[name] = template
    return template


_HERE = BACKUP_ROOT + "/{run}"
_REMOVE_FOLDER = f"rm -r {BACKUP_ROOT}/{{run}}"

# --- backups: only the tool's own folder is written

MAKE_FOLDER = _action(
    "make-folder",
    *("install", "-d", "-m", "0700", BACKUP_ROOT, _HERE),
    why="a private place on the node's own disk, outside /etc/pve, for backups and the window's script",
    undo=_REMOVE_FOLDER,
    detached=False,
)
TAKE_LOCK = _action(
    "take-lock",
    *("ln", "-s", "-T", "{lock}", LOCK_PATH),
    why="one run at a time works on a node: a second one is refused and told whose this is",
    undo=f"where `readlink {LOCK_PATH}` names this run: rm {LOCK_PATH}; another's stays, its run may be at work",
    repeatable=False,
    detached=False,
)
RELEASE_LOCK = _action(
    "release-lock",
    *("rm", "-f", LOCK_PATH),
    why="the run is over, or its lock is broken by the operator's own word",
    undo="none needed",
    detached=False,
    kept=False,
)
FORGET_OUTCOMES = _action(
    "forget-outcomes",
    *("rm", "-rf", RUN_ROOT + "/{run}"),
    why="what the commands of this run said was read and is in the journal",
    undo="none needed",
    detached=False,
    kept=False,
)
BACKUP_DB = _action(
    "backup-db",
    *("sqlite3", CONFIG_DB, f".backup '{_HERE}/config.db'"),
    why="the configuration database holds every guest's config; SQLite's own backup is consistent while it is in use",
    undo=_REMOVE_FOLDER,
    timeout=120,
    detached=False,
)
BACKUP_PVE = _action(
    "backup-etc-pve",
    *("tar", "-C", "/", "-czf", _HERE + "/etc-pve.tar.gz", "etc/pve"),
    why="the same files as /etc/pve shows them, readable without any tool",
    undo=_REMOVE_FOLDER,
    timeout=120,
    detached=False,
)
BACKUP_SYSTEM = _action(
    "backup-system",
    *("tar", "-C", "/", "-czf", _HERE + "/system.tar.gz", "--ignore-failed-read"),
    *("etc/corosync", "var/lib/corosync", "etc/network", "etc/hosts", "etc/hostname", "etc/resolv.conf"),
    *("root/.ssh", "usr/local/lib/systemd/network"),
    why="corosync's key and configuration (without the authkey there is no way back), network, names, logins",
    undo=_REMOVE_FOLDER,
    timeout=120,
    detached=False,
)

PUT_CARD = _action(
    "put-by-hand",
    *("install", "-m", "0600", "/dev/stdin", _HERE + "/by-hand.md"),
    why="the rest of the work as plain shell lines, beside the backup, should the control host die",
    undo=_REMOVE_FOLDER,
    detached=False,
)

# --- freeze

STOP_SCHEDULER = _action(
    "stop-scheduler",
    *("systemctl", "stop", "pvescheduler.service"),
    why="overdue backup and replication jobs would start within a minute of quorum coming back",
    undo="systemctl start pvescheduler.service",
    timeout=120,
)
MASK_SCHEDULER = _action(
    "mask-scheduler",
    *("systemctl", "mask", "--runtime", "pvescheduler.service"),
    why="nothing may start the scheduler again before its jobs were looked at; a reboot drops this mask",
    undo="systemctl unmask --runtime pvescheduler.service",
)
STOP_OLD_SCHEDULER = _action(
    "stop-old-scheduler",
    *("systemctl", "stop", "pvesr.timer", "pvesr.service"),
    why="replication of PVE 7.0 and older would start when quorum comes back",
    undo="systemctl start pvesr.timer",
    timeout=120,
)
PARK_CRON = _action(
    "park-backup-cron",
    *("mv", "-T", "/etc/cron.d/vzdump", _HERE + "/cron.d-vzdump"),
    why="cron starts the backups of PVE 7.0 and older; on 8 and 9 too it is a link to /etc/pve/vzdump.cron, and "
    "pveproxy's start puts it back",
    undo=f"mv -T {_HERE}/cron.d-vzdump /etc/cron.d/vzdump",
)
STOP_LRM = _action(
    "stop-lrm",
    *("systemctl", "stop", "pve-ha-lrm.service"),
    why="HA must not act on what it sees during the dismantling; the LRM goes first on all nodes, because a "
    "live CRM has to freeze its services",
    undo="systemctl enable --now pve-ha-lrm.service",
    timeout=180,
)
DISABLE_LRM = _action(
    "disable-lrm",
    *("systemctl", "disable", "pve-ha-lrm.service"),
    why="stopped is not enough: an enabled LRM comes back at the next boot",
    undo="systemctl enable pve-ha-lrm.service",
)
STOP_CRM = _action(
    "stop-crm",
    *("systemctl", "stop", "pve-ha-crm.service"),
    why="no node may declare its peers dead and take over their guests",
    undo="systemctl enable --now pve-ha-crm.service",
    timeout=180,
)
DISABLE_CRM = _action(
    "disable-crm",
    *("systemctl", "disable", "pve-ha-crm.service"),
    why="stopped is not enough: an enabled CRM comes back at the next boot",
    undo="systemctl enable pve-ha-crm.service",
)

# --- quorum

STOP_QDEVICE = _action(
    "stop-qdevice",
    *("systemctl", "stop", "corosync-qdevice.service"),
    why="a QDevice's vote would refuse the forced value",
    undo="systemctl start corosync-qdevice.service",
)
MASK_QDEVICE = _action(
    "mask-qdevice",
    *("systemctl", "mask", "--runtime", "corosync-qdevice.service"),
    why="nothing may start it again; a reboot drops this mask",
    undo="systemctl unmask --runtime corosync-qdevice.service",
)
STOP_COROSYNC = _action(
    "stop-corosync",
    *("systemctl", "stop", "corosync.service"),
    why="one peer that rejoins would refuse or undo the forced quorum",
    undo="systemctl unmask --runtime corosync.service && systemctl start corosync.service",
)
MASK_COROSYNC = _action(
    "mask-corosync",
    *("systemctl", "mask", "--runtime", "corosync.service"),
    why="pve-cluster and pvedaemon pull corosync in whenever they start; a reboot drops this mask",
    undo="systemctl unmask --runtime corosync.service",
)
START_PVE_CLUSTER = _action(
    "start-pve-cluster",
    *("systemctl", "start", "pve-cluster.service"),
    why="a window was cut short here: without pmxcfs there is no /etc/pve, and no login by key",
    undo="systemctl stop pve-cluster.service",
    timeout=120,
)
UNMASK_COROSYNC = _action(
    "unmask-corosync",
    *("systemctl", "unmask", "--runtime", "corosync.service"),
    why="the mask was for the time of this work only",
    undo="systemctl mask --runtime corosync.service",
)
DISABLE_COROSYNC = _action(
    "disable-corosync",
    *("systemctl", "disable", "corosync.service"),
    why="without a configuration it would not start; disabled, it does not even try",
    undo="systemctl enable corosync.service",
)
EXPECT_OWN_VOTES = _action(
    "expect-own-votes",
    *("pvecm", "expected", "{votes}"),
    why="the authority's own votes are enough, for the moment: its /etc/pve becomes writable",
    undo="systemctl restart corosync.service (the value lives in corosync's memory only)",
    repeatable=True,
)

# --- the second way in

PUT_KEYS = _action(
    "put-keys",
    *("install", "-m", "0600", "/dev/stdin", AUTHORIZED_KEYS2),
    why="key logins fail while /etc/pve is not mounted: root's authorized_keys is a link into it, this file is not",
    undo=f"take the line that ends in pve-runbook-... out of {AUTHORIZED_KEYS2}",
    detached=False,
)
REMOVE_KEYS = _action(
    "remove-keys",
    *("rm", "-f", AUTHORIZED_KEYS2),
    why="only this tool's key was in it, and the work is done",
    undo="none needed",
    detached=False,
)

# --- the window

PUT_WINDOW = _action(
    "put-window-script",
    *("install", "-m", "0700", "/dev/stdin", _HERE + "/window.sh"),
    why="the window runs on the node by itself: logins by key fail while /etc/pve is not mounted",
    undo=_REMOVE_FOLDER,
    detached=False,
)
RUN_WINDOW = _action(
    "window",
    *("systemd-run", "--no-block", "--unit=pve-runbook-window-{attempt}", "--collect"),
    *("--description=pve-runbook", "-p", "Type=oneshot", "/bin/bash", _HERE + "/window.sh"),
    why="takes this node out of the cluster: pmxcfs in local mode, corosync.conf out of the database, corosync's "
    "files away, pve-cluster again; a step that fails puts the node back as the member it was",
    undo="before pve-cluster started standalone the window undoes itself; after it: pytest runbook/ --rollback=DIR",
    repeatable=False,
    detached=False,
    unmounts=True,
)

# --- the way back

PUT_DATABASE = _action(
    "put-database",
    *("install", "-m", "0600", "/dev/stdin", _HERE + "/restore-{attempt}.new.db"),
    why="the node's own configuration database from before the first change, as this record has it",
    undo=_REMOVE_FOLDER,
    timeout=120,
    detached=False,
)
PUT_SYSTEM = _action(
    "put-system",
    *("install", "-m", "0600", "/dev/stdin", _HERE + "/restore-{attempt}.new.tar.gz"),
    why="corosync's key and configuration from before the first change, as this record has them",
    undo=_REMOVE_FOLDER,
    timeout=120,
    detached=False,
)
PUT_RESTORE = _action(
    "put-restore-script",
    *("install", "-m", "0700", "/dev/stdin", _HERE + "/restore.sh"),
    why="the node is put back by itself: logins by key fail while /etc/pve is not mounted",
    undo=_REMOVE_FOLDER,
    detached=False,
)
RUN_RESTORE = _action(
    "restore",
    *("systemd-run", "--no-block", "--unit=pve-runbook-restore-{attempt}", "--collect"),
    *("--description=pve-runbook", "-p", "Type=oneshot", "/bin/bash", _HERE + "/restore.sh"),
    why="makes this node the cluster member it was: its own database and /etc/corosync back, corosync still masked; a "
    "step that fails puts the node back as it was before this attempt",
    undo=f"config.db and /etc/corosync as they were just before: {BACKUP_ROOT}/{{run}}/restore-{{attempt}}.db and "
    ".corosync",
    repeatable=False,
    detached=False,
    unmounts=True,
)
ENABLE_COROSYNC = _action(
    "enable-corosync",
    *("systemctl", "enable", "corosync.service"),
    why="a member starts corosync at every boot",
    undo="systemctl disable corosync.service",
)
START_COROSYNC = _action(
    "start-corosync",
    *("systemctl", "start", "corosync.service"),
    why="every node's configuration was checked: now they may find each other again",
    undo="systemctl stop corosync.service",
)
UNMASK_QDEVICE = _action(
    "unmask-qdevice",
    *("systemctl", "unmask", "--runtime", "corosync-qdevice.service"),
    why="the QDevice votes again",
    undo="systemctl mask --runtime corosync-qdevice.service",
)
ENABLE_QDEVICE = _action(
    "enable-qdevice",
    *("systemctl", "enable", "--now", "corosync-qdevice.service"),
    why="the QDevice votes again, after every boot too",
    undo="systemctl disable --now corosync-qdevice.service",
)

# --- services

RESTART_SERVICES = _action(
    "restart-services",
    *("systemctl", "restart", "pvedaemon.service", "pveproxy.service", "pvestatd.service", "spiceproxy.service"),
    why="so that they forget the cluster they were started in; systemd starts each after those that it comes after",
    undo="none needed: they keep no state of the cluster",
    timeout=180,
)
RESET_FAILED = _action(
    "reset-failed-corosync",
    *("systemctl", "reset-failed", "corosync.service"),
    why="corosync's old failure would stay on the dashboard for ever",
    undo="none needed",
)

# --- canary

CANARY_CREATE = _action(
    "canary-create",
    *("qm", "create", "{vmid}", "--memory", "16", "--name", "pve-runbook-canary-{tag}", "--kvm", "0"),
    why="a throw-away guest without a disk proves that guests can be created here again",
    undo="qm destroy {vmid}",
    repeatable=False,
)
CANARY_START = _action(
    "canary-start",
    *("qm", "start", "{vmid}"),
    why="without quorum this is refused: a start is the proof that the node is its own master",
    undo="qm stop {vmid}",
    timeout=120,
)
CANARY_STOP = _action(
    "canary-stop",
    *("qm", "stop", "{vmid}"),
    why="and stops again; no real guest is touched for this test",
    undo="none needed",
    timeout=120,
)
CANARY_DESTROY = _action(
    "canary-destroy",
    *("qm", "destroy", "{vmid}"),
    why="nothing of the test stays",
    undo="none needed",
    timeout=120,
)

# --- thaw

UNMASK_SCHEDULER = _action(
    "unmask-scheduler",
    *("systemctl", "unmask", "--runtime", "pvescheduler.service"),
    why="the jobs were shown and approved",
    undo="systemctl mask --runtime pvescheduler.service",
)
START_SCHEDULER = _action(
    "start-scheduler",
    *("systemctl", "start", "pvescheduler.service"),
    why="backups of this node's own guests run again",
    undo="systemctl stop pvescheduler.service",
)
START_OLD_SCHEDULER = _action(
    "start-old-scheduler",
    *("systemctl", "start", "pvesr.timer"),
    why="PVE 7.0's replication timer runs again",
    undo="systemctl stop pvesr.timer",
)
UNPARK_CRON = _action(
    "unpark-backup-cron",
    *("mv", "-T", _HERE + "/cron.d-vzdump", "/etc/cron.d/vzdump"),
    why="cron has its link to /etc/pve/vzdump.cron again, and starts the backups of PVE 7.0 and older",
    undo=f"mv -T /etc/cron.d/vzdump {_HERE}/cron.d-vzdump",
)


def registry() -> dict[str, ActionTemplate]:
    """All actions by name."""
    more = (*leave.ACTIONS, *commits.ACTIONS, *startall.ACTIONS, *disarm.ACTIONS, *window_cut.ACTIONS)
    return {**_registry, **{action.name: action for action in more}}
