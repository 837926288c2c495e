"""pgrep, pkill, killall, kill, ps (procps)."""

from __future__ import annotations

import functools
import re

from pve_lab.commands.base import Call, Result, Table, options
from pve_lab.model.node import Node
from pve_lab.model.processes import Process
from pve_lab.model.units import Unit

RESTART = 0.1
"""Seconds until systemd starts pve-cluster again after its process was killed (RestartSec's default)."""


def _matching(node: Node, pattern: str, given: dict[str, str]) -> list[Process]:
    found = []
    for _, process in sorted(node.processes.table.items()):
        subject = process.cmdline if "f" in given or "full" in given else process.comm[:15]
        matcher = re.fullmatch if "x" in given or "exact" in given else re.search
        is_meant = given.get("r") != "T" or process.pid in node.processes.stopped
        if is_meant and matcher(pattern, subject):
            found.append(process)
    return found


def pgrep(call: Call) -> Result:
    """pgrep [-a] [-x] [-f] [-c] [-r T] PATTERN."""
    given, operands = options(call.argv, "uPstr")
    found = _matching(call.node, operands[-1] if operands else "", given)
    if "c" in given:
        return Result(f"{len(found)}\n", exit_status=0 if found else 1)
    rows = "".join(f"{p.pid} {p.cmdline}\n" if "a" in given else f"{p.pid}\n" for p in found)
    return Result(rows, exit_status=0 if found else 1, seconds=0.01)


def _signal(node: Node, process: Process, name: str) -> None:
    """End a process as TERM or KILL would."""
    if process.pid == node.pmxcfs.pid:
        unit = node.units.get("pve-cluster")
        own = unit.main_pid == process.pid
        if own:
            unit.active, unit.sub, unit.main_pid = "inactive", "dead", 0
        if name not in ("KILL", "9"):
            node.pmxcfs.terminate()
            return
        node.pmxcfs.crash()
        if own:
            node.clock.after(RESTART, functools.partial(_restart, node, unit))
        return
    if process.vmid is not None:
        node.guests.end(process.vmid)
        return
    for unit in node.units.table.values():
        if unit.main_pid == process.pid:
            node.units.stop(unit.name)
            return
    if node.startall is not None and node.startall.pid == process.pid:
        node.end_startall()
        return
    for task in node.tasks.running:
        if task.pid == process.pid:
            node.tasks.end(task, "interrupted by signal")
            return
    node.processes.end(process.pid)


def _restart(node: Node, unit: Unit) -> None:
    """Restart=on-failure of pve-cluster.service."""
    node.units.start_one(unit)


def _signal_name(argv: list[str]) -> tuple[str, list[str]]:
    name, rest = "TERM", []
    items = list(argv)
    while items:
        item = items.pop(0)
        if item in ("-s", "--signal"):
            name = items.pop(0)
        elif re.fullmatch(r"-(SIG)?([A-Z]+\d*|\d+)", item):
            name = item.lstrip("-").removeprefix("SIG")
        else:
            rest.append(item)
    return name, rest


def pkill(call: Call) -> Result:
    """pkill [-SIGNAL] [-x] [-f] PATTERN; killall NAME..."""
    name, rest = _signal_name(call.argv)
    given, operands = options(rest)
    if call.name == "killall":
        given = {"x": ""}
    found = [p for pattern in operands for p in _matching(call.node, pattern, given)]
    if not found and call.name == "killall":
        return Result("", "".join(f"{o}: no process found\n" for o in operands), 1, 0.02)
    if name != "0":
        for process in found:
            _signal(call.node, process, name)
    return Result(exit_status=0 if found else 1, seconds=0.02)


def kill(call: Call) -> Result:
    """kill [-SIGNAL] PID..."""
    name, pids = _signal_name(call.argv)
    errors = ""
    for text in pids:
        process = call.node.processes.table.get(int(text)) if text.isdigit() else None
        if process is None:
            errors += f"bash: line 1: kill: ({text}) - No such process\n"
        elif name != "0":
            _signal(call.node, process, name)
    return Result("", errors, 1 if errors else 0, 0.005)


def _column(process: Process, name: str) -> str:
    if name == "pid":
        return f"{process.pid:>7}"
    return f"{process.comm:<15}" if name == "comm" else process.cmdline


def ps(call: Call) -> Result:
    """ps: pid, name and command line of every process, or of -p PID / -C NAME."""
    given, _ = options(call.argv, "oCp", ("format",))
    columns = (given.get("o") or "pid,comm,args").replace("=", "").split(",")
    wanted = [p for _, p in sorted(call.node.processes.table.items())]
    if "p" in given:
        wanted = [p for p in wanted if str(p.pid) in given["p"].split(",")]
    if "C" in given:
        wanted = [p for p in wanted if p.comm == given["C"]]
    rows = [" ".join(_column(p, c) for c in columns) for p in wanted]
    titles = {"pid": "    PID", "comm": "COMMAND"}
    head = "" if "=" in given.get("o", "") else " ".join(titles.get(c, "CMD") for c in columns) + "\n"
    return Result(head + "".join(f"{r}\n" for r in rows), exit_status=0 if rows else 1, seconds=0.02)


TABLE: Table = {"pgrep": pgrep, "pkill": pkill, "killall": pkill, "kill": kill, "ps": ps}
