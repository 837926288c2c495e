"""Command-line options, and the combinations that would go around a gate."""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from pve_runbook.facts.portrait import load
from pve_runbook.plugin.approve_option import read_phases, read_plan
from pve_runbook.wire.targets import Target, TargetError, parse_hosts

Mode = Literal["runbook", "checks"]
MODES: tuple[Mode, ...] = ("runbook", "checks")

ACCEPTABLE = ("shared-storage", "ceph", "locks")
"""What a run refuses until the operator takes it upon himself."""

NO_HOSTS = (
    "no --hosts: name every node of the cluster, e.g. `pytest {mode}/ --hosts=pve1,pve2,pve3`, or --hosts=lab to try it"
)
MIXED = "{mode}/ runs alone: `pytest {mode}/ --hosts=...`; checks, runbook and tests are never mixed in one run"
FOREIGN_CONNECTION = (
    "{option} would go around this tool's own connection, its host key check and its journal; leave it out"
)
NO_DEPENDENCY = (
    "pytest-dependency is not loaded: nothing would hold back a step whose gate failed; remove -p no:dependency"
)
NO_HTML = "pytest-html is not loaded: there would be no change record; remove -p no:html"
XDIST = "xdist runs steps side by side and out of order; leave out -n"
IGNORE_UNKNOWN = "--ignore-unknown-dependency lets a phase run without its gates; leave it out"
HALF_RUN = "{option} runs fixtures or tests by halves: actions without gates, or gates that never ran; leave it out"
NO_ASSERT = "python -O or --assert=plain: assertions are the gates; run without it"
BAD_TICKET = "--ticket={ticket!r}: letters, digits, dot, dash and underscore only, at most 64; it names a folder"
PLAN_ALONE = "--plan names what runbook/ would send; checks/ send nothing but questions"
BAD_VMIDS = "--accept-changed={value!r}: write VMIDs with commas between them, e.g. --accept-changed=101,102"
ROLLBACK_ALONE = "--rollback takes nodes back that a run took out: it stands in front of runbook/ only"
ROLLBACK_WITHOUT = "{option} means nothing with --rollback; leave it out"
GIVE_UP_WHAT = "--give-up={value}: names nodes of --hosts whose changes since they left are given up, with --rollback"
BAD_ACCEPT = "--accept={value!r}: write words out of {known}, with commas between them"
BAD_ANYWAY = "--anyway={value!r}: give a reason in words, one line of at most 200 characters; the record shows it"
BAD_ABSENT = "--absent={value!r}: write the names of members that are powered off, with commas between them"
ABSENT_HOST = "--absent={name}: it is among --hosts too; a member that is powered off is left out there"
BAD_CANARY = "--canary={value!r}: write `off` or a free VMID from 100 to 999999999"
BAD_AUTHORITY = "--authority={name}: not among --hosts ({hosts})"
BAD_LAB_NODES = "--lab-nodes={value}: from 1 to 32"
BAD_TIMEOUT_SCALE = "pve_timeout_scale={value}: a number above 0, at most 100"
BAD_SINCE = "--since={value!r}: how far back checks/ reads the nodes' journals, from 10m to 30d, e.g. 90m, 24h or 7d"
BAD_WATCH = "--watch={value!r}: for how many seconds checks/ watches the membership, from 10 to 3600"
CHECKS_ALONE = "{option} is for checks/ only"
RUNBOOK_ALONE = "{option} is for runbook/ only"
LAB_ALONE = "--hosts=lab stands alone: the lab names its own nodes"
LAB_OPTION = "{option} is for --hosts=lab only"
REHEARSE_ALONE = "--rehearse lives the runbook through on a twin: it stands in front of runbook/ only"
REHEARSE_WITHOUT = "--rehearse begins at the beginning, on a twin: leave out {option}"
SAVE_WHERE = "--save-facts goes with checks/, or with runbook/ --rehearse: a run that changes nodes saves none"
SAVE_PATH = "--save-facts={path}: {why}; name a new file in a folder that is there"
LAB_FACTS = "--lab-facts={path}: {why}"
RECORDS = "--records={path}: cannot be written ({why}); no run without a record"


