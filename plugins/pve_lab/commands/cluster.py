"""pvecm, corosync-*, pmxcfs, pveversion, ha-manager (formats recorded on PVE 8.3)."""

from __future__ import annotations

import json

from pve_lab.commands.addnode import add
from pve_lab.commands.base import Call, Result, Table
from pve_lab.commands.delnode import delnode
from pve_lab.formats.corosync_conf import Member, unread_by_proxmox
from pve_lab.formats.texts import FENCING_STANDBY, NO_CLUSTER, NO_CMAP, REFUSED, cluster_information, stamp
from pve_lab.model.corosync import Runtime
from pve_lab.model.file_answers import Hung
from pve_lab.model.ha import DEAD_AFTER
from pve_lab.model.node import Node


def refused(node: Node) -> Result | None:
    """What every PVE tool says while pmxcfs does not run (exit status 111); raises Hung while it does not answer."""
    if node.pmxcfs.hung:
        raise Hung("/etc/pve")
    return None if node.pmxcfs.mounted else Result("", REFUSED, 111, 0.3)


# -- quorum -------------------------------------------------------------------------------------


def _names(node: Node, runtime: Runtime) -> dict[int, str]:
    return {m.nodeid: m.name for m in runtime.conf.members}


def _members(node: Node, runtime: Runtime, *, addresses: bool, hexadecimal: bool) -> str:
    rows = ""
    for member in runtime.conf.members:
        if member.nodeid in runtime.members:
            ident = f"0x{member.nodeid:08x}" if hexadecimal else f"{member.nodeid:>10}"
            local = " (local)" if member.nodeid == runtime.nodeid else ""
            cell = f"{_device_cell(node, member.name):>10} " if runtime.device else ""
            rows += f"{ident} {member.votes:>10} {cell}{member.ring0_addr if addresses else member.name}{local}\n"
    title = "    Nodeid      Votes Name\n"
    if runtime.device:
        title = "    Nodeid      Votes    Qdevice Name\n"
        ident = "0x00000000" if hexadecimal else f"{0:>10}"
        votes = runtime.conf.device_votes
        rows += f"{ident} {votes if runtime.casting else 0:>10} {'':>10} Qdevice"
        rows += "\n" if runtime.casting else f" (votes {votes})\n"
    return f"\nMembership information\n----------------------\n{title}{rows}"


def _device_cell(node: Node, name: str) -> str:
    """What a member's QDevice does: alive, voting, not the master's choice; NR where it is not registered."""
    other = node.cluster.nodes[name].corosync.runtime
    if other is None or not other.device:
        return "NR"
    return "A,V,NMW" if other.casting else "A,NV,NMW"


def _quorum(node: Node, runtime: Runtime, *, addresses: bool, hexadecimal: bool) -> str:
    ident = f"0x{runtime.nodeid:08x}" if hexadecimal else str(runtime.nodeid)
    blocked = " " if runtime.quorate else "Activity blocked"
    return (
        "Quorum information\n------------------\n"
        f"Date:             {stamp(node.wall)}\nQuorum provider:  corosync_votequorum\n"
        f"Nodes:            {len(runtime.members)}\nNode ID:          {ident}\n"
        f"Ring ID:          {runtime.ring[0]:x}.{runtime.ring[1]:x}\n"
        f"Quorate:          {'Yes' if runtime.quorate else 'No'}\n\n"
        "Votequorum information\n----------------------\n"
        f"Expected votes:   {runtime.expected_votes}\nHighest expected: {runtime.expected_votes}\n"
        f"Total votes:      {runtime.total_votes}\nQuorum:           {runtime.quorum} {blocked}\n"
        f"Flags:            {'Quorate ' if runtime.quorate else ''}{'Qdevice ' if runtime.device else ''}\n"
    ) + _members(node, runtime, addresses=addresses, hexadecimal=hexadecimal)


def quorumtool(call: Call) -> Result:
    """corosync-quorumtool -s [-i] [-H] | -l | -e VOTES."""
    runtime = call.node.corosync.runtime
    if runtime is None:
        return Result("", NO_CMAP, 1, 0.02)
    letters = "".join(a[1:] for a in call.argv if a.startswith("-"))
    if "e" in letters:
        return _expected(call.node, call.argv[-1])
    if "l" in letters:
        return Result(_members(call.node, runtime, addresses="i" in letters, hexadecimal="H" in letters), seconds=0.02)
    text = _quorum(call.node, runtime, addresses="i" in letters, hexadecimal="H" in letters)
    return Result(text, exit_status=0 if runtime.quorate else 2, seconds=0.03)


