"""Our options: each stands here once, with its words for --help, the folder it is for, and how its value is read."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import pytest
from msgspec import Struct

from pve_runbook.journal.events import RunMode
from pve_runbook.options import command_line, option_types
from pve_runbook.options.option_types import Approve, Authority, Given, Mode, Read
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.usage import usage_error
from pve_runbook.ssh.hosts import Target

NO_HOSTS = (
    "no --hosts: name every node of the cluster, e.g. `pytest {mode}/ --hosts=pve1,pve2,pve3`, or --hosts=lab to try it"
)
CHECKS_ALONE = "{option} is for checks/ only"
RUNBOOK_ALONE = "{option} is for runbook/ only"
ALONE = {"checks": CHECKS_ALONE, "runbook": RUNBOOK_ALONE}
GROUP = (
    "Proxmox VE runbook (with testinfra's --hosts, --ssh-config, --ssh-identity-file, --sudo); an option that names no "
    "default is off, or accepts nothing"
)
_OPTION = "option"


class Option(Struct, frozen=True):
    """One option. ``only``: the folder it is for, None for both; ``argument``: what pytest's addoption takes."""

    name: str
    read: Read[Any]
    only: Mode | None
    refusal: str
    """What is said where it stands in front of the other folder."""
    argument: dict[str, Any]

    @property
    def takes_value(self) -> bool:
        """Whether a value follows it."""
        return "action" not in self.argument

    @property
    def dest(self) -> str:
        """Its name in pytest's own namespace."""
        return self.name.strip("-").replace("-", "_")


def _option(name: str, read: Read[Any], *, only: Mode | None = None, refusal: str = "", **argument: Any) -> Any:
    refusal = refusal or ALONE.get(only or "", "")
    return field(metadata={_OPTION: Option(name, read, only, refusal, argument)})


def _flag(name: str, read: Read[Any] = option_types.flag, **given: Any) -> Any:
    return _option(name, read, action="store_true", **given)


@dataclass(frozen=True)
class RunOptions:
    """The command line of a run, checked. What has no option stands first."""

    mode: Mode
    targets: tuple[Target, ...]
    lab: bool
    timeout_scale: float
    approve: Approve = _option(
        "--approve",
        option_types.approve,
        only="runbook",
        metavar="PHASES|all[@PLAN]",
        help="approve without a prompt: phases out of 0 (freeze), 2 (force quorum), 4 (every window), 6 (with --leave: "
        "let the node go), 7 (thaw, and the start of all guests where it was held), 8 (rollback); @PLAN: only what the "
        "plan of that hash names",
    )
    plan: bool = _flag(
        "--plan",
        only="runbook",
        refusal=option_types.PLAN_ALONE,
        help="change nothing: name every command that each node would be sent, in order, with why and undo",
    )
    authority: Authority | None = _option(
        "--authority",
        option_types.authority,
        only="runbook",
        metavar="NODE",
        help="the node that gets quorum first and leaves last; NODE@VERSION accepts an older database",
    )
    break_lock: str | None = _option(
        "--break-lock",
        option_types.text,
        only="runbook",
        metavar="RUN",
        help="give up an unfinished run for good, by the id that its refusal names",
    )
    accept_changed: frozenset[int] = _option(
        "--accept-changed",
        option_types.vmids,
        only="runbook",
        metavar="VMIDS",
        help="go on though these guests stopped, changed or went since the first baseline; the record says so",
    )
    rollback: Path | None = _option(
        "--rollback",
        option_types.rollback,
        only="runbook",
        refusal=option_types.ROLLBACK_ALONE,
        metavar="DIR",
        help="instead of the runbook: put the nodes that the run recorded in DIR took out back into their cluster",
    )
    discard_changes: frozenset[str] = _option(
        "--discard-changes",
        option_types.discard_changes,
        only="runbook",
        metavar="NODES",
        help="with --rollback: discard what was changed on these nodes since they left",
    )
    accept: frozenset[str] = _option(
        "--accept",
        option_types.accept,
        only="runbook",
        metavar="WORDS",
        help="go on all the same: words out of shared-storage, ceph, locks, volumes, with commas between them",
    )
    anyway: str | None = _option(
        "--anyway",
        option_types.anyway,
        only="runbook",
        metavar="REASON",
        help="take the cluster apart though the verdict does not call for it, for this reason",
    )
    absent: tuple[str, ...] = _option(
        "--absent",
        option_types.absent,
        metavar="NODES",
        help="members that are powered off, by the names that corosync.conf has for them",
    )
    leave: tuple[str, ...] = _option(
        "--leave",
        option_types.leave,
        only="runbook",
        metavar="NODES",
        help="take only these nodes out, the others stay a cluster; one that is dead for good: --absent it too",
    )
    ticket: str | None = _option(
        "--ticket", option_types.ticket, metavar="ID", help="the ticket this change belongs to"
    )
    canary: int | Literal["off"] | None = _option(
        "--canary",
        option_types.canary,
        only="runbook",
        metavar="off|VMID",
        help="the throw-away guest of phase 6: not at all, or with this id (default: a free one)",
    )
    since: int = _option(
        "--since",
        option_types.since,
        only="checks",
        metavar="DURATION",
        help="checks/: how far back the nodes' journals are read (default: 24h)",
    )
    """Seconds back that the nodes' history is read."""
    activate_storage: bool = _flag(
        "--activate-storage",
        only="checks",
        default=None,
        help="checks/: also ask `pvesm status`, which mounts and imports what is not there yet; the record says so",
    )
    watch: int = _option(
        "--watch",
        option_types.watch,
        only="checks",
        metavar="SECONDS",
        help="checks/: also watch the membership for so long, 10 to 3600 (default: not at all)",
    )
    """Seconds for which the membership is watched; 0: it is not."""
    accept_new_host_keys: bool = _flag(
        "--accept-new-host-keys", help="first contact: add unknown SSH host keys to known_hosts"
    )
    ask_password: bool = _flag(
        "--ask-password", help="type the SSH password once, if a node refuses the key; it is kept in memory only"
    )
    lab_scenario: str = _option(
        "--lab-scenario",
        option_types.lab_scenario,
        metavar="NAME",
        help="the lab's starting state (default: broken; `list` prints them)",
    )
    rehearse: bool = _flag(
        "--rehearse",
        option_types.rehearse,
        only="runbook",
        refusal=option_types.REHEARSE_ALONE,
        help="read the nodes, with probes only, build their twin in the lab, and run the whole runbook there",
    )
    save_facts: Path | None = _option(
        "--save-facts",
        option_types.save_facts,
        metavar="FILE",
        help="keep what the probes say of the nodes, without secrets: with checks/, or with --rehearse",
    )
    lab_facts: Path | None = _option(
        "--lab-facts",
        option_types.path,
        metavar="FILE",
        help="with --hosts=lab: the twin of the cluster that FILE was saved from",
    )

    records: Path = _option(
        "--records",
        option_types.records,
        metavar="DIR",
        default="records",
        help="where change records are kept (default: records/)",
    )

    @property
    def staying(self) -> frozenset[str]:
        """With --leave: the nodes of --hosts that stay a cluster; empty without it."""
        return frozenset(t.name for t in self.targets if t.name not in self.leave) if self.leave else frozenset()

    @property
    def kind(self) -> RunMode:
        """What the record is of: runbook, checks, plan or rehearsal."""
        return "plan" if self.plan else "rehearsal" if self.rehearse else self.mode