def add_options(parser: pytest.Parser) -> None:
    """Register our options; --hosts, --ssh-config, --ssh-identity-file and --sudo are testinfra's."""
    group = parser.getgroup("pve-runbook", "Proxmox VE runbook (with testinfra's --hosts, --ssh-config, --sudo)")
    group.addoption(
        "--approve",
        metavar="PHASES|all[@PLAN]",
        help="approve without a prompt: phases out of 0 (freeze), 2 (force quorum), 4 (every window), 7 (thaw), "
        "8 (rollback); @PLAN: only what the plan of that hash names",
    )
    group.addoption(
        "--plan",
        action="store_true",
        help="change nothing: name every command that each node would be sent, in order, with why and undo",
    )
    group.addoption(
        "--authority",
        metavar="NODE",
        help="the node that gets quorum first and leaves last; NODE@VERSION accepts an older database",
    )
    group.addoption(
        "--break-lock", metavar="RUN", help="give up an unfinished run for good, by the id that its refusal names"
    )
    group.addoption(
        "--accept-changed",
        metavar="VMIDS",
        help="go on though these guests stopped or changed since the first baseline; the record says so",
    )
    group.addoption(
        "--rollback",
        metavar="DIR",
        help="instead of the runbook: put the nodes that the run recorded in DIR took out back into their cluster",
    )
    group.addoption(
        "--give-up",
        metavar="NODES",
        help="with --rollback: give up what was changed on these nodes since they left",
    )
    group.addoption(
        "--accept",
        metavar="WORDS",
        help="go on all the same: words out of shared-storage, ceph, locks, with commas between them",
    )
    group.addoption(
        "--anyway",
        metavar="REASON",
        help="take the cluster apart though the verdict does not call for it, for this reason",
    )
    group.addoption(
        "--absent", metavar="NODES", help="members that are powered off, by the names that corosync.conf has for them"
    )
    group.addoption("--ticket", metavar="ID", help="the ticket this change belongs to")
    group.addoption(
        "--records",
        metavar="DIR",
        default="records",
        help="where change records are kept (default: records/)",
    )
    group.addoption(
        "--canary",
        metavar="off|VMID",
        help="the throw-away guest of phase 6: not at all, or with this id (default: a free one)",
    )
    group.addoption(
        "--since", metavar="DURATION", help="checks/: how far back the nodes' journals are read (default: 24h)"
    )
    group.addoption(
        "--activate-storage",
        action="store_true",
        default=None,
        help="checks/: also ask `pvesm status`, which mounts and imports what is not there yet; the record says so",
    )
    group.addoption("--watch", metavar="SECONDS", help="checks/: also watch the membership for so long")
    group.addoption(
        "--accept-new-host-keys",
        action="store_true",
        help="first contact: add unknown SSH host keys to known_hosts",
    )
    group.addoption("--ask-password", action="store_true", help="type the SSH password once; it is kept in memory only")
    group.addoption(
        "--lab-scenario",
        metavar="NAME",
        help="the lab's starting state (default: broken; `list` prints them)",
    )
    group.addoption(
        "--rehearse",
        action="store_true",
        help="read the nodes, with probes only, build their twin in the lab, and run the whole runbook there",
    )
    group.addoption(
        "--save-facts",
        metavar="FILE",
        help="keep what the probes say of the nodes, without secrets: with checks/, or with --rehearse",
    )
    group.addoption(
        "--lab-facts", metavar="FILE", help="with --hosts=lab: the twin of the cluster that FILE was saved from"
    )
    group.addoption("--lab-nodes", metavar="N", type=int, help="how many nodes the lab has (default: 3)")
    parser.addini("pve_timeout_scale", "multiplies every time bound on a node; for tests of hung nodes", default="1")


