"""systemctl, systemd-run, journalctl (formats recorded on PVE 8.3)."""

from __future__ import annotations

import fnmatch
import json
import math
import re
import time

from pve_lab.commands.base import Call, Result, Table, options
from pve_lab.model.journal import Entry
from pve_lab.model.node import Node
from pve_lab.model.units import Outcome, Unit

_ORDER = (
    "Type",
    "MainPID",
    "Result",
    "ExecMainStatus",
    "Id",
    "Names",
    "Description",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "ConditionResult",
    "Job",
)
_SERVICE_ONLY = ("Type", "MainPID", "ExecMainStatus")


def systemctl(call: Call) -> Result:
    """systemctl VERB [UNIT...]."""
    given, operands = options(call.argv, "pHMtos", ("property", "type", "state", "output", "signal"))
    if not operands:
        return Result(exit_status=1, stderr="Unknown command verb.\n")
    verb, *names = operands
    readers = {
        "is-active": _is_active,
        "is-enabled": _is_enabled,
        "is-failed": _is_failed,
        "show": _show,
        "list-jobs": _list_jobs,
        "list-unit-files": _list_unit_files,
        "list-units": _list_units,
        "status": _status,
        "cat": _cat,
    }
    if verb in readers:
        return readers[verb](call.node, names, given)
    return _change(call.node, verb, names, given)


def _change(node: Node, verb: str, names: list[str], given: dict[str, str]) -> Result:
    units = node.units
    outcome = Outcome()
    runtime = "runtime" in given
    if verb == "daemon-reload":
        return Result(seconds=0.3)
    for name in names:
        if verb in ("start", "stop", "restart"):
            outcome.add({"start": units.start, "stop": units.stop, "restart": units.restart}[verb](name))
        elif verb in ("reload", "reload-or-restart", "try-restart", "reload-or-try-restart"):
            unit = units.find(name)
            if unit is not None and unit.is_active:
                outcome.add(units.restart(name))
        elif verb in ("enable", "disable"):
            outcome.add(units.set_enabled(name, enabled=verb == "enable"))
            if "now" in given and not outcome.exit_status:
                outcome.add(units.start(name) if verb == "enable" else units.stop(name))
        elif verb == "mask":
            if "now" in given:
                outcome.add(units.stop(name))
            outcome.add(units.mask(name, runtime=runtime))
        elif verb == "unmask":
            outcome.add(units.unmask(name, runtime=runtime))
        elif verb == "kill":
            unit = units.find(name)
            if unit is None:
                full = units.full_name(name)
                outcome.add(Outcome(1, f"Failed to kill unit {full}: Unit {full} not loaded.\n"))
            else:
                node.signal(unit, given.get("signal", "TERM").removeprefix("SIG"))
        elif verb == "reset-failed":
            unit = units.find(name)
            if unit is None:
                full = units.full_name(name)
                outcome.add(Outcome(1, f"Failed to reset failed state of unit {full}: Unit {full} not loaded.\n"))
            elif unit.active == "failed":
                unit.active, unit.sub, unit.result, unit.exec_status = "inactive", "dead", "success", 0
        else:
            return Result("", f"Unknown command verb {verb}.\n", 1)
    return Result("", outcome.stderr, outcome.exit_status, outcome.seconds)


def _is_active(node: Node, names: list[str], given: dict[str, str]) -> Result:
    states = [unit.active if (unit := node.units.find(name)) else "inactive" for name in names]
    text = "" if "q" in given else "".join(f"{state}\n" for state in states)
    return Result(text, exit_status=0 if "active" in states else 3)


def _is_failed(node: Node, names: list[str], given: dict[str, str]) -> Result:
    states = [unit.active if (unit := node.units.find(name)) else "inactive" for name in names]
    return Result("".join(f"{state}\n" for state in states), exit_status=0 if "failed" in states else 1)


def _is_enabled(node: Node, names: list[str], given: dict[str, str]) -> Result:
    text, errors, good = "", "", False
    for name in names:
        unit = node.units.find(name)
        if unit is None:
            errors += f"Failed to get unit file state for {node.units.full_name(name)}: No such file or directory\n"
            continue
        text += unit.unit_file_state + "\n"
        good = good or unit.unit_file_state in ("enabled", "static", "alias", "generated", "enabled-runtime")
    return Result(text, errors, 0 if good else 1)


def _properties(node: Node, name: str) -> dict[str, str]:
    unit = node.units.find(name)
    full = node.units.full_name(name)
    if unit is None:
        unit = Unit(full, full, enablement="")
        load = "not-found"
    else:
        load = "masked" if unit.masked else "loaded"
    return {
        "Type": "simple",
        "MainPID": str(unit.main_pid),
        "Result": unit.result,
        "ExecMainStatus": str(unit.exec_status),
        "Id": unit.name,
        "Names": unit.name,
        "Description": unit.description,
        "LoadState": load,
        "ActiveState": unit.active,
        "SubState": unit.sub,
        "UnitFileState": unit.unit_file_state,
        "ConditionResult": "yes" if unit.condition_result else "no",
        "Job": str(unit.job or ""),
    }


