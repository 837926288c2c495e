"""The parts of one node of a twin: names, network, storages, guests, tasks, high availability."""

from __future__ import annotations

import json
import math
from pathlib import PurePosixPath

from pve_runbook.facts_file.gaps import flaps
from pve_runbook.facts_file.model import NO_ANSWER, NodePortrait, Wiring
from pve_runbook.parsers.network_files import DHCP

from pve_lab.formats.guest_config import GuestConfig
from pve_lab.model.cluster import Cluster
from pve_lab.model.network import HostRoute, Interface, Route
from pve_lab.model.node import Node
from pve_lab.model.storage import Mount

LOCK = "/var/lib/pve-runbook/lock"
TWIN_OF = "twin-of-"
"""Stands before the id of a run that holds a node: its record and its key are not to be touched from the twin."""
ROOT_KIB = 98_497_780
GUEST_AGE = 5000.0


def address_of(known: NodePortrait) -> str:
    """The node's own address, by its own name."""
    return next((a for a in known.names.get(known.hostname, ()) if not a.startswith("127.") and ":" not in a), "")


def name_service(node: Node, known: NodePortrait, *, at_start: bool = False) -> None:
    """/etc/hosts, as names resolve; at the start of the daemons the node's own name leads to its own address."""
    lines = [f"{node.address} {node.name}\n"] if at_start else []
    lines += [f"{address} {name}\n" for name, addresses in known.names.items() for address in addresses]
    node.files.put("/etc/hosts", "".join(lines))


# -- network -------------------------------------------------------------------------------------


def network(node: Node, known: NodePortrait) -> None:
    """Interfaces, default routes, filters, and the files that name gateways."""
    wiring = known.wiring
    if wiring is None:
        mac = "36:15:be:d7:77:01"
        node.interfaces = [
            Interface(2, "eno1", mac, master="vmbr0"),
            Interface(3, "vmbr0", mac, kind="bridge", address=node.address),
        ]
        node.files.put("/etc/network/interfaces", "auto lo\niface lo inet loopback\n")
        return
    cards = {c.name for c in wiring.cards}
    ports = {c.master for c in wiring.cards} | {c.link for c in wiring.cards}
    node.interfaces = []
    for number, card in enumerate(wiring.cards):
        address, _, prefix = next((a for a in card.addresses if ":" not in a), "").partition("/")
        node.interfaces.append(
            Interface(
                number + 2,
                card.name,
                f"36:15:be:d7:77:{number + 1:02x}",
                card.mtu,
                card.kind,
                card.master if card.master in cards else "",
                address,
                int(prefix or 24),
                card.link if card.link in cards else "",
                card.vlan,
                card.up or card.name in ports,
                card.errors,
                card.bond_mode,
            )
        )
    addressed = {i.name for i in node.interfaces if i.address}
    node.default_routes = [Route(r.gateway, r.device, r.metric) for r in wiring.routes if r.device in addressed]
    node.host_routes = [HostRoute(w.address, w.gateway, w.device, w.protocol) for w in wiring.ways]
    node.filter_rules = wiring.filters
    node.nft_tables = (tuple(json.loads(entry) for entry in wiring.nft),)
    node.files.put("/etc/nsswitch.conf", f"hosts: {' '.join(wiring.nsswitch)}\n")
    _gateway_files(node, wiring)


def _gateway_files(node: Node, wiring: Wiring) -> None:
    files = {"/etc/network/interfaces": "auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n"}
    for route in wiring.in_files:
        family = "inet6" if ":" in route.gateway else "inet"
        metric = f"\tmetric {route.metric}\n" if route.metric is not None else ""
        how = f"static\n\tgateway {route.gateway}" if route.gateway != DHCP else DHCP
        stanza = f"\nauto {route.device}\niface {route.device} {family} {how}\n{metric}"
        files[route.file] = files.get(route.file, "") + stanza
    for path, text in files.items():
        node.files.put(path, text)


# -- storages ------------------------------------------------------------------------------------


