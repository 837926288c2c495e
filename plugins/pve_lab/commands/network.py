"""ip, getent, ss (iproute2; formats recorded on PVE 8.3)."""

from __future__ import annotations

import fnmatch
import functools
import ipaddress
import json
import re
from typing import Any

from pve_lab.commands.base import Call, Result, Table, options
from pve_lab.formats import nftables
from pve_lab.model.host import is_address
from pve_lab.model.links import PORT, carries
from pve_lab.model.network import Interface
from pve_lab.model.node import Node

Json = dict[str, Any]


def _interfaces(node: Node) -> list[Interface]:
    found = list(node.interfaces)
    index = max(i.index for i in found) + 1
    for vmid, process in sorted(node.guests.running.items()):
        tap = process.comm == "kvm"
        config = node.guests.config(vmid)
        mac = f"d6:56:bd:ba:{vmid // 256:02x}:{vmid % 256:02x}"
        found.append(
            Interface(
                index,
                f"tap{vmid}i0" if tap else f"veth{vmid}i0",
                mac,
                kind="tun" if tap else "veth",
                master=config.bridge if config is not None else "vmbr0",
            )
        )
        index += 1
    return found


def _loopback() -> Json:
    return {
        "ifindex": 1,
        "ifname": "lo",
        "flags": ["LOOPBACK", "UP", "LOWER_UP"],
        "mtu": 65536,
        "qdisc": "noqueue",
        "operstate": "UNKNOWN",
        "group": "default",
        "txqlen": 1000,
        "link_type": "loopback",
        "address": "00:00:00:00:00:00",
        "broadcast": "00:00:00:00:00:00",
    }


def _base(node: Node, interface: Interface) -> Json:
    tap = interface.kind == "tun"
    up = carries(node, interface)
    flags = [*([] if up else ["NO-CARRIER"]), "BROADCAST", "MULTICAST", *(["PROMISC"] if tap else []), "UP"]
    flags += ["LOWER_UP"] if up else []
    data: Json = {
        "ifindex": interface.index,
        **({"link": interface.link} if interface.link else {}),
        "ifname": interface.name,
        "flags": flags,
        "mtu": interface.mtu,
        "qdisc": "pfifo_fast" if tap else "noqueue",
    }
    if interface.master:
        data["master"] = interface.master
    data.update(
        operstate="UNKNOWN" if tap else "UP" if up else "DOWN",
        group="default",
        txqlen=1000,
        link_type="ether",
        address=interface.mac,
        broadcast="ff:ff:ff:ff:ff:ff",
    )
    return data


def _address(family: str, local: str, prefix: int, scope: str, label: str = "") -> Json:
    return {
        "family": family,
        "local": local,
        "prefixlen": prefix,
        "scope": scope,
        **({"label": label} if label else {}),
        "valid_life_time": 4294967295,
        "preferred_life_time": 4294967295,
    }


def _addresses(node: Node) -> list[Json]:
    loopback = _loopback()
    loopback["addr_info"] = [
        _address("inet", "127.0.0.1", 8, "host", "lo"),
        _address("inet6", "::1", 128, "host"),
    ]
    rows = [loopback]
    for interface in _interfaces(node):
        row = _base(node, interface)
        row["addr_info"] = []
        if interface.address:
            row["addr_info"].append(_address("inet", interface.address, interface.prefix, "global", interface.name))
        if interface.kind not in ("tun", "veth") and interface.carrier:  # recorded: guests' ends have none
            row["addr_info"].append(_address("inet6", _link_local(interface.mac), 64, "link"))
        rows.append(row)
    return rows