@dataclass(frozen=True)
class RunOptions:
    """The command line of a run, checked."""

    mode: Mode
    targets: tuple[Target, ...]
    lab: bool
    lab_scenario: str
    lab_facts: Path | None
    rehearse: bool
    save_facts: Path | None
    approve: frozenset[int]
    approved_plan: str | None
    """The hash of the plan that --approve is bound to."""
    plan: bool
    """Whether the commands are only named, and nothing is changed."""
    authority: str | None
    authority_version: int | None
    break_lock: str | None
    accept_changed: frozenset[int]
    accept: frozenset[str]
    anyway: str | None
    absent: tuple[str, ...]
    rollback: Path | None
    give_up: frozenset[str]
    ticket: str | None
    records: Path
    canary: int | Literal["off"] | None
    since: int
    """Seconds back that the nodes' history is read."""
    watch: int
    """Seconds for which the membership is watched; 0: it is not."""
    activate_storage: bool
    accept_new_host_keys: bool
    ask_password: bool
    timeout_scale: float

    @property
    def kind(self) -> str:
        """What the record is of: runbook, checks, plan or rehearsal."""
        return "plan" if self.plan else "rehearsal" if self.rehearse else self.mode


def mode_of(config: pytest.Config) -> Mode | None:
    """Which of our two folders the command line names; None when it names neither.

    Raises UsageError when it mixes them with anything else.
    """
    base = config.invocation_params.dir
    root = config.rootpath
    found: set[Mode | None] = set()
    for arg in config.args:
        path = (base / arg.partition("::")[0]).resolve()
        for mode in MODES:
            folder = root / mode
            if path == folder or folder in path.parents:
                found.add(mode)
                break
            if path in folder.parents and folder.is_dir():
                raise pytest.UsageError(MIXED.format(mode="runbook"))
        else:
            found.add(None)
    if len(found) > 1:
        raise pytest.UsageError(MIXED.format(mode=sorted(m for m in found if m)[0]))
    return found.pop() if found else None


def read_options(config: pytest.Config, mode: Mode) -> RunOptions:
    """Check the command line. Raises UsageError with one line; nothing was touched then."""
    option = config.option
    _refuse_ways_around(config)
    if not option.hosts:
        raise pytest.UsageError(NO_HOSTS.format(mode=mode))
    lab, targets = _targets(config)
    authority, version = _authority(option.authority, targets)
    if option.ticket is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", option.ticket):
        raise pytest.UsageError(BAD_TICKET.format(ticket=option.ticket))
    return RunOptions(
        mode=mode,
        targets=targets,
        lab=lab,
        lab_scenario=option.lab_scenario or "broken",
        lab_facts=config.invocation_params.dir / option.lab_facts if option.lab_facts is not None else None,
        rehearse=_rehearse(option, mode),
        save_facts=_save_facts(config, mode),
        approve=read_phases(option.approve),
        approved_plan=_approved_plan(option),
        plan=_plan(option, mode),
        authority=authority,
        authority_version=version,
        break_lock=option.break_lock,
        accept_changed=_vmids(option.accept_changed),
        accept=_accept(option.accept),
        anyway=_anyway(option.anyway, mode),
        absent=_absent(option.absent, targets),
        rollback=_rollback(config, mode),
        give_up=_give_up(option.give_up, option.rollback, targets),
        ticket=option.ticket,
        records=_records(config),
        canary=_canary(option.canary),
        since=_since(option.since, mode),
        watch=_watch(option.watch, mode),
        activate_storage=_activate_storage(option.activate_storage, mode),
        accept_new_host_keys=option.accept_new_host_keys,
        ask_password=option.ask_password,
        timeout_scale=_timeout_scale(config.getini("pve_timeout_scale")),
    )


def _refuse_ways_around(config: pytest.Config) -> None:
    option = config.option
    for name, given in (
        (f"--connection={option.connection}", option.connection not in (None, "pve")),
        ("--ansible-inventory", bool(option.ansible_inventory)),
        ("--force-ansible", bool(option.force_ansible)),
        ("--nagios", bool(option.nagios)),
        ("--sudo-user", bool(option.sudo_user)),
        ("--ssh-extra-args", bool(option.ssh_extra_args)),
    ):
        if given:
            raise pytest.UsageError(FOREIGN_CONNECTION.format(option=name))
    plugins = config.pluginmanager
    if not plugins.hasplugin("dependency"):
        raise pytest.UsageError(NO_DEPENDENCY)
    if not (plugins.hasplugin("html") or plugins.hasplugin("pytest_html")):
        raise pytest.UsageError(NO_HTML)
    if hasattr(config, "workerinput") or config.getoption("numprocesses", None) or config.getoption("tx", None):
        raise pytest.UsageError(XDIST)
    if option.ignore_unknown_dependency:
        raise pytest.UsageError(IGNORE_UNKNOWN)
    for name in ("setupplan", "setuponly", "noconftest"):
        if getattr(option, name, False):
            raise pytest.UsageError(HALF_RUN.format(option="--" + name.replace("setup", "setup-")))
    if sys.flags.optimize or option.assertmode == "plain":
        raise pytest.UsageError(NO_ASSERT)


