"""What stands behind an option: each value read, or refused in one line. Every function raises UsageError."""

from __future__ import annotations

import argparse
import os
import re
import shutil
from pathlib import Path
from typing import Literal

import pytest

from pve_runbook.wire.targets import Target

Mode = Literal["runbook", "checks"]

PHASES_THAT_ASK = {0: "freeze", 2: "force quorum", 4: "every window", 7: "thaw", 8: "rollback"}
ACCEPTABLE = ("shared-storage", "ceph", "locks")
"""What a run refuses until the operator takes it upon himself."""

BAD_APPROVE = "--approve={value!r}: write `all` or phases out of 0, 2, 4, 7, 8, e.g. --approve=0,2"
BAD_PLAN = "--approve={value!r}: behind the @ stands the hash of a plan, 12 letters that --plan printed"
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
BAD_VERSION = "--authority={value}: behind the @ stands the version of its database, as a refusal names it: {name}@4711"
BAD_TIMEOUT_SCALE = "pve_timeout_scale={value}: a number above 0, at most 100"
BAD_SINCE = "--since={value!r}: how far back checks/ reads the nodes' journals, from 10m to 30d, e.g. 90m, 24h or 7d"
BAD_WATCH = "--watch={value!r}: for how many seconds checks/ watches the membership, from 10 to 3600"
CHECKS_ALONE = "{option} is for checks/ only"
RUNBOOK_ALONE = "{option} is for runbook/ only"
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


def rehearse(option: argparse.Namespace, mode: Mode) -> bool:
    """Whether the runbook is lived through on a twin."""
    if option.rehearse and mode != "runbook":
        raise pytest.UsageError(REHEARSE_ALONE)
    for name in ("rollback", "break_lock", "plan"):
        if option.rehearse and getattr(option, name):
            raise pytest.UsageError(REHEARSE_WITHOUT.format(option=f"--{name.replace('_', '-')}"))
    return bool(option.rehearse)


def save_facts(config: pytest.Config, mode: Mode) -> Path | None:
    """The new file that the facts are saved to, None when they are not."""
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


def authority(value: str | None, targets: tuple[Target, ...]) -> tuple[str | None, int | None]:
    """The name in --hosts, and the version of its database that is accepted."""
    if value is None:
        return None, None
    names = [t.name for t in targets]
    name, at, version = value.partition("@")
    if name not in names:
        raise pytest.UsageError(BAD_AUTHORITY.format(name=name, hosts=", ".join(names)))
    if at and not version.isdecimal():
        raise pytest.UsageError(BAD_VERSION.format(value=value, name=name))
    return name, int(version) if at else None


def refuse_in_checks(option: argparse.Namespace, mode: Mode) -> None:
    """What says how nodes are changed says nothing to checks/."""
    for name in ("accept", "accept_changed", "approve", "authority", "break_lock", "canary"):
        if mode == "checks" and getattr(option, name) is not None:
            raise pytest.UsageError(RUNBOOK_ALONE.format(option=f"--{name.replace('_', '-')}"))


def approve(value: str | None) -> frozenset[int]:
    """The phases that are approved without a prompt."""
    if value is None:
        return frozenset()
    phases = value.partition("@")[0]
    if phases == "all":
        return frozenset(PHASES_THAT_ASK)
    parts = phases.split(",")
    if not all(p.isdecimal() and int(p) in PHASES_THAT_ASK for p in parts):
        raise pytest.UsageError(BAD_APPROVE.format(value=value))
    return frozenset(int(p) for p in parts)


def approved_plan(value: str | None, rollback: str | None) -> str | None:
    """The hash of the plan that the approval is for, None when it is for any."""
    _, at, plan = (value or "").partition("@")
    if not at:
        return None
    if not re.fullmatch(r"[0-9a-f]{12}", plan):
        raise pytest.UsageError(BAD_PLAN.format(value=value))
    if rollback is not None:
        raise pytest.UsageError(ROLLBACK_WITHOUT.format(option=f"--approve={value}"))
    return plan


def plan(option: argparse.Namespace, mode: Mode) -> bool:
    """Whether the commands are only named."""
    if option.plan and mode != "runbook":
        raise pytest.UsageError(PLAN_ALONE)
    if option.plan and option.rollback is not None:
        raise pytest.UsageError(ROLLBACK_WITHOUT.format(option="--plan"))
    return bool(option.plan)


def canary(value: str | None) -> int | Literal["off"] | None:
    """The VMID of the throw-away guest; None: a free one is found."""
    if value is None or value == "off":
        return "off" if value else None
    if not value.isdecimal() or not 100 <= int(value) <= 999_999_999:
        raise pytest.UsageError(BAD_CANARY.format(value=value))
    return int(value)


def vmids(value: str | None) -> frozenset[int]:
    """Guests that are accepted as changed."""
    parts = value.split(",") if value else []
    if not all(p.isdecimal() for p in parts):
        raise pytest.UsageError(BAD_VMIDS.format(value=value))
    return frozenset(int(p) for p in parts)


