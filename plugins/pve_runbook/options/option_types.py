"""How an option's value is read, or refused in one line.

Every function takes it as it was typed, None where it was not, and raises UsageError.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from msgspec import Struct

from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.usage import usage_error
from pve_runbook.ssh.hosts import Target

T = TypeVar("T")

Mode = Literal["runbook", "checks"]


class Given(Struct, frozen=True):
    """What else the command line says: an option's value may mean something only beside it."""

    config: pytest.Config
    mode: Mode
    targets: tuple[Target, ...]

    def has(self, name: str) -> bool:
        """Whether the option of that name, as pytest's namespace has it, was given."""
        return getattr(self.config.option, name) not in (None, False)


Read = Callable[[Any, Given], T]


class Approve(Struct, frozen=True):
    """What is approved without a prompt. ``plan``: the hash of the plan that it is bound to, None for any."""

    phases: frozenset[int] = frozenset()
    plan: str | None = None


class Authority(Struct, frozen=True):
    """The node that is to be the authority, by its name in --hosts.

    ``version``: of its database, where an older one is accepted.
    """

    node: str
    version: int | None


PHASES_THAT_ASK = {0: "freeze", 2: "force quorum", 4: "every window", 7: "thaw", 8: "rollback"}
LET_GO = {6: "let the node go"}
"""What asks only with --leave."""
ACCEPTABLE = ("shared-storage", "ceph", "locks", "volumes")
"""What a run refuses until the operator takes it upon himself."""
FORCED_QUORUM = "forced-quorum"
"""The same, with --leave only: those that stay have no majority of their own until the others are let go."""

BAD_APPROVE = "--approve={value!r}: write `all` or phases out of 0, 2, 4, 7, 8, e.g. --approve=0,2"
BAD_PLAN = "--approve={value!r}: behind the @ stands the hash of a plan, 12 letters that --plan printed"
PLAN_ALONE = "--plan names what runbook/ would send; checks/ send nothing but questions"
BAD_VMIDS = "--accept-changed={value!r}: write VMIDs with commas between them, e.g. --accept-changed=101,102"
ROLLBACK_ALONE = "--rollback takes nodes back that a run took out: it stands in front of runbook/ only"
ROLLBACK_WITHOUT = "{option} means nothing with --rollback; leave it out"
DISCARD_WHAT = (
    "--discard-changes={value}: with --rollback, nodes of --hosts whose changes since they left are discarded"
)
BAD_ACCEPT = "--accept={value!r}: write words out of {known}, with commas between them"
BAD_ANYWAY = "--anyway={value!r}: give a reason in words, one line of at most 200 characters; the record shows it"
BAD_TICKET = "--ticket={ticket!r}: letters, digits, dot, dash and underscore only, at most 64; it names a folder"
BAD_ABSENT = "--absent={value!r}: write the names of members that are powered off, with commas between them"
ABSENT_HOST = "--absent={name}: it is among --hosts too; a member that is powered off is left out there"
BAD_LEAVE = "--leave={value!r}: write the names of nodes that leave the cluster, with commas between them"
LEAVE_WHOM = (
    "--leave={name}: not among --hosts ({hosts}); a node that is dead for good is named twice: --leave={name} "
    "--absent={name}"
)
LEAVE_ALL = "--leave={value}: nobody would stay; to take the whole cluster apart leave the option out"
LEAVE_WITHOUT = "{option} means nothing with --leave; leave it out"
LEAVE_AUTHORITY = "--authority={name}: it leaves; the authority is one of those that stay"
LEAVE_ABSENT = (
    "--absent={name}: with --leave every member that stays has to be up and named in --hosts; power it on first, or "
    "let it go too: --leave={name}"
)
BAD_CANARY = "--canary={value!r}: write `off` or a free VMID from 100 to 999999999"
BAD_AUTHORITY = "--authority={name}: not among --hosts ({hosts})"
BAD_VERSION = "--authority={value}: behind the @ stands the version of its database, as a refusal names it: {name}@4711"
BAD_TIMEOUT_SCALE = "pve_timeout_scale={value}: a number above 0, at most 100"
BAD_SINCE = "--since={value!r}: how far back checks/ reads the nodes' journals, from 10m to 30d, e.g. 90m, 24h or 7d"
BAD_WATCH = "--watch={value!r}: for how many seconds checks/ watches the membership, from 10 to 3600"
REHEARSE_ALONE = "--rehearse lives the runbook through on a twin: it stands in front of runbook/ only"
REHEARSE_WITHOUT = "--rehearse begins at the beginning, on a twin: leave out {option}"
SAVE_WHERE = "--save-facts goes with checks/, or with runbook/ --rehearse: a run that changes nodes saves none"
SAVE_PATH = "--save-facts={path}: {why}; name a new file in a folder that is there"
RECORDS = "--records={path}: cannot be written ({why}); no run without a record"
NO_FOLDER = "{option}= names no folder"
ROOM = (
    "--records={path}: {free} MiB are free there; {needed} MiB have to stay free beside the nodes' backups, or there "
    "is no way back. Make room there"
)