def _targets(config: pytest.Config) -> tuple[bool, tuple[Target, ...]]:
    option = config.option
    spec: str = option.hosts
    if "lab" in spec.split(","):
        if spec != "lab":
            raise pytest.UsageError(LAB_ALONE)
        if option.lab_facts is not None:
            return True, parse_hosts(_names_in_facts(config))
        count = 3 if option.lab_nodes is None else option.lab_nodes
        if not 1 <= count <= 32:
            raise pytest.UsageError(BAD_LAB_NODES.format(value=count))
        return True, parse_hosts([f"pve{i}" for i in range(1, count + 1)])
    for name, given in (
        ("--lab-scenario", option.lab_scenario),
        ("--lab-nodes", option.lab_nodes),
        ("--lab-facts", option.lab_facts),
    ):
        if given is not None:
            raise pytest.UsageError(LAB_OPTION.format(option=name))
    try:
        return False, parse_hosts(spec)
    except TargetError as error:
        raise pytest.UsageError(f"--hosts={spec}: {error}") from None


def _names_in_facts(config: pytest.Config) -> list[str]:
    option = config.option
    for name, given in (("--lab-scenario", option.lab_scenario), ("--lab-nodes", option.lab_nodes)):
        if given is not None:
            raise pytest.UsageError(LAB_FACTS.format(path=option.lab_facts, why=f"leave out {name}"))
    try:
        portrait = load((config.invocation_params.dir / option.lab_facts).read_text(encoding="utf-8"))
        return [n.hostname for n in portrait.nodes]
    except OSError as error:
        raise pytest.UsageError(LAB_FACTS.format(path=option.lab_facts, why=error.strerror)) from None
    except ValueError as error:
        raise pytest.UsageError(LAB_FACTS.format(path=option.lab_facts, why=error)) from None


def _rehearse(option: argparse.Namespace, mode: Mode) -> bool:
    if option.rehearse and mode != "runbook":
        raise pytest.UsageError(REHEARSE_ALONE)
    for name in ("rollback", "break_lock", "plan"):
        if option.rehearse and getattr(option, name):
            raise pytest.UsageError(REHEARSE_WITHOUT.format(option=f"--{name.replace('_', '-')}"))
    return bool(option.rehearse)


def _save_facts(config: pytest.Config, mode: Mode) -> Path | None:
    given = config.option.save_facts
    if given is None:
        return None
    if mode != "checks" and not config.option.rehearse:
        raise pytest.UsageError(SAVE_WHERE)
    path: Path = config.invocation_params.dir / given
    if path.exists():
        raise pytest.UsageError(SAVE_PATH.format(path=given, why="it is there already"))
    if not os.access(path.parent, os.W_OK):
        raise pytest.UsageError(SAVE_PATH.format(path=given, why="its folder is not there, or cannot be written"))
    return path


def _authority(value: str | None, targets: tuple[Target, ...]) -> tuple[str | None, int | None]:
    if value is None:
        return None, None
    names = [t.name for t in targets]
    name, _, version = value.partition("@")
    if name not in names or (version and not version.isdecimal()):
        raise pytest.UsageError(BAD_AUTHORITY.format(name=value, hosts=", ".join(names)))
    return name, int(version) if version else None


def _approved_plan(option: argparse.Namespace) -> str | None:
    plan = read_plan(option.approve)
    if plan is not None and option.rollback is not None:
        raise pytest.UsageError(ROLLBACK_WITHOUT.format(option=f"--approve={option.approve}"))
    return plan