def _expected(node: Node, votes: str) -> Result:
    if node.corosync.runtime is None:
        return Result("", NO_CMAP, 1, 0.3)
    if not votes.isdigit() or int(votes) < 1 or not node.corosync.force_expected(int(votes)):
        return Result("", "Unable to set expected votes: CS_ERR_INVALID_PARAM\n", 1, 0.3)
    return Result(seconds=0.3)


def pvecm(call: Call) -> Result:
    """pvecm status | nodes | expected VOTES | delnode NODE | add ADDRESS [--link0 ADDRESS]."""
    node, verb = call.node, call.argv[0] if call.argv else "help"
    if verb not in ("status", "nodes", "expected", "delnode", "add"):
        return Result("", f"ERROR: unknown command 'pvecm {verb}'\n", 255, 0.3)
    down = refused(node)
    if down is not None:
        return down
    if verb == "expected" and (len(call.argv) < 2 or not call.argv[1].isdigit()):
        return Result("", "400 not enough arguments\npvecm expected <expected>\n", 255, 0.3)
    if verb == "add":
        return add(node, call.argv[1:])
    conf = node.pmxcfs.conf()
    if conf is None:
        return Result("", NO_CLUSTER, 2, 0.26)
    if verb == "delnode":
        return delnode(node, call.argv[1:])
    if verb == "expected":
        return _expected(node, call.argv[1])
    runtime = node.corosync.runtime
    if verb == "nodes":
        if runtime is None:
            return Result("", NO_CMAP, 1, 0.27)
        return Result(_members(node, runtime, addresses=False, hexadecimal=False), seconds=0.27)
    unread = unread_by_proxmox(node.pmxcfs.database.text("corosync.conf"))
    head = cluster_information(conf) if not unread else ""
    if runtime is None:
        return Result(head, unread + NO_CMAP, 1, 0.3)
    text = head + _quorum(node, runtime, addresses=True, hexadecimal=True)
    return Result(text, unread, exit_status=0 if runtime.quorate else 2, seconds=0.3)


def cfgtool(call: Call) -> Result:
    """corosync-cfgtool -s | -n."""
    node = call.node
    runtime = node.corosync.runtime
    if runtime is None:
        return Result("", "Could not initialize corosync configuration API error 2\n", 1, 0.02)
    text = f"Local node ID {runtime.nodeid}, transport knet\n"
    if "-n" in call.argv:
        for member in runtime.conf.members:
            if member.nodeid in runtime.members and member.nodeid != runtime.nodeid:
                text += (
                    f"nodeid: {member.nodeid} reachable\n"
                    + "".join(
                        f"   LINK: {number} udp ({runtime.bound[number]}->{address}) enabled"
                        f"{' connected' if runtime.links[member.nodeid, number].connected else ''} mtu: 1397\n"
                        for number, address in runtime.peers[member.nodeid].items()
                    )
                    + "\n"
                )
        return Result(text, seconds=0.02)
    for number, address in runtime.bound.items():
        text += f"LINK ID {number} udp\n\taddr\t= {address}\n\tstatus:\n"
        for member in runtime.conf.members:
            state = "connected" if runtime.links[member.nodeid, number].connected else "disconnected"
            state = "localhost" if member.nodeid == runtime.nodeid else state
            text += f"\t\tnodeid: {member.nodeid:>10}:\t{state}\n"
    return Result(text, seconds=0.02)


def cmapctl(call: Call) -> Result:
    """corosync-cmapctl [-b PREFIX] | -m stats."""
    runtime = call.node.corosync.runtime
    if runtime is None:
        return Result("", "Failed to initialize the cmap API. Error CS_ERR_LIBRARY\n", 1, 0.02)
    if call.node.corosync.cmap_is_busy:
        return Result("", "Failed to initialize the cmap API. Error CS_ERR_TRY_AGAIN\n", 1, 0.02)
    values = _statistics(call.node, runtime) if "-m" in call.argv else _map(runtime)
    prefix = call.argv[-1] if call.argv and call.argv[-1] not in ("-b", "stats") else ""
    rows = [f"{key} ({kind}) = {value}\n" for key, kind, value in sorted(values) if key.startswith(prefix)]
    return Result("".join(rows), seconds=0.03)