def storages(node: Node, known: NodePortrait) -> None:
    """Mounts, volumes and pools."""
    table = node.storages
    table.mounts = [Mount("/", "/dev/mapper/pve-root", "ext4", "rw,relatime", ROOT_KIB, ROOT_KIB // 6)]
    for target, state in sorted(known.mounts.items()):
        mode = "rw,relatime" if state.writable else "ro,relatime"
        total = 0 if state.free is None else max(ROOT_KIB, state.free)
        mount = Mount(target, f"twin:{target}", state.fstype, mode, total, total - (state.free or 0))
        table.mounts = [m for m in table.mounts if m.target != target] + [mount]
        node.files.make_directories(target)
    table.inactive = set(known.inactive)
    table.groups = dict(known.volume_groups)
    table.logical_volumes = list(known.logical_volumes)
    table.volume_attributes = {
        name: (volume.attributes, _percent(volume.data), _percent(volume.metadata))
        for name, volume in known.logical_volumes.items()
    }
    table.datasets = list(known.datasets)
    table.pools = dict(known.pools)
    for path, names in known.storages.items():
        if any(m.target == path for m in table.mounts) or names:
            node.files.make_directories(f"{path}/images")
        for name in sorted(names):
            within = any(other.startswith(f"{name}/") for other in names)
            if within or PurePosixPath(name).name == name:
                node.files.make_directories(f"{path}/images/{name}")
            else:
                node.files.put(f"{path}/images/{name}", b"\0" * 64)
    _directories(node, known)
    table.images = {storage: list(names) for storage, names in known.images.items()}
    table.sessions = list(known.sessions)


def _directories(node: Node, known: NodePortrait) -> None:
    """Those of a name of their own: content-dirs, and ISO files."""
    for path, names in known.directories.items():
        node.files.make_directories(path)
        for name in sorted(names):
            if any(other.startswith(f"{name}/") for other in names):
                node.files.make_directories(f"{path}/{name}")
            else:
                node.files.put(f"{path}/{name}", b"\0" * 64)


def ceph(node: Node, known: NodePortrait) -> None:
    """A monitor, where a storage lies on Ceph and it answered."""
    if known.ceph:
        node.storages.ceph_health = known.ceph
        node.processes.spawn("ceph-mon", ("/usr/bin/ceph-mon", "-f", "--id", node.name), age=GUEST_AGE)


def hanging(node: Node, known: NodePortrait) -> None:
    """Mounts on which no look returns."""
    for probe, why in known.unknown.items():
        name, _, path = probe.partition(":")
        if name == "files" and why == NO_ANSWER:
            node.files.hung.add(path)
        elif name == "rbd" and why == NO_ANSWER:
            node.storages.pools_silent_until = math.inf
        elif name == "rbd":
            node.storages.pools_refuse = True


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


# -- guests and tasks ----------------------------------------------------------------------------


def guests(node: Node, known: NodePortrait) -> None:
    """The processes of the guests that run, and what holds them up."""
    configs = {c.vmid: c for c in node.guests.configs()}
    for process in known.guests:
        stray = GuestConfig(process.vmid, process.kind, node.name, "")
        config = configs.get(process.vmid, stray)
        for volume in process.held or ():
            if node.storages.is_a_name(volume) and not node.storages.volume_exists(volume):
                node.storages.add_volume(volume)  # no listing shows it
        age = GUEST_AGE - process.vmid % 100
        node.guests.spawn(config, age=age, incoming=process.incoming, held=process.held)
    node.guests.qmp_status.update(known.standing)


def tasks(node: Node, known: NodePortrait) -> None:
    """Workers that live, but for the start of all guests, which begins with its unit."""
    for kind, ident in known.tasks:
        if kind != "startall":
            node.tasks.begin(kind, ident)


def has_backup_jobs(node: Node) -> bool:
    """Whether a backup would start by itself."""
    database = node.pmxcfs.database
    return "vzdump:" in database.text("jobs.cfg") or " vzdump" in database.text("vzdump.cron")


# -- what runs left, and high availability -------------------------------------------------------


def traces(node: Node, known: NodePortrait, public_key: str) -> None:
    """Keys of a second way in, cron's files, a lock. Where root's own keys are out of reach, the login's is there."""
    keys = [f"ssh-ed25519 TWIN{i} somebody\n" for i in range(known.second_keys)]
    if not node.pmxcfs.mounted or known.pmxcfs.answers != "yes":
        keys = [f"{public_key}\n", *keys[1:]]
    if keys:
        node.files.put("/root/.ssh/authorized_keys2", "".join(keys), 0o600)
    for name in known.cron:
        if not node.files.lexists(f"/etc/cron.d/{name}"):
            node.files.put(f"/etc/cron.d/{name}", "")
    for name in node.files.names("/etc/cron.d"):
        if name not in known.cron:
            node.files.discard(f"/etc/cron.d/{name}")
    if known.held is not None:
        text = f"run={TWIN_OF}{known.held.run};by=somebody;since={known.held.since};record="
        node.files.put_link(text, LOCK)


def high_availability(node: Node, known: NodePortrait) -> None:
    """Who feeds the watchdog. Without quorum the time until it bites begins now: since when it runs nobody asked."""
    ha = node.ha
    active = ha.lrm_status(node.name).get("state") == "active" and node.units.get("pve-ha-lrm").is_active
    master = ha.manager_status().get("master_node") == node.name and node.units.get("pve-ha-crm").is_active
    if not known.watchdog:
        return
    if ha.resources() and (active or master):
        ha.armed, ha.is_master = active, master
    else:
        ha.stray_client = "watchdog-client"
        node.processes.spawn("watchdog-client", ("watchdog-client",))
    ha.update_marker()
    if not node.pmxcfs.quorate:
        ha.quorum_lost()


def flapping(cluster: Cluster, nodes: list[NodePortrait]) -> None:
    """Let the cluster's link come and go as it did of late, beginning with what it does now."""
    spans = [s for n in nodes if (s := flaps(n.past)) is not None]
    if not spans:
        return
    held, gone = (sorted(s[i] for s in spans)[len(spans) // 2] for i in (0, 1))

    def down() -> None:
        cluster.isolate()
        cluster.clock.after(gone, up)

    def up() -> None:
        cluster.heal()
        cluster.clock.after(held, down)

    whole = any(n.membership is not None and len(n.membership.members) > 1 for n in nodes)
    cluster.clock.after(held / 2 if whole else gone / 2, down if whole else up)