OPTIONS: tuple[Option, ...] = tuple(f.metadata[_OPTION] for f in fields(RunOptions) if _OPTION in f.metadata)
"""Every option of a run; testinfra's --hosts, --ssh-config, --ssh-identity-file and --sudo stand beside them."""


def add_options(parser: pytest.Parser) -> None:
    """Register our options, and those that read a record in place of a run."""
    group = parser.getgroup("pve-runbook", GROUP)
    for option in OPTIONS:
        group.addoption(option.name, **option.argument)
    group.addoption("--lab-nodes", metavar="N", type=int, help="how many nodes the lab has (default: 3)")
    parser.addini("pve_timeout_scale", "multiplies every time bound on a node; for tests of hung nodes", default="1")
    group.addoption(
        "--verify-record",
        metavar="DIR",
        help="say whether a record's journal, backups and report agree, and name the first line that does not",
    )
    group.addoption(
        "--record-from",
        metavar="DIR",
        help="write report.html, record.json and summary.md again, from DIR/journal.jsonl alone",
    )


def read_options(config: pytest.Config, mode: Mode) -> RunOptions:
    """Check the command line. Raises UsageError with one line; nothing was touched then."""
    command_line.refuse_ways_around(config)
    if not config.option.hosts:
        raise usage_error(RefusalId.NO_HOSTS, NO_HOSTS.format(mode=mode))
    lab, targets = command_line.targets(config)
    given = Given(config, mode, targets)
    values = {}
    for option in OPTIONS:
        value = getattr(config.option, option.dest)
        if option.only not in (None, mode) and value not in (None, False):
            raise usage_error(RefusalId.OPTION_IS_OF_THE_OTHER_FOLDER, option.refusal.format(option=option.name))
        values[option.dest] = option.read(value, given)
    scale = option_types.timeout_scale(config.getini("pve_timeout_scale"))
    return RunOptions(mode=mode, targets=targets, lab=lab, timeout_scale=scale, **values)