def _map(runtime: Runtime) -> list[tuple[str, str, str]]:
    members = runtime.conf.members
    position = next((i for i, m in enumerate(members) if m.nodeid == runtime.nodeid), 0)
    values = [("nodelist.local_node_pos", "u32", str(position))]
    for index, member in enumerate(members):
        key = f"nodelist.node.{index}"
        values += [
            (f"{key}.name", "str", member.name),
            (f"{key}.nodeid", "u32", str(member.nodeid)),
            (f"{key}.quorum_votes", "u32", str(member.votes)),
            *((f"{key}.ring{number}_addr", "str", address) for number, address in member.rings.items()),
        ]
    token = runtime.conf.token + max(len(members) - 2, 0) * 650
    totem = {
        "block_unlisted_ips": 1,
        "cancel_token_hold_on_retransmit": 0,
        "consensus": token * 12 // 10,
        "downcheck": 1000,
        "fail_recv_const": 2500,
        "heartbeat_failures_allowed": 0,
        "hold": token * 75 // 400,
        "interface.0.knet_ping_interval": token // 4,
        "interface.0.knet_ping_timeout": token // 2,
        "join": 50,
        "knet_compression_threshold": 0,
        "knet_mtu": 0,
        "knet_pmtud_interval": 30,
        "max_messages": 17,
        "max_network_delay": 50,
        "merge": 200,
        "miss_count_const": 5,
        "send_join": 0,
        "seqno_unchanged_const": 30,
        "token": token,
        "token_retransmit": token * 10 // 42,
        "token_retransmits_before_loss_const": 4,
        "token_warning": 75,
        "window_size": 50,
    }
    values += [(f"runtime.config.totem.{k}", "u32", str(v)) for k, v in totem.items()]
    values.append(("runtime.config.totem.knet_compression_level", "i32", "0"))
    values.append(("runtime.config.totem.knet_compression_model", "str", "none"))
    return values


def _statistics(node: Node, runtime: Runtime) -> list[tuple[str, str, str]]:
    values = [("stats.ipcs.global.active", "u64", "5"), ("stats.ipcs.global.closed", "u64", "46")]
    for member in runtime.conf.members if runtime.conf.transport == "knet" else ():
        values += _link_statistics(node, runtime, member)
    for name, number in (
        ("commit_entered", 4),
        ("consensus_timeouts", 1),
        ("gather_entered", 5),
        ("mcast_retx", node.corosync.resent),
    ):
        values.append((f"stats.srp.{name}", "u64", str(number)))
    values.append(("stats.srp.firewall_enabled_or_nic_failure", "u8", "0"))
    values.append(("stats.srp.continuous_gather", "u32", "0"))
    return values


def _link_statistics(node: Node, runtime: Runtime, member: Member) -> list[tuple[str, str, str]]:
    values: list[tuple[str, str, str]] = []
    for number in member.rings:
        link = runtime.links[member.nodeid, number]
        key = f"stats.knet.node{member.nodeid}.link{number}"
        own = member.nodeid == runtime.nodeid  # knet does not measure the way to itself (recorded)
        latency = 0 if own else node.cluster.network.latency
        numbers: dict[str, tuple[str, int]] = {
            "connected": ("u8", int(link.connected)),
            "down_count": ("u32", link.down_count),
            "enabled": ("u8", 1),
            "latency_ave": ("u32", latency),
            "latency_max": ("u32", latency * 2),
            "latency_min": ("u32", 4294967295 if own else latency - 7),
            "latency_samples": ("u32", 0 if own else 47),
            "mtu": ("u32", 65535 if member.nodeid == runtime.nodeid else 1397),
            "up_count": ("u32", link.up_count),
            "rx_total_packets": ("u64", 496),
            "rx_total_retries": ("u64", 1),
            "tx_total_errors": ("u64", 0),
            "tx_total_packets": ("u64", 5151),
        }
        values += [(f"{key}.{name}", kind, str(value)) for name, (kind, value) in numbers.items()]
    return values


# -- pmxcfs, versions ---------------------------------------------------------------------------


def pmxcfs(call: Call) -> Result:
    """pmxcfs [-l]: starts a daemon and returns."""
    status, text, seconds = call.node.pmxcfs.start((call.name, *call.argv))
    return Result("", text, status, seconds)


def pveversion(call: Call) -> Result:
    """pveversion."""
    return Result(call.node.version.pveversion, seconds=0.4)


def dpkg_query(call: Call) -> Result:
    """dpkg-query -W -f=${Version} pve-ha-manager."""
    package = call.argv[-1]
    if package != "pve-ha-manager":
        return Result("", f"dpkg-query: no packages found matching {package}\n", 1, 0.02)
    return Result(call.node.version.ha_manager, seconds=0.02)


# -- HA -----------------------------------------------------------------------------------------


def ha_manager(call: Call) -> Result:
    """ha-manager status | config | remove SID | set SID --state STATE | crm-command disarm-ha MODE."""
    node = call.node
    down = refused(node)
    if down is not None:
        return down
    verb = call.argv[0] if call.argv else "help"
    if verb == "status":
        return Result(_ha_status(node), seconds=0.65)
    if verb == "config":
        rows = ""
        for sid, settings in node.ha.resources().items():
            rows += f"{sid}\n" + "".join(f"\t{k} {v}\n" for k, v in sorted(settings.items())) + "\n"
        return Result(rows, seconds=0.65)
    if verb == "remove":
        return _ha_remove(node, call.argv[1])
    if verb == "crm-command" and call.argv[1] in ("disarm-ha", "arm-ha") and node.version.fencing_line:
        return _ha_disarm(node, disarm=call.argv[1] == "disarm-ha", mode=(call.argv[2:] or ["freeze"])[0])
    return Result("", f"ERROR: unknown command 'ha-manager {' '.join(call.argv)}'\n", 255, 0.65)