@functools.cache
def _link_local(mac: str) -> str:
    """The address that the kernel makes of a card's number (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    ident = bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]))
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + ident))


def _links(node: Node, *, statistics: bool) -> list[Json]:
    rows = []
    for row, interface in [(_loopback(), None), *((_base(node, i), i) for i in _interfaces(node))]:
        row.update(promiscuity=0, allmulti=0, min_mtu=68 if interface else 0, max_mtu=65535 if interface else 0)
        row["linkmode"] = "DEFAULT"
        if interface is not None:
            info: Json = {}
            if interface.kind:
                info["info_kind"] = interface.kind
            if interface.kind == "bridge":
                info["info_data"] = {
                    "forward_delay": 0,
                    "stp_state": 0,
                    "vlan_filtering": 0,
                    "bridge_id": f"8000.{interface.mac}",
                }
            if interface.kind == "vlan":
                info["info_data"] = {"protocol": "802.1Q", "id": interface.vlan, "flags": ["REORDER_HDR"]}
            if interface.kind == "bond":
                info["info_data"] = {"mode": interface.bond_mode, "miimon": 100, "updelay": 0, "downdelay": 0}
            if interface.kind == "tun":
                info["info_data"] = {
                    "type": "tap",
                    "pi": False,
                    "vnet_hdr": True,
                    "multi_queue": False,
                    "persist": False,
                }
            if interface.master.startswith("bond"):
                info["info_slave_kind"] = "bond"
                info["info_slave_data"] = {"state": "ACTIVE", "mii_status": "UP", "link_failure_count": 0}
            elif interface.master:
                info["info_slave_kind"] = "bridge"
                info["info_slave_data"] = {"state": "forwarding", "priority": 32, "cost": 2}
            if info:
                row["linkinfo"] = info
        row.update(
            inet6_addr_gen_mode="eui64",
            num_tx_queues=1,
            num_rx_queues=1,
            gso_max_size=65536,
            gso_max_segs=65535,
        )
        if statistics:
            bad = interface.errors if interface is not None else 0
            row["stats64"] = {
                "rx": {"bytes": 81920000, "packets": 640000, "errors": bad, "dropped": 12, "over_errors": 0},
                "tx": {"bytes": 40960000, "packets": 320000, "errors": 0, "dropped": 0, "carrier_errors": 0},
            }
        rows.append(row)
    return rows


def _routes(node: Node) -> list[Json]:
    rows: list[Json] = []
    for route in node.default_routes:
        metric = {} if route.metric is None else {"metric": route.metric}
        rows.append({"dst": "default", "gateway": route.gateway, "dev": route.device, **metric, "flags": []})
    for way in node.host_routes:
        rows.append(
            {
                "dst": way.address,
                "gateway": way.gateway,
                "dev": way.device,
                "protocol": way.protocol,
                "prefsrc": node.rings[0],
                "metric": 20,
                "flags": ["onlink"],
            }
        )
    for interface in node.interfaces:
        if interface.address and interface.prefix < 32:  # an address alone has its route in the table local
            network = ipaddress.ip_network(f"{interface.address}/{interface.prefix}", strict=False)
            rows.append(
                {
                    "dst": str(network),
                    "dev": interface.name,
                    "protocol": "kernel",
                    "scope": "link",
                    "prefsrc": interface.address,
                    "flags": [],
                }
            )
    return rows


def _route_get(node: Node, target: str) -> Result:
    try:
        address = ipaddress.ip_address(target)
    except ValueError:
        return Result("", f'Error: any valid prefix is expected rather than "{target}".\n', 1)
    for interface in node.interfaces:
        if interface.address == target:
            row: Json = {
                "type": "local",
                "dst": target,
                "dev": "lo",
                "prefsrc": target,
                "flags": [],
                "uid": 0,
                "cache": ["local"],
            }
            return Result(json.dumps([row], separators=(",", ":")) + "\n")
        if interface.address and address in ipaddress.ip_network(
            f"{interface.address}/{interface.prefix}", strict=False
        ):
            row = {
                "dst": target,
                "dev": interface.name,
                "prefsrc": interface.address,
                "flags": [],
                "uid": 0,
                "cache": [],
            }
            return Result(json.dumps([row], separators=(",", ":")) + "\n")
    for way in node.host_routes:
        if way.address == target:
            row = {"dst": target, "gateway": way.gateway, "dev": way.device, "prefsrc": node.rings[0]}
            return Result(json.dumps([{**row, "flags": [], "uid": 0, "cache": []}], separators=(",", ":")) + "\n")
    if not node.default_routes:
        return Result("", "RTNETLINK answers: Network is unreachable\n", 2)
    route = node.default_routes[0]
    source = next(i.address for i in node.interfaces if i.name == route.device)
    row = {
        "dst": target,
        "gateway": route.gateway,
        "dev": route.device,
        "prefsrc": source,
        "flags": [],
        "uid": 0,
        "cache": [],
    }
    return Result(json.dumps([row], separators=(",", ":")) + "\n")


def ip(call: Call) -> Result:
    """ip -j addr | -j route [show default] | -j -d link | -j route get ADDRESS."""
    words = [a for a in call.argv if not a.startswith("-")]
    if words[:2] == ["route", "get"]:
        return _route_get(call.node, words[2])
    if words[:1] == ["route"]:
        rows = [r for r in _routes(call.node) if "default" not in words or r["dst"] == "default"]
        rows = [] if "-6" in call.argv else rows
    elif words[:1] in (["addr"], ["address"], ["a"]):
        rows = _addresses(call.node)
    else:
        rows = _links(call.node, statistics="-s" in call.argv)
    return Result(json.dumps(rows, separators=(",", ":")) + "\n", seconds=0.01)


def getent(call: Call) -> Result:
    """getent ahosts|hosts NAME, from /etc/hosts, with every line that has the name (host.conf: multi on)."""
    database, name = call.argv[0], call.argv[-1]
    rows = ""
    for line in call.node.files.text("/etc/hosts").splitlines():
        fields = line.partition("#")[0].split()
        if name not in fields[1:] or not is_address(fields[0]):
            continue
        if database == "hosts":
            return Result(f"{fields[0]:<15} {' '.join(fields[1:])}\n")
        first = "" if rows else fields[1]
        rows += f"{fields[0]:<15} STREAM {first}\n{fields[0]:<15} DGRAM  \n{fields[0]:<15} RAW    \n"
    return Result(rows, exit_status=0 if rows else 2, seconds=0.01)


def ss(call: Call) -> Result:
    """ss -H -ulnp | -H -tlnp | -xH."""
    letters = "".join(a[1:] for a in call.argv if a.startswith("-") and not a.startswith("--"))
    node = call.node
    rows = ""
    if "u" in letters:
        pid = node.units.get("corosync").main_pid
        for link, address in node.corosync.runtime.bound.items() if node.corosync.runtime is not None else ():
            users = f'users:(("corosync",pid={pid},fd={28 + link}))'
            rows += f"UNCONN 0      0      {address}:{PORT + link} 0.0.0.0:* {users}\n"
    elif "t" in letters:
        for name, port in (("ssh", 22), ("pveproxy", 8006), ("spiceproxy", 3128)):
            unit = node.units.get(name)
            if unit.is_active:
                users = f'users:(("{unit.argv[0].rpartition("/")[2]}",pid={unit.main_pid},fd=6))'
                rows += f"LISTEN 0      128    *:{port} *:* {users}\n"
    elif "x" in letters:
        for number, client in enumerate(node.ha.all_clients):
            rows += f"u_str ESTAB 0      0      /run/watchdog-mux.sock {51000 + number} * {52000 + number} {client}\n"
    return Result(rows, seconds=0.02)


def grep(call: Call) -> Result:
    """grep -rHE [--include=GLOB] PATTERN PATH..., of files, of all files in directories, of /proc/PID/mountinfo."""
    _, (pattern, *paths) = options(call.argv)
    if all(path.endswith("/mountinfo") for path in paths):
        return _mountinfo(call, paths)
    matcher = re.compile(pattern.replace("[[:space:]]", r"\s"))
    include = next((word.partition("=")[2] for word in call.argv if word.startswith("--include=")), "*")
    files, rows, errors = call.node.files, "", ""
    for path in paths:
        if not files.exists(path):
            errors += f"grep: {path}: No such file or directory\n"
            continue
        inside = [f"{path}/{name}" for name in files.names(path)] if files.stat(path).kind == "directory" else [path]
        for file in fnmatch.filter(inside, f"*/{include}"):
            rows += "".join(f"{file}:{line}\n" for line in files.text(file).splitlines() if matcher.search(line))
    return Result(rows, errors, 2 if errors else 0 if rows else 1, 0.01)


def _mountinfo(call: Call, paths: list[str]) -> Result:
    rows, errors = "", ""
    for path in paths:
        process = call.node.processes.table.get(int(path.split("/")[2]))
        if process is None:
            errors += f"grep: {path}: No such file or directory\n"
        else:
            lines = ["29 1 253:1 / / rw,relatime - ext4 /dev/mapper/pve-root rw,errors=remount-ro"]
            lines += call.node.guests.devices.mounts(process.vmid) if process.vmid is not None else []
            rows += "".join(f"{path}:{line}\n" for line in lines)
    return Result(rows, errors, 2 if errors else 0, 0.01)


def iptables_save(call: Call) -> Result:
    """iptables-save, the table filter alone; nothing while nobody filters (iptables-nft)."""
    rules = call.node.filter_rules
    if not rules:
        return Result(seconds=0.01)
    return Result("\n".join(("# Generated by iptables-save", "*filter", *rules, "COMMIT", "")), seconds=0.01)


def nft(call: Call) -> Result:
    """nft -j list ruleset: iptables' own table, where there are rules, and those of others."""
    own = (nftables.IPTABLES,) if call.node.filter_rules else ()
    return Result(nftables.ruleset((*own, *call.node.nft_tables)), seconds=0.01)


TABLE: Table = {"ip": ip, "getent": getent, "ss": ss, "iptables-save": iptables_save, "nft": nft}