def flag(value: bool | None, given: Given) -> bool:
    """Whether it was given."""
    return bool(value)


def text(value: str | None, given: Given) -> str | None:
    """The text itself."""
    return value


def path(value: str | None, given: Given) -> Path | None:
    """A path, from the folder that pytest was started in."""
    return given.config.invocation_params.dir / value if value is not None else None


def lab_scenario(value: str | None, given: Given) -> str:
    """The lab's starting state."""
    return value or "broken"


def ticket(value: str | None, given: Given) -> str | None:
    """The ticket, which names a folder too."""
    if value is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise usage_error(RefusalId.BAD_TICKET, BAD_TICKET.format(ticket=value))
    return value


def rehearse(value: bool, given: Given) -> bool:
    """Whether the runbook is lived through on a twin."""
    for name in ("rollback", "break_lock", "plan"):
        if value and given.has(name):
            raise usage_error(RefusalId.REHEARSE_WITHOUT, REHEARSE_WITHOUT.format(option=f"--{name.replace('_', '-')}"))
    return bool(value)


def save_facts(value: str | None, given: Given) -> Path | None:
    """The new file that the facts are saved to, None when they are not."""
    if value is None:
        return None
    if given.mode != "checks" and not given.has("rehearse"):
        raise usage_error(RefusalId.SAVE_WHERE, SAVE_WHERE)
    path: Path = given.config.invocation_params.dir / value
    if path.exists():
        raise usage_error(RefusalId.SAVE_PATH, SAVE_PATH.format(path=value, why="it is there already"))
    if not os.access(path.parent, os.W_OK):
        raise usage_error(
            RefusalId.SAVE_PATH, SAVE_PATH.format(path=value, why="its folder is not there, or cannot be written")
        )
    return path


def authority(value: str | None, given: Given) -> Authority | None:
    """The name in --hosts, and the version of its database that is accepted."""
    if value is None:
        return None
    names = [t.name for t in given.targets]
    name, at, version = value.partition("@")
    if name not in names:
        raise usage_error(RefusalId.BAD_AUTHORITY, BAD_AUTHORITY.format(name=name, hosts=", ".join(names)))
    if at and not version.isdecimal():
        raise usage_error(RefusalId.BAD_VERSION, BAD_VERSION.format(value=value, name=name))
    return Authority(name, int(version) if at else None)


def approve(value: str | None, given: Given) -> Approve:
    """The phases that are approved without a prompt, and the hash of the plan that this is for."""
    if value is None:
        return Approve()
    phases, at, plan = value.partition("@")
    asking = PHASES_THAT_ASK | (LET_GO if given.has("leave") else {})
    parts = [str(p) for p in asking] if phases == "all" else phases.split(",")
    if not all(p.isdecimal() and int(p) in asking for p in parts):
        raise usage_error(RefusalId.BAD_APPROVE, BAD_APPROVE.format(value=value))
    if at and not re.fullmatch(r"[0-9a-f]{12}", plan):
        raise usage_error(RefusalId.BAD_PLAN, BAD_PLAN.format(value=value))
    return Approve(frozenset(int(p) for p in parts), plan if at else None)


def canary(value: str | None, given: Given) -> int | Literal["off"] | None:
    """The VMID of the throw-away guest; None: a free one is found."""
    if value is None or value == "off":
        return "off" if value else None
    if not value.isdecimal() or not 100 <= int(value) <= 999_999_999:
        raise usage_error(RefusalId.BAD_CANARY, BAD_CANARY.format(value=value))
    return int(value)


def vmids(value: str | None, given: Given) -> frozenset[int]:
    """Guests that are accepted as changed."""
    parts = value.split(",") if value else []
    if not all(p.isdecimal() for p in parts):
        raise usage_error(RefusalId.BAD_VMIDS, BAD_VMIDS.format(value=value))
    return frozenset(int(p) for p in parts)


def rollback(value: str | None, given: Given) -> Path | None:
    """The folder of the record that is rolled back."""
    if value is None:
        return None
    for name in ("absent", "accept", "anyway", "authority", "canary", "leave"):
        if given.has(name):
            raise usage_error(RefusalId.ROLLBACK_WITHOUT, ROLLBACK_WITHOUT.format(option=f"--{name}"))
    if not value:
        raise usage_error(RefusalId.NO_FOLDER, NO_FOLDER.format(option="--rollback"))
    return path(value, given)


def discard_changes(value: str | None, given: Given) -> frozenset[str]:
    """The nodes, by their names in --hosts, whose changes are discarded."""
    names = frozenset(value.split(",")) if value is not None else frozenset()
    if value is not None and (not given.has("rollback") or not names <= {t.name for t in given.targets}):
        raise usage_error(RefusalId.DISCARD_WHAT, DISCARD_WHAT.format(value=value))
    return names