HOLDS_UP = ("fence", "recovery", "migrate", "relocate")
"""The states of a service in which HA does not disarm (pve-ha-manager, Manager.pm)."""


def _ha_remove(node: Node, sid: str) -> Result:
    if not node.pmxcfs.quorate:
        return Result("", "cluster not ready - no quorum?\n", 2, 0.65)
    resources = node.ha.resources()
    if sid not in resources:
        return Result("", f"cannot delete service '{sid}', not HA managed!\n", 255, 0.65)
    del resources[sid]
    text = "".join(
        f"{s.replace(':', ': ')}\n" + "".join(f"\t{k} {v}\n" for k, v in d.items()) + "\n" for s, d in resources.items()
    )
    node.pmxcfs.write("ha/resources.cfg", text.encode())
    status = node.ha.manager_status()
    if status.get("service_status", {}).pop(sid, None) is not None:  # the CRM's next round, ten seconds later at most
        node.pmxcfs.write("ha/manager_status", json.dumps(status, separators=(",", ":")).encode())
    return Result(seconds=0.65)


def _ha_disarm(node: Node, *, disarm: bool, mode: str) -> Result:
    if not node.pmxcfs.quorate:
        return Result("", "cluster not ready - no quorum?\n", 2, 0.65)
    if disarm and any(s.get("state") in HOLDS_UP for s in node.ha.services().values()):
        return Result(seconds=0.65)  # it is put off, and nobody is told
    for other in node.cluster.nodes.values():
        if other.pmxcfs.quorate and other.ha.resources():
            other.ha.set_disarmed(mode if disarm else "")
    return Result(seconds=0.65)


def _ha_status(node: Node) -> str:
    ha, now = node.ha, node.wall
    fencing = node.version.fencing_line
    status = ha.manager_status()
    if not node.pmxcfs.quorate:
        text = f"quorum No quorum on node '{node.hostname}'!\n"
        return text + FENCING_STANDBY if fencing and not status else text
    text = "quorum OK\n"
    if not status:
        return text + (FENCING_STANDBY if fencing else "")
    master = str(status["master_node"])
    live = node.cluster.nodes.get(master)
    fresh = live is not None and live.ha.is_master and live.units.get("pve-ha-crm").is_active
    moment = now - now % 10 if fresh else float(status["timestamp"])
    state = "active" if now - moment <= DEAD_AFTER else "old timestamp - dead?"
    text += f"master {master} ({state}, {stamp(moment)})\n"
    if fencing:
        armed = "fencing armed (CRM watchdog active)\n" if fresh else FENCING_STANDBY
        text += f"fencing disarmed, resource mode: {ha.disarmed} (CRM watchdog released)\n" if ha.disarmed else armed
    for name in sorted(status.get("node_status", {})):
        text += _lrm_line(node, name)
    for sid, service in sorted(status.get("service_status", {}).items()):
        text += f"service {sid} ({service['node']}, {service['state']})\n"
    return text


def _lrm_line(node: Node, name: str) -> str:
    now = node.wall
    saved = node.ha.lrm_status(name)
    live = node.cluster.nodes.get(name)
    running = live is not None and live.units.get("pve-ha-lrm").is_active and live.pmxcfs.quorate
    running = running and live is not None and (live is node or (live.pmxcfs.in_cluster and node.pmxcfs.in_cluster))
    moment = now - now % 5 if running else float(saved.get("timestamp", 0))
    state = "active" if saved.get("state") == "active" else "idle"
    if saved.get("mode") == "restart" and not running:
        state = "restart mode"
    watchdog = ""
    if node.version.fencing_line:
        watchdog = ", watchdog active" if live is not None and live.ha.armed else ", watchdog standby"
        if node.ha.disarmed:
            state, watchdog = "disarm mode", ", watchdog released"
    if now - moment > DEAD_AFTER:
        state, watchdog = "old timestamp - dead?", ""
    return f"lrm {name} ({state}{watchdog}, {stamp(moment)})\n"


TABLE: Table = {
    "pvecm": pvecm,
    "pmxcfs": pmxcfs,
    "corosync-quorumtool": quorumtool,
    "corosync-cfgtool": cfgtool,
    "corosync-cmapctl": cmapctl,
    "pveversion": pveversion,
    "dpkg-query": dpkg_query,
    "ha-manager": ha_manager,
}
