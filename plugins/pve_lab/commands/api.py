"""pvesh and pvesr (pve-manager PVE/API2; formats recorded on PVE 8.3)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from pve_lab.commands.base import Call, Result, Table
from pve_lab.commands.cluster import refused
from pve_lab.formats.guest_config import GuestConfig
from pve_lab.formats.texts import NO_QUORUM
from pve_lab.model.node import Node

Json = dict[str, Any]
BROADCAST = 10.0
"""Seconds after its start until pvestatd has told pmxcfs about the node's own guests."""


def pvesh(call: Call) -> Result:
    """pvesh get PATH [--output-format json]."""
    down = refused(call.node)
    if down is not None:
        return down
    if call.argv[:1] != ["get"] or len(call.argv) < 2:
        return Result("", "ERROR: only 'pvesh get' is simulated\n", 255, 0.7)
    node, path = call.node, call.argv[1].rstrip("/")
    readers: dict[str, Callable[[Node], Any]] = {
        "/cluster/status": cluster_status,
        "/cluster/resources": cluster_resources,
        "/nodes": nodes,
        "/cluster/nextid": next_id,
        "/version": version,
        f"/nodes/{node.hostname}/tasks": tasks,
    }
    if path not in readers:
        return Result("", f"No '{call.argv[0]}' handler defined for '{path}'\n", 1, 0.7)
    value = readers[path](node)
    if path.endswith("/tasks") and "active" in call.argv:
        value = [t for t in value if "endtime" not in t]
    text = str(value) if isinstance(value, int) else json.dumps(value, separators=(",", ":"), sort_keys=True)
    return Result(text + "\n", seconds=0.7)


def pvesr(call: Call) -> Result:
    """pvesr status | delete ID [--force]: the job is marked, and the scheduler of the guest's node, here the next half
    minute, takes it out (PVE/API2/ReplicationConfig.pm, PVE/Replication.pm); with --force at once."""
    if call.argv[:1] == ["delete"]:
        return refused(call.node) or _without_job(call.node, call.argv[1], at_once="--force" in call.argv)
    head = "JobID      Enabled    Target                           LastSync             NextSync   Duration  FailCount"
    return refused(call.node) or Result(f"{head} State\n", seconds=0.7)


def _without_job(node: Node, ident: str, *, at_once: bool) -> Result:
    if not node.pmxcfs.quorate:
        return Result("", NO_QUORUM, 2, 0.6)

    def gone() -> None:
        text = node.pmxcfs.database.text("replication.cfg")
        kept = [part for part in text.split("\n\n") if not part.startswith(f"local: {ident}\n")]
        if node.pmxcfs.quorate:
            node.pmxcfs.write("replication.cfg", "\n\n".join(kept).encode())

    if at_once:
        gone()
    else:
        node.clock.after(30.0, gone)
    return Result(seconds=0.6)


def _has_members(node: Node) -> bool:
    return node.pmxcfs.clustered and node.pmxcfs.corosync_seen and node.pmxcfs.conf() is not None


def _online(node: Node) -> set[str]:
    """The nodes that .members calls online."""
    return node.pmxcfs.online() if _has_members(node) else {node.name}


def cluster_status(node: Node) -> list[Json]:
    """GET /cluster/status: without a node list in .members there is no entry of type cluster."""
    conf = node.pmxcfs.conf()
    own: Json = {
        "id": f"node/{node.name}",
        "ip": node.address,
        "level": "",
        "local": 1,
        "name": node.name,
        "online": 1,
        "type": "node",
    }
    if conf is None or not _has_members(node):
        return [{**own, "nodeid": 0}]
    online = _online(node)
    rows: list[Json] = [
        {
            "id": "cluster",
            "name": conf.cluster_name,
            "nodes": len(conf.members),
            "quorate": int(node.pmxcfs.quorate),
            "type": "cluster",
            "version": conf.config_version,
        }
    ]
    for member in sorted(conf.members, key=lambda m: m.name != node.name):
        if member.name == node.name:
            rows.append({**own, "nodeid": member.nodeid})
        else:
            row: Json = {
                "id": f"node/{member.name}",
                "level": "",
                "local": 0,
                "name": member.name,
                "nodeid": member.nodeid,
                "online": int(member.name in online),
                "type": "node",
            }
            if member.name in node.pmxcfs.peers_seen:
                row["ip"] = member.ring0_addr
            rows.append(row)
    return rows


def _known(node: Node, owner: str) -> bool:
    """Whether pmxcfs holds the status broadcast of that node."""
    if owner == node.name:
        fresh = node.clock.now - node.pmxcfs.started >= BROADCAST
        return fresh and node.units.get("pvestatd").is_active
    return owner in node.pmxcfs.peers_seen and node.pmxcfs.clustered