def rollback(config: pytest.Config, mode: Mode) -> Path | None:
    """The folder of the record that is rolled back."""
    folder = config.option.rollback
    if folder is None:
        return None
    if mode != "runbook":
        raise pytest.UsageError(ROLLBACK_ALONE)
    for name in ("absent", "accept", "anyway", "authority", "canary"):
        if getattr(config.option, name) is not None:
            raise pytest.UsageError(ROLLBACK_WITHOUT.format(option=f"--{name}"))
    if not folder:
        raise pytest.UsageError(NO_FOLDER.format(option="--rollback"))
    path: Path = config.invocation_params.dir / folder
    return path


def give_up(value: str | None, rollback: str | None, targets: tuple[Target, ...]) -> frozenset[str]:
    """The nodes, by their names in --hosts, whose changes are given up."""
    names = frozenset(value.split(",")) if value is not None else frozenset()
    if value is not None and (rollback is None or not names <= {t.name for t in targets}):
        raise pytest.UsageError(GIVE_UP_WHAT.format(value=value))
    return names


def accept(value: str | None) -> frozenset[str]:
    """What the operator takes upon himself."""
    words = frozenset(value.split(",")) if value is not None else frozenset()
    if not words <= set(ACCEPTABLE):
        raise pytest.UsageError(BAD_ACCEPT.format(value=value, known=", ".join(ACCEPTABLE)))
    return words


def anyway(value: str | None, mode: Mode) -> str | None:
    """Why the cluster is dismantled though the verdict does not call for it."""
    if value is None:
        return None
    if mode != "runbook":
        raise pytest.UsageError(RUNBOOK_ALONE.format(option="--anyway"))
    if not value.strip() or not value.isprintable() or len(value) > 200:
        raise pytest.UsageError(BAD_ANYWAY.format(value=value))
    return value.strip()


def absent(value: str | None, targets: tuple[Target, ...]) -> tuple[str, ...]:
    """Members that are powered off, by the names in corosync.conf."""
    names = value.split(",") if value is not None else []
    if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", n) for n in names) or len(set(names)) < len(names):
        raise pytest.UsageError(BAD_ABSENT.format(value=value))
    for target in targets:
        if target.name in names or target.host in names:
            raise pytest.UsageError(ABSENT_HOST.format(name=target.name))
    return tuple(names)


def since(value: str | None, mode: Mode) -> int:
    """Seconds back."""
    _only_checks("--since", value, mode)
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", "24h" if value is None else value)
    seconds = int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]] if match else 0
    if not 600 <= seconds <= 30 * 86_400:
        raise pytest.UsageError(BAD_SINCE.format(value=value))
    return seconds


def watch(value: str | None, mode: Mode) -> int:
    """Seconds, 0 for not at all."""
    _only_checks("--watch", value, mode)
    if value is not None and not (re.fullmatch(r"[0-9]{2,4}", value) and 10 <= int(value) <= 3600):
        raise pytest.UsageError(BAD_WATCH.format(value=value))
    return int(value or 0)


def activate_storage(value: bool | None, mode: Mode) -> bool:
    """Whether checks/ may ask pvesm, which mounts."""
    _only_checks("--activate-storage", value, mode)
    return bool(value)


def _only_checks(option: str, value: object, mode: Mode) -> None:
    if value is not None and mode != "checks":
        raise pytest.UsageError(CHECKS_ALONE.format(option=option))


def timeout_scale(value: str) -> float:
    """What every time bound on a node is multiplied by."""
    try:
        scale = float(value)
    except ValueError:
        scale = 0.0
    if not 0.0 < scale <= 100.0:
        raise pytest.UsageError(BAD_TIMEOUT_SCALE.format(value=value))
    return scale


def only_lists(config: pytest.Config) -> bool:
    """Whether pytest only lists tests or fixtures: no node is reached for that."""
    return any(getattr(config.option, name) for name in ("collectonly", "showfixtures", "show_fixtures_per_test"))


def records(config: pytest.Config, mode: Mode) -> Path:
    """The folder for records, made where it was missing; a run that makes backups has room for them."""
    if not config.option.records:
        raise pytest.UsageError(NO_FOLDER.format(option="--records"))
    path: Path = config.invocation_params.dir / config.option.records
    if only_lists(config):
        return path
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise pytest.UsageError(RECORDS.format(path=config.option.records, why=error.strerror)) from None
    if mode == "runbook" and not config.option.plan:
        _have_room(path)
    return path


def _have_room(path: Path) -> None:
    from pve_runbook.work.backup import SPACE_KIB

    free_kib = shutil.disk_usage(path).free // 1024
    if free_kib < SPACE_KIB:
        raise pytest.UsageError(ROOM.format(path=path, free=free_kib // 1024, needed=SPACE_KIB // 1024))
