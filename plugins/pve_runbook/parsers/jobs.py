"""Scheduled work: backups and replications that start again with the scheduler."""

from __future__ import annotations

import re
import shlex

from msgspec import Struct

from pve_runbook.parsers.section_config import Section, parse_sections

_VMID = re.compile(r"[1-9][0-9]{2,8}")
_CRON = re.compile(
    r"(?P<schedule>\S+\s+\S+\s+\S+\s+\S+\s+\S+)\s+root\s+(/\S+/)?(?P<off>#)?vzdump(\s+(?P<arguments>.*))?"
)


class BackupJob(Struct, frozen=True):
    """One backup job. `all` means every guest of the node that runs it; `node` None means every node runs it.
    `options` are all options as written."""

    id: str
    schedule: str
    enabled: bool
    all: bool
    vmids: tuple[int, ...]
    node: str | None
    storage: str | None
    options: dict[str, str]


class ReplicationJob(Struct, frozen=True):
    """One replication of a guest's volumes to another node; the id is "GUEST-NUMBER"."""

    id: str
    target: str
    schedule: str
    disabled: bool


def parse_jobs_cfg_text(text: str) -> tuple[BackupJob, ...]:
    """The backup jobs of jobs.cfg (PVE 7.1 and newer); other kinds of jobs are left out."""
    sections = parse_sections(text, "jobs.cfg")
    return tuple(
        _backup(section, section.options.get("schedule", ""), enabled=section.flag("enabled", default=True))
        for section in sections
        if section.type == "vzdump"
    )


def parse_vzdump_cron_text(text: str) -> tuple[BackupJob, ...]:
    """The backup jobs of vzdump.cron (before PVE 7.1), each known by its line: "vzdump.cron:4".

    A disabled job has a # before the command (pve-manager API2/Backup.pm). Any other line is cron's, and no job.
    """
    jobs: list[BackupJob] = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = _CRON.fullmatch(line.strip())
        if match is None:
            continue
        section = Section("vzdump", f"vzdump.cron:{number}", _cron_options(match["arguments"] or ""))
        jobs.append(_backup(section, " ".join(match["schedule"].split()), enabled=match["off"] is None))
    return tuple(jobs)


def _cron_options(arguments: str) -> dict[str, str]:
    """Options of a vzdump command line; guests named without an option stand under "vmid"."""
    options: dict[str, str] = {}
    guests: list[str] = []
    try:
        words = shlex.split(arguments)
    except ValueError:  # a quotation mark that is not closed
        words = arguments.split()
    key = ""
    for word in words:
        if word.startswith("-"):
            key, equals, value = word.lstrip("-").partition("=")
            options[key] = value
            key = "" if equals else key
        elif key:
            options[key], key = word, ""
        else:
            guests.append(word)
    if guests:
        options["vmid"] = ",".join(guests)
    return options


def _backup(section: Section, schedule: str, *, enabled: bool) -> BackupJob:
    return BackupJob(
        id=section.id,
        schedule=schedule,
        enabled=enabled,
        all=section.flag("all", default=False),
        vmids=tuple(int(vmid) for vmid in section.words("vmid") if _VMID.fullmatch(vmid)),
        node=section.options.get("node"),
        storage=section.options.get("storage"),
        options=section.options,
    )


def parse_replication_cfg_text(text: str) -> tuple[ReplicationJob, ...]:
    """The jobs of replication.cfg; without a schedule they run every 15 minutes, without a target never
    (pve-guest-common)."""
    jobs: list[ReplicationJob] = []
    for section in parse_sections(text, "replication.cfg"):
        if not section.options.get("target"):
            continue
        schedule = section.options.get("schedule", "*/15")
        disabled = section.flag("disable", default=False)
        jobs.append(ReplicationJob(section.id, section.options["target"], schedule, disabled))
    return tuple(jobs)
