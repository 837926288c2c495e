"""qm and pct (formats recorded on PVE 8.3)."""

from __future__ import annotations

import uuid

from pve_lab.commands.base import Call, Result, Table, options
from pve_lab.commands.cluster import refused
from pve_lab.formats.guest_config import GuestConfig
from pve_lab.formats.texts import NO_QUORUM, GuestRow, pct_list, qm_list

_SECONDS = {"start": 0.9, "stop": 1.7, "shutdown": 1.7, "create": 0.6, "destroy": 0.7}


def qm(call: Call) -> Result:
    """qm list | status | config | create | start | stop | shutdown | destroy."""
    return refused(call.node) or _tool(call, "qemu")


def pct(call: Call) -> Result:
    """pct list | status | config | start | stop | shutdown."""
    return refused(call.node) or _tool(call, "lxc")


def _tool(call: Call, kind: str) -> Result:
    verb = call.argv[0] if call.argv else "help"
    if verb == "list":
        rows = _rows(call, kind)
        return Result(qm_list(rows) if kind == "qemu" else pct_list(rows), seconds=0.6)
    given, operands = options(call.argv[1:], "", tuple(a[2:] for a in call.argv if a.startswith("--")))
    if not operands or not operands[0].isdigit():
        return Result("", "400 not enough arguments\n", 255, 0.6)
    vmid = int(operands[0])
    if verb == "create" and kind == "qemu":
        return _create(call, vmid, given)
    config = call.node.guests.config(vmid)
    if config is None or config.owner != call.node.hostname or config.kind != kind:
        status, text = call.node.guests.missing(vmid, kind)
        return Result("", text, status, 0.6)
    if verb == "status":
        state = "running" if vmid in call.node.guests.running else "stopped"
        return Result(f"status: {state}\n", seconds=0.6)
    if verb == "config":
        return Result("".join(f"{k}: {v}\n" for k, v in sorted(_shown(config).items())), seconds=0.6)
    if verb == "destroy":
        return _destroy(call, config)
    if verb in ("start", "stop", "shutdown"):
        guests = call.node.guests
        status, text = guests.start(vmid) if verb == "start" else guests.stop(vmid, verb)
        return Result("", text, status, _SECONDS[verb])
    return Result("", f"ERROR: unknown command '{call.name} {verb}'\n", 255, 0.6)


def _shown(config: GuestConfig) -> dict[str, str]:
    comments = [line[1:] for line in config.text.partition("\n[")[0].splitlines() if line.startswith("#")]
    values = dict(config.values)
    if comments:
        values["description"] = "%0A".join(comments)
    return values


def _rows(call: Call, kind: str) -> list[GuestRow]:
    guests = call.node.guests
    rows = []
    for config in guests.own(kind):
        process = guests.running.get(config.vmid)
        state = "running" if process is not None else "stopped"
        if kind == "qemu" and process is not None and "--full" in call.argv:
            state = guests.qmp_status.get(config.vmid, "running")
        rows.append(GuestRow(config, state, process.pid if process is not None else 0))
    return rows


def _create(call: Call, vmid: int, given: dict[str, str]) -> Result:
    node = call.node
    if not node.pmxcfs.quorate:
        return Result("", NO_QUORUM, 2, 0.7)
    existing = node.guests.config(vmid)
    if existing is not None:
        word = "VM" if existing.kind == "qemu" else "CT"
        text = f"unable to create VM {vmid} - {word} {vmid} already exists on node '{existing.owner}'\n"
        return Result("", text, 255, 0.6)
    ident = uuid.uuid5(uuid.NAMESPACE_DNS, f"{node.name} {vmid} {node.clock.now}")
    lines = [f"{key}: {value}" for key, value in given.items() if key != "description"]
    lines += [
        f"meta: creation-qemu=9.0.2,ctime={int(node.wall)}",
        "numa: 0",
        f"smbios1: uuid={ident}",
        "boot: ",
    ]
    head = "".join(f"#{line}\n" for line in given.get("description", "").splitlines())
    text = head + "\n".join(sorted([*lines, f"vmgenid: {uuid.uuid5(ident, 'generation')}"])) + "\n"
    try:
        node.pmxcfs.write(f"nodes/{node.hostname}/qemu-server/{vmid}.conf", text.encode())
    except OSError as error:
        path = f"/etc/pve/nodes/{node.hostname}/qemu-server/{vmid}.conf"
        return Result(
            "",
            f"unable to create VM {vmid} - unable to open file '{path}.tmp.1' - {error.strerror}\n",
            255,
            0.6,
        )
    node.tasks.record("qmcreate", str(vmid))
    return Result(seconds=0.6)


def _destroy(call: Call, config: GuestConfig) -> Result:
    node = call.node
    if not node.pmxcfs.quorate:
        return Result("", NO_QUORUM, 2, 0.7)
    if config.vmid in node.guests.running:
        word = "VM" if config.kind == "qemu" else "CT"
        return Result("", f"{word} {config.vmid} is running - destroy failed\n", 255, 0.7)
    try:
        node.pmxcfs.remove(config.path)
    except OSError as error:
        return Result("", f"unlink failed: {error.strerror}\n", 255, 0.7)
    node.tasks.record("qmdestroy", str(config.vmid))
    return Result(seconds=0.7)


TABLE: Table = {"qm": qm, "pct": pct}