def accept(value: str | None, given: Given) -> frozenset[str]:
    """What the operator takes upon himself."""
    words = frozenset(value.split(",")) if value is not None else frozenset()
    known = (*ACCEPTABLE, FORCED_QUORUM) if given.has("leave") else ACCEPTABLE
    if not words <= set(known):
        raise usage_error(RefusalId.BAD_ACCEPT, BAD_ACCEPT.format(value=value, known=", ".join(known)))
    return words


def anyway(value: str | None, given: Given) -> str | None:
    """Why the cluster is dismantled though the verdict does not call for it."""
    if value is None:
        return None
    if not value.strip() or not value.isprintable() or len(value) > 200:
        raise usage_error(RefusalId.BAD_ANYWAY, BAD_ANYWAY.format(value=value))
    return value.strip()


def absent(value: str | None, given: Given) -> tuple[str, ...]:
    """Members that are powered off, by the names in corosync.conf."""
    names = value.split(",") if value is not None else []
    if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", n) for n in names) or len(set(names)) < len(names):
        raise usage_error(RefusalId.BAD_ABSENT, BAD_ABSENT.format(value=value))
    for target in given.targets:
        if target.name in names or target.host in names:
            raise usage_error(RefusalId.ABSENT_HOST, ABSENT_HOST.format(name=target.name))
    return tuple(names)


def leave(value: str | None, given: Given) -> tuple[str, ...]:
    """The nodes that leave while the others stay a cluster: by names of --hosts, or of --absent where they are dead."""
    if value is None:
        return ()
    names = value.split(",")
    if not all(names) or len(set(names)) < len(names):
        raise usage_error(RefusalId.BAD_LEAVE, BAD_LEAVE.format(value=value))
    option = given.config.option
    hosts, absent = [t.name for t in given.targets], (option.absent or "").split(",")
    for name in names:
        if name not in hosts and name not in absent:
            raise usage_error(RefusalId.LEAVE_WHOM, LEAVE_WHOM.format(name=name, hosts=", ".join(hosts)))
    if set(hosts) <= set(names):
        raise usage_error(RefusalId.LEAVE_ALL, LEAVE_ALL.format(value=value))
    for name in filter(None, absent):
        if name not in names:
            raise usage_error(RefusalId.LEAVE_ABSENT, LEAVE_ABSENT.format(name=name))
    if given.has("anyway"):
        raise usage_error(RefusalId.LEAVE_WITHOUT, LEAVE_WITHOUT.format(option="--anyway"))
    chosen = (option.authority or "").partition("@")[0]
    if chosen in names:
        raise usage_error(RefusalId.LEAVE_AUTHORITY, LEAVE_AUTHORITY.format(name=chosen))
    return tuple(names)


def since(value: str | None, given: Given) -> int:
    """Seconds back."""
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", "24h" if value is None else value)
    seconds = int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]] if match else 0
    if not 600 <= seconds <= 30 * 86_400:
        raise usage_error(RefusalId.BAD_SINCE, BAD_SINCE.format(value=value))
    return seconds


def watch(value: str | None, given: Given) -> int:
    """Seconds, 0 for not at all."""
    if value is not None and not (re.fullmatch(r"[0-9]{2,4}", value) and 10 <= int(value) <= 3600):
        raise usage_error(RefusalId.BAD_WATCH, BAD_WATCH.format(value=value))
    return int(value or 0)


def timeout_scale(value: str) -> float:
    """What every time bound on a node is multiplied by."""
    try:
        scale = float(value)
    except ValueError:
        scale = 0.0
    if not 0.0 < scale <= 100.0:
        raise usage_error(RefusalId.BAD_TIMEOUT_SCALE, BAD_TIMEOUT_SCALE.format(value=value))
    return scale


def only_lists(config: pytest.Config) -> bool:
    """Whether pytest only lists tests or fixtures: no node is reached for that."""
    return any(getattr(config.option, name) for name in ("collectonly", "showfixtures", "show_fixtures_per_test"))


def records(value: str, given: Given) -> Path:
    """The folder for records, made where it was missing; a run that makes backups has room for them."""
    if not value:
        raise usage_error(RefusalId.NO_FOLDER, NO_FOLDER.format(option="--records"))
    path: Path = given.config.invocation_params.dir / value
    if only_lists(given.config):
        return path
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise usage_error(RefusalId.RECORDS_FOLDER, RECORDS.format(path=value, why=error.strerror)) from None
    if given.mode == "runbook" and not given.has("plan"):
        _have_room(path)
    return path


def _have_room(path: Path) -> None:
    from pve_runbook.procedure.backup import SPACE_KIB

    free_kib = shutil.disk_usage(path).free // 1024
    if free_kib < SPACE_KIB:
        raise usage_error(
            RefusalId.NO_ROOM_FOR_RECORDS, ROOM.format(path=path, free=free_kib // 1024, needed=SPACE_KIB // 1024)
        )