def _plan(option: argparse.Namespace, mode: Mode) -> bool:
    if option.plan and mode != "runbook":
        raise pytest.UsageError(PLAN_ALONE)
    if option.plan and option.rollback is not None:
        raise pytest.UsageError(ROLLBACK_WITHOUT.format(option="--plan"))
    return bool(option.plan)


def _canary(value: str | None) -> int | Literal["off"] | None:
    if value is None or value == "off":
        return "off" if value else None
    if not value.isdecimal() or not 100 <= int(value) <= 999_999_999:
        raise pytest.UsageError(BAD_CANARY.format(value=value))
    return int(value)


def _vmids(value: str | None) -> frozenset[int]:
    parts = value.split(",") if value else []
    if not all(p.isdecimal() for p in parts):
        raise pytest.UsageError(BAD_VMIDS.format(value=value))
    return frozenset(int(p) for p in parts)


def _rollback(config: pytest.Config, mode: Mode) -> Path | None:
    folder = config.option.rollback
    if folder is None:
        return None
    if mode != "runbook":
        raise pytest.UsageError(ROLLBACK_ALONE)
    for name in ("absent", "accept", "anyway", "authority", "canary"):
        if getattr(config.option, name) is not None:
            raise pytest.UsageError(ROLLBACK_WITHOUT.format(option=f"--{name}"))
    path: Path = config.invocation_params.dir / folder
    return path


def _give_up(value: str | None, rollback: str | None, targets: tuple[Target, ...]) -> frozenset[str]:
    names = frozenset(value.split(",")) if value is not None else frozenset()
    if value is not None and (rollback is None or not names <= {t.name for t in targets}):
        raise pytest.UsageError(GIVE_UP_WHAT.format(value=value))
    return names


def _accept(value: str | None) -> frozenset[str]:
    words = frozenset(value.split(",")) if value is not None else frozenset()
    if not words <= set(ACCEPTABLE):
        raise pytest.UsageError(BAD_ACCEPT.format(value=value, known=", ".join(ACCEPTABLE)))
    return words


def _anyway(value: str | None, mode: Mode) -> str | None:
    if value is None:
        return None
    if mode != "runbook":
        raise pytest.UsageError(RUNBOOK_ALONE.format(option="--anyway"))
    if not value.strip() or not value.isprintable() or len(value) > 200:
        raise pytest.UsageError(BAD_ANYWAY.format(value=value))
    return value.strip()


def _absent(value: str | None, targets: tuple[Target, ...]) -> tuple[str, ...]:
    names = value.split(",") if value is not None else []
    if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", n) for n in names) or len(set(names)) < len(names):
        raise pytest.UsageError(BAD_ABSENT.format(value=value))
    for target in targets:
        if target.name in names or target.host in names:
            raise pytest.UsageError(ABSENT_HOST.format(name=target.name))
    return tuple(names)


def _since(value: str | None, mode: Mode) -> int:
    _only_checks("--since", value, mode)
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", "24h" if value is None else value)
    seconds = int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]] if match else 0
    if not 600 <= seconds <= 30 * 86_400:
        raise pytest.UsageError(BAD_SINCE.format(value=value))
    return seconds


def _watch(value: str | None, mode: Mode) -> int:
    _only_checks("--watch", value, mode)
    if value is not None and not (re.fullmatch(r"[0-9]{2,4}", value) and 10 <= int(value) <= 3600):
        raise pytest.UsageError(BAD_WATCH.format(value=value))
    return int(value or 0)


def _activate_storage(value: bool | None, mode: Mode) -> bool:
    _only_checks("--activate-storage", value, mode)
    return bool(value)


def _only_checks(option: str, value: object, mode: Mode) -> None:
    if value is not None and mode != "checks":
        raise pytest.UsageError(CHECKS_ALONE.format(option=option))


def _timeout_scale(value: str) -> float:
    try:
        scale = float(value)
    except ValueError:
        scale = 0.0
    if not 0.0 < scale <= 100.0:
        raise pytest.UsageError(BAD_TIMEOUT_SCALE.format(value=value))
    return scale


def _records(config: pytest.Config) -> Path:
    path: Path = config.invocation_params.dir / config.option.records
    if config.option.collectonly:
        return path
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise pytest.UsageError(RECORDS.format(path=config.option.records, why=error.strerror)) from None
    return path