def _show(node: Node, names: list[str], given: dict[str, str]) -> Result:
    wanted = (given.get("p") or given.get("property") or ",".join(_ORDER)).split(",")
    blocks = []
    for name in names:
        values = _properties(node, name)
        service = values["Id"].endswith(".service")
        keys = [k for k in _ORDER if k in wanted and (service or k not in _SERVICE_ONLY)]
        if "value" in given:
            blocks.append("".join(f"{values[k]}\n" for k in keys))
        else:
            blocks.append("".join(f"{k}={values[k]}\n" for k in keys))
    return Result("\n".join(blocks))


def _list_jobs(node: Node, names: list[str], given: dict[str, str]) -> Result:
    jobs = [u for u in node.units.table.values() if u.job]
    if not jobs:
        return Result("" if "no-legend" in given else "No jobs running.\n")
    width = max(len(u.name) for u in jobs)
    rows = "".join(f"{u.job} {u.name:<{width}} start {u.job_state}\n" for u in jobs)
    if "no-legend" in given:
        return Result(rows)
    return Result(f"JOB {'UNIT':<{width}} TYPE  STATE\n{rows}\n{len(jobs)} jobs listed.\n")


def _list_unit_files(node: Node, names: list[str], given: dict[str, str]) -> Result:
    found = [
        (u.name, u.unit_file_state, "enabled" if u.enablement in ("enabled", "disabled") else "-")
        for u in node.units.table.values()
    ]
    found += [("pve-container-debug@.service", "static", "-"), ("pve-container@.service", "static", "-")]
    found += [
        ("pve-manager.service", "alias", "-"),
        ("pve-query-machine-capabilities.service", "enabled", "enabled"),
    ]
    found += [("pve-storage.target", "static", "-")]
    shown = [f for f in sorted(found) if not names or any(fnmatch.fnmatchcase(f[0], n) for n in names)]
    shown.sort(key=lambda f: f[0].endswith(".target"))
    width = max((len(f[0]) for f in shown), default=9)
    rows = "".join(f"{name:<{width}} {state:<7} {preset}\n" for name, state, preset in shown)
    return Result(f"{'UNIT FILE':<{width}} STATE   PRESET\n{rows}\n{len(shown)} unit files listed.\n")


def _list_units(node: Node, names: list[str], given: dict[str, str]) -> Result:
    """A transient unit that ended and was collected is not there any more."""
    shown = [
        u
        for u in sorted(node.units.table.values(), key=lambda u: u.name)
        if (u.active != "inactive" or "all" in given)
        and (not names or any(fnmatch.fnmatchcase(u.name, n) for n in names))
    ]
    width = max((len(u.name) for u in shown), default=0)
    mark = "" if "plain" in given else "  "
    rows = "".join(f"{mark}{u.name:<{width}} loaded {u.active} {u.sub} {u.description}\n" for u in shown)
    return Result(rows if "no-legend" in given else f"{rows}\n{len(shown)} loaded units listed.\n")


def _status(node: Node, names: list[str], given: dict[str, str]) -> Result:
    text, errors, status = "", "", 0
    for name in names:
        unit = node.units.find(name)
        if unit is None:
            errors += f"Unit {node.units.full_name(name)} could not be found.\n"
            status = 4
            continue
        text += (
            f"* {unit.name} - {unit.description}\n"
            f"     Loaded: loaded (/lib/systemd/system/{unit.name}; {unit.unit_file_state})\n"
            f"     Active: {unit.active} ({unit.sub})\n"
        )
        status = status or (0 if unit.is_active else 3)
    return Result(text, errors, status)


def _cat(node: Node, names: list[str], given: dict[str, str]) -> Result:
    text = ""
    for name in names:
        unit = node.units.find(name)
        if unit is None:
            return Result("", f"No files found for {node.units.full_name(name)}.\n", 1)
        wants = "".join(f"Wants={w}\n" for w in unit.wants)
        condition = f"ConditionPathExists={unit.condition}\n" if unit.condition else ""
        text += f"# /lib/systemd/system/{unit.name}\n[Unit]\nDescription={unit.description}\n{wants}{condition}"
    return Result(text)


def systemd_run(call: Call) -> Result:
    """systemd-run [--unit=NAME] [--collect] [--no-block] [-p PROPERTY]... COMMAND..."""
    rest = list(call.argv)
    unit, collect, block, oneshot = f"run-r{call.node.units.next_job}", False, True, False
    while rest and rest[0].startswith("-"):
        item = rest.pop(0)
        if item.startswith("--unit"):
            unit = item.partition("=")[2] or rest.pop(0)
        elif item in ("--collect", "-G"):
            collect = True
        elif item == "--no-block":
            block = False
        elif item in ("-p", "--property"):
            oneshot = rest.pop(0) == "Type=oneshot" or oneshot
        elif item.startswith("--property="):
            oneshot = item.endswith("Type=oneshot") or oneshot
    full = call.node.units.full_name(unit)
    if call.node.units.find(full) is not None:
        return Result(
            "",
            f"Failed to start transient service unit: Unit {full} was already loaded or has a fragment file.\n",
            1,
        )
    status = call.session.detach(full, rest, collect=collect, wait=block and oneshot, oneshot=oneshot)
    return Result("", f"Running as unit: {full}\n", status, 0.05)


