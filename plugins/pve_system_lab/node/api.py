"""pvesh and pvestatd: what the web UI's server knows (pve-manager PVE/API2, recorded on PVE 8.3)."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pve_lab.formats import corosync_conf
from pve_lab.formats.guest_config import GuestConfig
from pve_lab.formats.storage_cfg import parse_storage_cfg

from pve_system_lab.node import guests
from pve_system_lab.node.process import Refused, ask_pmxcfs, show_as
from pve_system_lab.node.release import RELEASE
from pve_system_lab.node.storage import usage
from pve_system_lab.node.tasks import record
from pve_system_lab.node.words import Said

Json = dict[str, Any]
BROADCAST = 3
"""Seconds between two of pvestatd's rounds (10 on PVE)."""
PAUSE = 1.0
"""Seconds between two looks for quorum."""


def broadcast() -> None:
    """pvestatd: tell pmxcfs of this node's guests, again and again."""
    show_as("pvestatd")
    while True:
        with contextlib.suppress(Refused, OSError, ValueError):  # pmxcfs is not there at the moment
            ask_pmxcfs({"publish": {"guests": _own_guests(), "time": int(time.time())}})
        time.sleep(BROADCAST)


def _own_guests() -> Json:
    pids = guests.running()
    return {str(c.vmid): _details(c, pids.get(c.vmid)) for c in guests.configs()}


def _details(config: GuestConfig, pid: int | None) -> Json:
    uptime = 0
    if pid is not None:
        start = int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[19])
        uptime = int(float(Path("/proc/uptime").read_text().split()[0]) - start / os.sysconf("SC_CLK_TCK"))
    row: Json = {
        "name": config.name,
        "status": "stopped" if pid is None else "running",
        "template": int(config.values.get("template", "0")),
        "maxmem": config.memory * 1024**2,
        "maxdisk": config.boot_disk_bytes,
        "maxcpu": int(config.values.get("cores", "1")),
        "uptime": uptime,
        **dict.fromkeys(("cpu", "mem", "disk", "diskread", "diskwrite", "netin", "netout"), 0),
    }
    return {**row, "lock": config.lock} if config.lock else row


def _conf() -> corosync_conf.CorosyncConf:
    return corosync_conf.parse(Path("/etc/pve/corosync.conf").read_text())


def _status(pmxcfs: Json) -> list[Json]:
    own: Json = {"type": "node", "level": "", "local": 1, "online": 1, "name": pmxcfs["name"]}
    own.update(id=f"node/{pmxcfs['name']}", ip=pmxcfs["address"])
    if not pmxcfs["has_members"]:
        return [{**own, "nodeid": 0}]
    conf = _conf()
    head: Json = {"type": "cluster", "id": "cluster", "name": conf.cluster_name, "nodes": len(conf.members)}
    rows = [{**head, "version": conf.config_version, "quorate": int(pmxcfs["quorate"])}]
    for member in conf.members:
        if member.name == pmxcfs["name"]:
            rows.append({**own, "nodeid": member.nodeid})
            continue
        row: Json = {"type": "node", "id": f"node/{member.name}", "name": member.name, "nodeid": member.nodeid}
        row.update(level="", local=0, online=int(member.name in pmxcfs["online"]))
        if member.name in pmxcfs["addresses"]:
            row["ip"] = pmxcfs["addresses"][member.name]
        rows.append(row)
    return rows


def _names(pmxcfs: Json) -> list[str]:
    return [m.name for m in _conf().members] if pmxcfs["has_members"] else [str(pmxcfs["name"])]


def _resources(pmxcfs: Json) -> list[Json]:
    rows: list[Json] = []
    values = pmxcfs["values"]
    for config in guests.configs(everywhere=True):
        row = {"id": f"{config.kind}/{config.vmid}", "type": config.kind, "vmid": config.vmid, "node": config.owner}
        known = values.get(config.owner, {}).get("guests", {}).get(str(config.vmid))
        rows.append({**row, **(known or {"status": "unknown"})})
    for name in _names(pmxcfs):
        state = "online" if name in pmxcfs["online"] else "offline"
        state = "unknown" if name == pmxcfs["name"] and name not in values else state
        rows.append({"id": f"node/{name}", "type": "node", "node": name, "status": state})
    storages = parse_storage_cfg(Path("/etc/pve/storage.cfg").read_text())
    sizes = {s.ident: usage(s) for s in storages}
    for name in _names(pmxcfs):
        for storage in storages:
            row = {"id": f"storage/{name}/{storage.ident}", "type": "storage", "node": name}
            row.update(storage=storage.ident, plugintype=storage.kind, shared=int(storage.shared))
            row.update(content=storage.settings.get("content", ""), status="unknown")
            found = sizes[storage.ident]
            if name in values and found is not None:
                total, used = found
                row.update(status="available", maxdisk=total * 1024, disk=used * 1024)
            rows.append(row)
    return rows


def _nodes(pmxcfs: Json) -> list[Json]:
    online = pmxcfs["online"]
    return [
        {"id": f"node/{n}", "node": n, "type": "node", "status": "online" if n in online else "offline"}
        for n in _names(pmxcfs)
    ]


def start_all() -> Said:
    """Start what is marked onboot, once there is quorum (PVE::API2::Nodes startall)."""
    with record("startall", "") as task:
        show_as(f"task {task.upid}")  # as a worker does (pve-common, RESTEnvironment.pm, fork_worker)
        while True:
            try:
                ask_pmxcfs()
                if guests.quorate():
                    break
            except (Refused, OSError):
                pass
            time.sleep(PAUSE)
        for config in guests.configs():
            if config.values.get("onboot") == "1" and config.vmid not in guests.running():
                guests.start(config)
    return Said()


def pvesh(argv: Sequence[str]) -> Said:
    """pvesh get PATH [--output-format json] | create /nodes/localhost/startall."""
    if "create" in argv:
        return start_all()
    pmxcfs = ask_pmxcfs()
    readers: dict[str, Callable[[Json], Any]] = {
        "/cluster/status": _status,
        "/cluster/resources": _resources,
        "/nodes": _nodes,
        "/version": lambda _: {"release": RELEASE.short, "repoid": RELEASE.repoid, "version": RELEASE.manager},
    }
    path = argv[1].rstrip("/") if len(argv) > 1 else ""
    if argv[:1] != ["get"] or path not in readers:
        return Said("", f"No '{' '.join(argv[:1])}' handler defined for '{path}'\n", 1)
    return Said(json.dumps(readers[path](pmxcfs), separators=(",", ":"), sort_keys=True) + "\n")
