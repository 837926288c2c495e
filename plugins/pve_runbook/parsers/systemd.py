"""systemd units and the jobs that wait in systemd's queue."""

from __future__ import annotations

import re

from msgspec import Struct

from pve_runbook.parsers.output import Output, ParseError, lines_of, stdout_of, unread

_JOB = re.compile(r"\s*(?P<id>\d+)\s+(?P<unit>\S+\.\S+)\s+(?P<type>\S+)\s+(?P<state>waiting|running)\s*")
_JOBS_DECORATION = re.compile(r"\s*(JOB\s+UNIT\s+TYPE\s+STATE|\d+ jobs listed\.|No jobs running\.)\s*")
_ALWAYS = ("LoadState", "ActiveState", "SubState", "UnitFileState", "Job")
_CONDITION = {"yes": True, "no": False}


class Unit(Struct, frozen=True):
    """One unit, as `systemctl show` words it.

    `condition` and `exec_main_status` are None, and `main_pid` is 0, where the kind of unit has no such
    property (a timer). `job` is the id of a job that is queued for the unit. `exec_main_status` and `result`
    of a unit that was collected read 0 and "success" (recorded on PVE 8.3): they prove nothing about an
    outcome.
    """

    name: str
    load: str
    active: str
    sub: str
    file_state: str
    condition: bool | None
    main_pid: int
    exec_main_status: int | None
    result: str
    job: str | None

    @property
    def exists(self) -> bool:
        """False for a unit that is not installed."""
        return self.load != "not-found"

    @property
    def is_active(self) -> bool:
        """Running (or, for a oneshot that remains, done)."""
        return self.active == "active"

    @property
    def is_stopped(self) -> bool:
        """Neither running nor on its way up or down."""
        return self.active in ("inactive", "failed")

    @property
    def is_masked(self) -> bool:
        """Masked for good or for the run time: nothing can start it."""
        return self.file_state.startswith("masked")

    @property
    def is_enabled(self) -> bool:
        """Starts at boot."""
        return self.file_state.startswith("enabled")


class Job(Struct, frozen=True):
    """One queued job of systemd: `type` is start, stop, restart, ...; `state` is waiting or running."""

    id: int
    unit: str
    type: str
    state: str


def parse_units(output: Output) -> dict[str, Unit]:
    """Read `systemctl show -p Id,LoadState,...` of several units, by name ("corosync.service").

    The order of properties varies; a blank line stands between units. Raises ParseError if a property is
    missing.
    """
    text = stdout_of(output, "systemctl show")
    units: dict[str, Unit] = {}
    for block in re.split(r"\n\s*\n", text.strip()):
        unit = _unit(block)
        if unit.name in units:
            raise ParseError(f"systemctl show describes {unit.name} twice.")
        units[unit.name] = unit
    return units


def _unit(block: str) -> Unit:
    values: dict[str, str] = {}
    for line in lines_of(block):
        key, equals, value = line.partition("=")
        if not equals or not key.isalnum():
            raise unread("systemctl show", line)
        values[key] = value
    name = values.get("Id", "")
    if "." not in name:
        raise ParseError("systemctl show describes a unit without its Id.")
    wanted = (*_ALWAYS, "MainPID", "ConditionResult") if name.endswith(".service") else _ALWAYS
    missing = [key for key in wanted if key not in values]
    if missing:
        raise ParseError(f"systemctl show does not say for {name}: {', '.join(missing)}.")
    try:
        return Unit(
            name=name,
            load=values["LoadState"],
            active=values["ActiveState"],
            sub=values["SubState"],
            file_state=values["UnitFileState"],
            condition=_CONDITION[values["ConditionResult"]] if "ConditionResult" in values else None,
            main_pid=int(values.get("MainPID", "0")),
            exec_main_status=int(values["ExecMainStatus"]) if "ExecMainStatus" in values else None,
            result=values.get("Result", ""),
            job=values["Job"] or None,
        )
    except (KeyError, ValueError):
        raise unread("systemctl show", block.replace("\n", " ")) from None


def parse_list_jobs(output: Output) -> tuple[Job, ...]:
    """Read `systemctl list-jobs`, with or without its legend; () if nothing waits. Raises ParseError
    otherwise."""
    jobs: list[Job] = []
    for line in lines_of(stdout_of(output, "systemctl list-jobs")):
        if not line.strip() or _JOBS_DECORATION.fullmatch(line):
            continue
        match = _JOB.fullmatch(line)
        if match is None:
            raise unread("systemctl list-jobs", line)
        jobs.append(Job(int(match["id"]), match["unit"], match["type"], match["state"]))
    return tuple(jobs)


def parse_list_units(output: Output) -> tuple[str, ...]:
    """Read `systemctl list-units --no-legend --plain`: the names of the units that are loaded."""
    names = []
    for line in lines_of(stdout_of(output, "systemctl list-units")):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 4 or "." not in fields[0]:
            raise unread("systemctl list-units", line)
        names.append(fields[0])
    return tuple(names)