def journalctl(call: Call) -> Result:
    """journalctl [-u UNIT]... [-n LINES] [-o FORMAT] [--since ...] [--until ...] [-g PATTERN] [-r] [-k] [-p PRIORITY].

    Exit status 1 where a pattern matches nothing (systemd, journalctl.c).
    """
    units: list[str] = []
    kernel_too = False
    rest = [word for item in call.argv for word in (item.split("=", 1) if item.startswith("--") else [item])]
    lines, form, since, until, kernel, priority = 0, "short", "", "", False, 7
    pattern, reverse, hostname = "", False, True
    while rest:
        item = rest.pop(0)
        if item in ("-u", "--unit"):
            units.append(call.node.units.full_name(rest.pop(0)))
        elif item in ("-n", "--lines"):
            lines = int(rest.pop(0))
        elif re.fullmatch(r"-n\d+", item):
            lines = int(item[2:])
        elif item in ("-o", "--output"):
            form = rest.pop(0)
        elif item in ("-S", "--since"):
            since = rest.pop(0)
        elif item in ("-U", "--until"):
            until = rest.pop(0)
        elif item in ("-g", "--grep"):
            pattern = rest.pop(0)
        elif item in ("-r", "--reverse"):
            reverse = True
        elif item == "--no-hostname":
            hostname = False
        elif item in ("-k", "--dmesg"):
            kernel = True
        elif item == "_TRANSPORT=kernel":
            kernel_too = True
        elif item.startswith("_SYSTEMD_UNIT="):
            units.append(item.partition("=")[2])
        elif item in ("-p", "--priority"):
            priority = _priority(rest.pop(0))
    matcher = re.compile(pattern.replace("(?<", "(?P<"))  # PCRE's named groups
    earliest, latest = _moment(call.node, since), _moment(call.node, until) if until else math.inf
    found = [
        e
        for e in call.node.journal.entries
        if earliest <= e.time <= latest
        and (not units or e.unit in units or (kernel_too and e.identifier == "kernel"))
        and e.priority <= priority
        and (not kernel or e.identifier == "kernel")
        and (not pattern or matcher.search(e.message))
    ]
    found = found[-lines:] if lines else found
    if not found:
        return Result("-- No entries --\n" if form != "json" else "", "", 1 if pattern else 0, 0.02)
    rows = [_entry(call.node, e, form, hostname=hostname) for e in found]
    return Result("".join(reversed(rows) if reverse else rows), seconds=0.02)


def _priority(text: str) -> int:
    names = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
    return int(text) if text.isdigit() else names.index(text)


def _moment(node: Node, text: str) -> float:
    match = re.fullmatch(r"-(\d+)\s*(s|sec|min|m|h|hour|d|day)s?", text)
    if match:
        return node.wall - int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2][0]]
    return float(text[1:]) if re.fullmatch(r"@[\d.]+", text) else 0.0


def _entry(node: Node, entry: Entry, form: str, *, hostname: bool) -> str:
    stamp = time.gmtime(entry.time)
    source = f"{entry.identifier}[{entry.pid}]"
    if form == "json":
        micro = int(entry.time * 1_000_000)
        mono = int((entry.time - node.clock.epoch - node.processes.booted) * 1_000_000)
        boot = node.boot_id.replace("-", "")
        return (
            json.dumps(
                {
                    "__CURSOR": f"s=d60dd234da14443e;i={micro % 4096:x};b={boot};m={mono:x};t={micro:x};x=c9982ff3",
                    "SYSLOG_IDENTIFIER": entry.identifier,
                    "_PID": str(entry.pid),
                    "_BOOT_ID": boot,
                    "__REALTIME_TIMESTAMP": str(micro),
                    "PRIORITY": str(entry.priority),
                    "MESSAGE": entry.message,
                    "__MONOTONIC_TIMESTAMP": str(mono),
                },
                separators=(",", ":"),
            )
            + "\n"
        )
    if form == "cat":
        return f"{entry.message}\n"
    if form == "short-iso":
        when = time.strftime("%Y-%m-%dT%H:%M:%S+0000", stamp)
    elif form == "short-unix":
        when = f"{entry.time:.6f}"
    else:
        when = time.strftime("%b %d %H:%M:%S", stamp)
    return f"{when} {node.name + ' ' if hostname else ''}{source}: {entry.message}\n"


TABLE: Table = {"systemctl": systemctl, "systemd-run": systemd_run, "journalctl": journalctl}
