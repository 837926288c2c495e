"""The command line of a run, checked as a whole; combinations that would go around a gate are refused."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from pve_runbook.plugin import values
from pve_runbook.plugin.values import Mode
from pve_runbook.wire.targets import Target, TargetError, parse_hosts

MODES: tuple[Mode, ...] = ("runbook", "checks")

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
BAD_LAB_NODES = "--lab-nodes={value}: from 1 to 32"
LAB_ALONE = "--hosts=lab stands alone: the lab names its own nodes"
LAB_OPTION = "{option} is for --hosts=lab only"
LAB_FACTS = "--lab-facts={path}: {why}"


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
    values.refuse_in_checks(option, mode)
    authority, version = values.authority(option.authority, targets)
    if option.ticket is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", option.ticket):
        raise pytest.UsageError(BAD_TICKET.format(ticket=option.ticket))
    return RunOptions(
        mode=mode,
        targets=targets,
        lab=lab,
        lab_scenario=option.lab_scenario or "broken",
        lab_facts=config.invocation_params.dir / option.lab_facts if option.lab_facts is not None else None,
        rehearse=values.rehearse(option, mode),
        save_facts=values.save_facts(config, mode),
        approve=values.approve(option.approve),
        approved_plan=values.approved_plan(option.approve, option.rollback),
        plan=values.plan(option, mode),
        authority=authority,
        authority_version=version,
        break_lock=option.break_lock,
        accept_changed=values.vmids(option.accept_changed),
        accept=values.accept(option.accept),
        anyway=values.anyway(option.anyway, mode),
        absent=values.absent(option.absent, targets),
        rollback=values.rollback(config, mode),
        give_up=values.give_up(option.give_up, option.rollback, targets),
        ticket=option.ticket,
        records=values.records(config, mode),
        canary=values.canary(option.canary),
        since=values.since(option.since, mode),
        watch=values.watch(option.watch, mode),
        activate_storage=values.activate_storage(option.activate_storage, mode),
        accept_new_host_keys=option.accept_new_host_keys,
        ask_password=option.ask_password,
        timeout_scale=values.timeout_scale(config.getini("pve_timeout_scale")),
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
    from pve_runbook.facts.portrait import load

    option = config.option
    for name, given in (("--lab-scenario", option.lab_scenario), ("--lab-nodes", option.lab_nodes)):
        if given is not None:
            raise pytest.UsageError(LAB_FACTS.format(path=option.lab_facts, why=f"leave out {name}"))
    try:
        portrait = load((config.invocation_params.dir / option.lab_facts).read_text(encoding="utf-8"))
        if not portrait.has_a_twin:
            raise ValueError("it holds no node's configuration database, a twin would be empty")
        return [n.hostname for n in portrait.nodes]
    except OSError as error:
        raise pytest.UsageError(LAB_FACTS.format(path=option.lab_facts, why=error.strerror)) from None
    except ValueError as error:
        raise pytest.UsageError(LAB_FACTS.format(path=option.lab_facts, why=error)) from None