def _guest(node: Node, config: GuestConfig) -> Json:
    row: Json = {
        "id": f"{config.kind}/{config.vmid}",
        "node": config.owner,
        "status": "unknown",
        "type": config.kind,
        "vmid": config.vmid,
    }
    if not _known(node, config.owner):
        return row
    owner = node.cluster.nodes[config.owner]
    process = owner.guests.running.get(config.vmid)
    up = int(owner.processes.uptime - process.start / 100) if process is not None else 0
    row.update(
        cpu=0.0029 if process else 0,
        disk=0,
        diskread=512 if process else 0,
        diskwrite=0,
        maxcpu=2,
        maxdisk=config.boot_disk_bytes,
        maxmem=config.memory * 1024**2,
        mem=config.memory * 900000 if process else 0,
        name=config.name,
        netin=70 if process else 0,
        netout=0,
        status="running" if process else "stopped",
        template=int(config.values.get("template", "0")),
        uptime=up,
    )
    if config.lock:
        row["lock"] = config.lock
    return row


def _names(node: Node) -> list[str]:
    conf = node.pmxcfs.conf()
    return [m.name for m in conf.members] if conf is not None and _has_members(node) else [node.name]


def cluster_resources(node: Node) -> list[Json]:
    """GET /cluster/resources."""
    rows = [_guest(node, c) for c in node.guests.configs()]
    online = _online(node)
    for name in _names(node):
        row: Json = {"id": f"node/{name}", "node": name, "type": "node"}
        if _known(node, name) or name in node.pmxcfs.peers_seen:
            row.update({"cgroup-mode": 2, "level": "", "maxcpu": 8, "maxdisk": 100861726720, "maxmem": 67430416384})
        row["status"] = "online" if name in online else "offline"
        if name == node.name and not _known(node, name):
            row["status"] = "unknown"
        elif name in online:
            row.update(cpu=0.0975, disk=17298493440, mem=23515768832, uptime=int(node.processes.uptime))
        rows.append(row)
    for name in _names(node):
        for storage in node.storages.all():
            known = _known(node, name)
            row = {
                "content": storage.settings.get("content", ""),
                "id": f"storage/{name}/{storage.ident}",
                "node": name,
                "plugintype": storage.kind,
                "shared": int(storage.shared),
                "status": "unknown",
                "storage": storage.ident,
                "type": "storage",
            }
            if known and node.cluster.nodes[name].storages.active(storage):
                row.update(disk=26154606592, maxdisk=270553174016, status="available")
            rows.append(row)
    rows += [
        {"id": f"sdn/{n}/localnetwork", "node": n, "sdn": "localnetwork", "status": "ok", "type": "sdn"}
        for n in _names(node)
    ]
    return rows


def nodes(node: Node) -> list[Json]:
    """GET /nodes."""
    rows = []
    for name in _names(node):
        digest = hashlib.sha256(name.encode()).hexdigest().upper()
        row: Json = {
            "id": f"node/{name}",
            "node": name,
            "ssl_fingerprint": ":".join(digest[i : i + 2] for i in range(0, 64, 2)),
            "status": "online" if name in _online(node) else "offline",
            "type": "node",
        }
        if name == node.name and not _known(node, name):
            row["status"] = "unknown"
        else:
            row.update(level="", maxcpu=8, maxdisk=100861726720, maxmem=67430416384)
            if row["status"] == "online":
                row.update(cpu=0.43, disk=26154680320, mem=23651305472, uptime=int(node.processes.uptime))
        rows.append(row)
    return rows


def next_id(node: Node) -> int:
    """GET /cluster/nextid: the lowest id from 100 that no guest of any node has."""
    taken = {vmid for vmid, *_ in node.pmxcfs.guests()}
    return next(i for i in range(100, 1_000_000) if i not in taken)


def version(node: Node) -> Json:
    """GET /version."""
    return {
        "release": node.version.short,
        "repoid": node.version.repoid,
        "version": node.version.manager,
    }


def tasks(node: Node) -> list[Json]:
    """GET /nodes/NODE/tasks."""
    rows = []
    for task in node.tasks.tasks:
        row: Json = {
            "id": task.ident,
            "node": node.name,
            "pid": int(task.upid.split(":")[2], 16),
            "pstart": int(task.upid.split(":")[3], 16),
            "starttime": task.started,
            "type": task.kind,
            "upid": task.upid,
            "user": "root@pam",
        }
        if not task.pid:
            row.update(endtime=task.ended, status=task.status)
        rows.append(row)
    return rows


TABLE: Table = {"pvesh": pvesh, "pvesr": pvesr}
