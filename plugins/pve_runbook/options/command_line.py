"""The command line as a whole: which of our two folders it names, which nodes, and no way around a gate."""

from __future__ import annotations

import sys

import pytest

from pve_runbook.options.option_types import Mode
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.usage import usage_error
from pve_runbook.ssh.hosts import Target, TargetError, parse_hosts

MODES: tuple[Mode, ...] = ("runbook", "checks")

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
BAD_LAB_NODES = "--lab-nodes={value}: from 1 to 32"
LAB_ALONE = "--hosts=lab stands alone: the lab names its own nodes"
LAB_OPTION = "{option} is for --hosts=lab only"
LAB_HAS_ITS_OWN = "{option} is for real nodes: with --hosts=lab the lab has its own; leave it out"
NO_FILE = "{option}= names no file"
LAB_FACTS = "--lab-facts={path}: {why}"


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
                raise usage_error(RefusalId.FOLDERS_ARE_MIXED, MIXED.format(mode="runbook"))
        else:
            found.add(None)
    if len(found) > 1:
        raise usage_error(RefusalId.FOLDERS_ARE_MIXED, MIXED.format(mode=sorted(m for m in found if m)[0]))
    return found.pop() if found else None


def refuse_ways_around(config: pytest.Config) -> None:
    """Raises UsageError for what would go around our connection, our order or our gates."""
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
            raise usage_error(RefusalId.FOREIGN_CONNECTION, FOREIGN_CONNECTION.format(option=name))
    plugins = config.pluginmanager
    if not plugins.hasplugin("dependency"):
        raise usage_error(RefusalId.RUN_WITHOUT_DEPENDENCY, NO_DEPENDENCY)
    if not (plugins.hasplugin("html") or plugins.hasplugin("pytest_html")):
        raise usage_error(RefusalId.RUN_WITHOUT_HTML, NO_HTML)
    if hasattr(config, "workerinput") or config.getoption("numprocesses", None) or config.getoption("tx", None):
        raise usage_error(RefusalId.RUN_BY_XDIST, XDIST)
    if option.ignore_unknown_dependency:
        raise usage_error(RefusalId.RUN_IGNORES_UNKNOWN, IGNORE_UNKNOWN)
    for name in ("setupplan", "setuponly", "noconftest"):
        if getattr(option, name, False):
            raise usage_error(RefusalId.RUN_IS_HALF, HALF_RUN.format(option="--" + name.replace("setup", "setup-")))
    if sys.flags.optimize or option.assertmode == "plain":
        raise usage_error(RefusalId.RUN_WITHOUT_ASSERT, NO_ASSERT)


def targets(config: pytest.Config) -> tuple[bool, tuple[Target, ...]]:
    """Whether the nodes are the lab's, and which they are. Raises UsageError."""
    option = config.option
    spec: str = option.hosts
    if "lab" in spec.split(","):
        if spec != "lab":
            raise usage_error(RefusalId.LAB_ALONE, LAB_ALONE)
        for name, given in _ssh_files(config):
            if given is not None:
                raise usage_error(RefusalId.LAB_HAS_ITS_OWN, LAB_HAS_ITS_OWN.format(option=name))
        if option.lab_facts is not None:
            return True, parse_hosts(_names_in_facts(config))
        count = 3 if option.lab_nodes is None else option.lab_nodes
        if not 1 <= count <= 32:
            raise usage_error(RefusalId.BAD_LAB_NODES, BAD_LAB_NODES.format(value=count))
        return True, parse_hosts([f"pve{i}" for i in range(1, count + 1)])
    for name, given in (
        ("--lab-scenario", option.lab_scenario),
        ("--lab-nodes", option.lab_nodes),
        ("--lab-facts", option.lab_facts),
    ):
        if given is not None:
            raise usage_error(RefusalId.LAB_OPTION, LAB_OPTION.format(option=name))
    for name, given in _ssh_files(config):
        if given == "":
            raise usage_error(RefusalId.NO_FILE, NO_FILE.format(option=name))
    try:
        return False, parse_hosts(spec)
    except TargetError as error:
        raise usage_error(RefusalId.BAD_HOSTS, f"--hosts={spec}: {error}") from None


def _ssh_files(config: pytest.Config) -> tuple[tuple[str, str | None], ...]:
    """testinfra's options that name a file of SSH."""
    return ("--ssh-config", config.option.ssh_config), ("--ssh-identity-file", config.option.ssh_identity_file)


def _names_in_facts(config: pytest.Config) -> list[str]:
    from pve_runbook.facts_file.model import load

    option = config.option
    for name, given in (("--lab-scenario", option.lab_scenario), ("--lab-nodes", option.lab_nodes)):
        if given is not None:
            raise usage_error(RefusalId.LAB_FACTS, LAB_FACTS.format(path=option.lab_facts, why=f"leave out {name}"))
    try:
        portrait = load((config.invocation_params.dir / option.lab_facts).read_text(encoding="utf-8"))
        if not portrait.has_a_twin:
            raise ValueError("it holds no node's configuration database, a twin would be empty")
        return [n.hostname for n in portrait.nodes]
    except OSError as error:
        raise usage_error(RefusalId.LAB_FACTS, LAB_FACTS.format(path=option.lab_facts, why=error.strerror)) from None
    except ValueError as error:
        raise usage_error(RefusalId.LAB_FACTS, LAB_FACTS.format(path=option.lab_facts, why=error)) from None
