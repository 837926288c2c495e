"""Transient units: what systemd-run starts goes on without the connection that started it."""

from __future__ import annotations

import asyncio
import shlex

from pve_runbook.lab.model.units import Unit
from pve_runbook.lab.shell import Channel, Machine


async def run_unit(machine: Machine, name: str, argv: list[str], *, collect: bool, oneshot: bool) -> int:
    """Run argv as the unit of that name; with `collect` the unit is gone afterwards (recorded on PVE 8.3)."""
    units = machine.node.units
    command = shlex.join(argv)
    unit = Unit(name, " ".join(argv), tuple(argv), enablement="transient")
    unit.active, unit.sub = ("activating", "start") if oneshot else ("active", "running")
    unit.condition_result = True
    units.table[name] = unit
    process = machine.node.processes.spawn(argv[0].rpartition("/")[2][:15], tuple(argv))
    unit.main_pid = process.pid
    machine.node.journal.systemd(name, f"Starting {name} - {unit.description}...")
    status = 255
    try:
        await asyncio.sleep(0)
        stdout, stderr, status = await Channel(machine, via="unit").execute(command)
        for line in (stdout + stderr).splitlines():
            machine.node.journal.add(name, process.comm, process.pid, line)
    finally:
        machine.node.processes.end(process.pid)
        unit.main_pid, unit.exec_status = 0, status
        if status:
            unit.active, unit.sub, unit.result = "failed", "failed", "exit-code"
            machine.node.journal.systemd(name, f"{name}: Main process exited, code=exited, status={status}/n/a", 5)
            machine.node.journal.systemd(name, f"{name}: Failed with result 'exit-code'.", 4)
        else:
            unit.active, unit.sub = "inactive", "dead"
            machine.node.journal.systemd(name, f"{name}: Deactivated successfully.")
            machine.node.journal.systemd(name, f"Finished {name} - {unit.description}.")
        if collect or not status:
            units.table.pop(name, None)
        machine.detached.pop(name, None)
        machine.progress.set()
    return status
