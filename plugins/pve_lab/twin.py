"""A twin: a lab that is in the state which the probes found on a real cluster.

The order is that of a boot: databases, pmxcfs, corosync on the links that carried when the facts were taken, the other
units, guests; and last what was changed on the nodes since their daemons started.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace
from pve_runbook.facts_file.model import Membership, NodePortrait, Portrait, UnitState, is_host_name

from pve_lab import twin_node, twin_past
from pve_lab.build import SERVICES_AGE, keys_and_certificates, make_database, system_files
from pve_lab.formats.corosync_conf import CorosyncConf, parse
from pve_lab.model.cluster import Cluster
from pve_lab.model.corosync import AUTHKEY, CONFIG
from pve_lab.model.links import PORT
from pve_lab.model.node import Node
from pve_lab.model.units import COMMITS, Unit, proxmox_units
from pve_lab.model.version import PVE7, PVE8, PVE9, Version

VERSIONS = {"7": PVE7, "8": PVE8, "9": PVE9}
SETTLED = 20.0
"""Seconds that go by once everything runs."""
BY_HAND = ("pve-cluster.service", "corosync.service", "pve-guests.service")
"""Units that are started in an order of their own."""


@dataclass
class _Body:
    """A node of the twin and what is known of it; ``seen`` is False for a member that nobody reached or sees."""

    node: Node
    known: NodePortrait
    seen: bool = True

    @property
    def conf(self) -> CorosyncConf | None:
        """What a corosync that runs here was started with: the database's, unless that has none."""
        return parse(self.conf_text) if self.conf_text is not None else None

    conf_text: str | None = None


def version_of(known: NodePortrait) -> Version:
    """The release nearest to the node's own."""
    nearest = VERSIONS.get(known.version.partition(".")[0], PVE8)
    return dataclasses.replace(
        nearest,
        manager=known.version or nearest.manager,
        ha_manager=known.ha_manager or nearest.ha_manager,
        scheduler="pvesr.timer" not in known.units or "pvescheduler.service" in known.units,
    )


def build_twin(portrait: Portrait, directory: Path, public_key: str) -> Cluster:
    """The twin; whoever holds ``public_key`` may log in to its nodes."""
    known = _with_the_rest(portrait)
    names = [n.hostname for n, _ in known]
    cluster = Cluster(names, directory, portrait.taken, version_of(portrait.nodes[0]))
    bodies = [_Body(cluster.nodes[n.hostname], n, seen) for n, seen in known]
    for body in bodies:
        _conceive(body, portrait, names, public_key)
    cluster.network.partition(_pairs(bodies))
    cluster.network.latency = max((n.latency for n in portrait.nodes if n.latency), default=cluster.network.latency)
    alive = [b for b in bodies if b.seen]
    for body in alive:
        _start_pmxcfs(body)
    for body in alive:
        twin_node.name_service(body.node, body.known)
    for body in alive:
        _start_corosync(body)
    for body in alive:
        _start_units(body)
    for body in alive:
        body.node.journal.backdate(SERVICES_AGE)
        twin_node.guests(body.node, body.known)
        twin_node.tasks(body.node, body.known)
    cluster.clock.advance(SETTLED)
    for body in alive:
        _as_it_is_now(body, public_key)
    for body in bodies:
        if body.seen:
            twin_past.remember(body.node, body.known)
        else:
            body.node.powered = False
    twin_node.flapping(cluster, [b.known for b in alive])
    return cluster


def _with_the_rest(portrait: Portrait) -> list[tuple[NodePortrait, bool]]:
    """The nodes that were read, and for every other member of their corosync.conf a stand-in: with the state of the
    node that sees it, or without power where none does."""
    found = {n.hostname: (n, True) for n in portrait.nodes}
    for node in portrait.nodes:
        text = portrait.text_of(node, "corosync.conf") or node.corosync_conf
        for member in parse(text).members if text is not None else ():
            sees = node.membership is not None and member.nodeid in node.membership.members
            if is_host_name(member.name) and (member.name not in found or (sees and not found[member.name][1])):
                stand_in = replace(
                    node,
                    name=member.name,
                    hostname=member.name,
                    guests=(),
                    tasks=(),
                    standing={},
                    wiring=None,
                    own_units=(),
                    held=None,
                    names={**node.names, member.name: (member.ring0_addr,)},
                )
                found[member.name] = (stand_in, sees)
    return list(found.values())


def _conceive(body: _Body, portrait: Portrait, names: list[str], public_key: str) -> None:
    """The node's disk, before anything runs."""
    node, known = body.node, body.known
    node.version = version_of(known)
    node.skew = known.clock
    units = {u.name: u for u in proxmox_units(scheduler=node.version.scheduler, commits=node.version.commits)}
    asked = {"pvescheduler.service", "pvesr.timer", "corosync-qdevice.service", "pve-firewall.service", *COMMITS}
    node.units.table = {n: u for n, u in units.items() if n not in asked or n in known.units}
    if "corosync-qdevice.service" in known.units:
        argv = ("/usr/sbin/corosync-qdevice", "-f")
        unit = Unit("corosync-qdevice.service", "Corosync Qdevice daemon", argv, ("corosync.service",), sysv=True)
        node.units.table[unit.name] = unit
    node.address = twin_node.address_of(known) or node.address
    system_files(node, public_key)
    twin_node.name_service(node, known, at_start=True)
    twin_node.network(node, known)
    twin_node.storages(node, known)
    node.files.read_only, node.files.space = node.storages.read_only, node.storages.space
    node.processes.spawn("systemd", ("/sbin/init",), pid=1, age=SERVICES_AGE + 25)
    body.conf_text = portrait.text_of(known, "corosync.conf") or known.corosync_conf
    source = known if known.database is not None else _newest(portrait)
    if source is not None and source.database is not None:
        _write_database(node, portrait, source, names, public_key, known.ceph_files)
    if body.conf_text is not None:
        node.files.put(CONFIG, body.conf_text)
        own = parse(body.conf_text).member(node.name)
        rings = [node.resolve(a) or a for a in own.rings.values()] if own is not None else []
        node.rings = rings or [node.address]
        dead = min(known.dead_links, default=None)
        if dead is not None and own is not None and set(known.dead_links) < own.rings.keys():
            node.drops = (PORT + dead, PORT + dead)


def _newest(portrait: Portrait) -> NodePortrait | None:
    """Whose database stands in for one that could not be read."""
    read = [n for n in portrait.nodes if n.database is not None]
    return max(read, key=lambda n: (n.database.version, n.database.mtime) if n.database else (0, 0), default=None)


def _write_database(
    node: Node,
    portrait: Portrait,
    source: NodePortrait,
    names: list[str],
    public_key: str,
    ceph_files: Iterable[str],
) -> None:
    database = source.database
    assert database is not None
    files = keys_and_certificates(names, public_key)
    files.update({f"priv/ceph/{name}": "twin\n" for name in ceph_files})
    for path, variant in database.files.items():
        variants = portrait.files[path]
        # What was left out may have been all the difference: the variants stay different.
        mark = f"# variant {variant + 1} of {len(variants)}\n" if variants.count(variants[variant]) > 1 else ""
        files[path] = mark + variants[variant] if not path.endswith("_status") else variants[variant]
    file = node.files.database_directory / "config.db"
    make_database(file, {p: t.encode() for p, t in sorted(files.items())}, names, database.mtime - 3600)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        # The newest row's version is the next inode's number: it may not be lower than one that is taken.
        connection.execute(
            "UPDATE tree SET version=MAX(?, (SELECT MAX(inode) FROM tree)), mtime=?, writer=? WHERE inode=0",
            (database.version, database.mtime, database.writer),
        )
        connection.commit()


def _pairs(bodies: list[_Body]) -> list[list[str]]:
    """Who hears whom: two nodes of which each has the other in its membership, or one that was not asked."""
    heard: dict[str, set[str]] = {}
    for body in bodies:
        conf, membership = body.conf, body.known.membership
        if conf is not None and membership is not None:
            heard[body.node.name] = {m.name for m in conf.members if m.nodeid in membership.members}
    running = [b.node.name for b in bodies if b.seen and b.known.corosync_runs]
    return [
        [one, other]
        for one in running
        for other in running
        if one != other
        and (other in heard.get(one, ()) or one not in heard)
        and (one in heard.get(other, ()) or other not in heard)
        and (one in heard or other in heard)
    ]


def _start_pmxcfs(body: _Body) -> None:
    node, pmxcfs = body.node, body.known.pmxcfs
    unit = body.known.units.get("pve-cluster.service")
    if not pmxcfs.commands:
        return
    if unit is not None and unit.active == "active" and not pmxcfs.commands[0].endswith("-l"):
        node.units.start_one(node.units.get("pve-cluster"))
    else:
        node.pmxcfs.start(tuple(shlex.split(pmxcfs.commands[0])))


def _start_corosync(body: _Body) -> None:
    """With the votes that were seen: some may have been forced."""
    node, known = body.node, body.known
    if body.conf_text is not None:
        node.files.put(CONFIG, body.conf_text)
    if not known.corosync_runs:
        return
    key = known.authkey or "no key"
    node.files.put(AUTHKEY, (key.encode() * 128)[:128], 0o400)
    node.units.start_one(node.units.get("corosync"))
    if node.corosync.runtime is None:
        return
    if known.bound:
        node.corosync.runtime.bound = dict(known.bound)
    if known.membership is not None:
        _count_votes(node, known.membership)


def _count_votes(node: Node, membership: Membership) -> None:
    runtime = node.corosync.runtime
    if runtime is not None and (runtime.expected_votes, runtime.quorum) != (membership.expected, membership.quorum):
        runtime.expected_votes, runtime.quorum = membership.expected, membership.quorum


def _start_units(body: _Body) -> None:
    node = body.node
    for unit in list(node.units.table.values()):
        state = body.known.units.get(unit.name)
        runs = state is None or state.active == "active"
        if runs and unit.name not in (*BY_HAND, "pvesr.service"):
            node.units.start_one(unit)
    if body.known.membership is not None:
        _count_votes(node, body.known.membership)
        node.quorum_changed()


def _as_it_is_now(body: _Body, public_key: str) -> None:
    """What came after the start of the daemons."""
    node, known = body.node, body.known
    if known.membership is not None:
        _count_votes(node, known.membership)
        node.quorum_changed()
    for unit in node.units.table.values():
        state = known.units.get(unit.name)
        if state is not None:
            _set_unit(node, unit, state)
    for name in known.own_units:
        unit = Unit(name, "pve-runbook", ("/bin/bash",), enablement="transient", active="activating", sub="start")
        node.units.table[name] = unit
    _set_pmxcfs(node, known)
    _set_corosync_files(body)
    twin_node.traces(node, known, public_key)
    twin_node.ceph(node, known)
    twin_node.hanging(node, known)
    twin_node.high_availability(node, known)
    node.scheduler.overdue = not node.pmxcfs.quorate and twin_node.has_backup_jobs(node)


def _set_unit(node: Node, unit: Unit, state: UnitState) -> None:
    if unit.name == "pve-guests.service" and state.active == "activating":
        node.startall = node.tasks.begin("startall", "")
        node.tasks.log(node.startall, "waiting for quorum ...")
    unit.active, unit.sub = state.active, state.sub
    unit.result, unit.exec_status = state.result, state.exec_status
    if state.active in ("inactive", "failed"):
        if unit.main_pid and unit.name not in ("pve-cluster.service", "corosync.service"):
            node.processes.end(unit.main_pid)
        unit.main_pid = 0
    if state.file_state.startswith("masked"):
        unit.masked = state.file_state
        directory = "/run/systemd/system" if state.file_state == "masked-runtime" else "/etc/systemd/system"
        node.files.put_link("/dev/null", f"{directory}/{unit.name}")
    elif state.file_state:
        unit.enablement = state.file_state
    node.units.finish_job(unit)  # what its own boot has queued
    if state.job == "waiting" and unit.name == "pve-guests.service":
        node.queue_guests(unit)
    elif state.job:
        node.units.queue_job(unit, state.job)


def _set_pmxcfs(node: Node, known: NodePortrait) -> None:
    pmxcfs = node.pmxcfs
    pmxcfs.busy_until = 0.0
    if pmxcfs.mounted and known.pmxcfs.listed is not None:
        pmxcfs.corosync_seen = True
        pmxcfs.members_version = max(pmxcfs.members_version, 1)
        pmxcfs.peers_seen.update(known.pmxcfs.listed)
        pmxcfs.database.generation += 1
    node.files.dead_mounts = max(known.pmxcfs.mounts - int(pmxcfs.mounted), 0)
    if known.pmxcfs.answers == "hangs":
        node.files.hung.add("/etc/pve")
    if not pmxcfs.mounted:
        for name in ("config.db-wal", "config.db-shm", ".pmxcfs.lockfile"):
            if name in known.database_files:
                (node.files.database_directory / name).touch()


def _set_corosync_files(body: _Body) -> None:
    """What stands in /etc/corosync and /var/lib/corosync now, whatever corosync was started with."""
    files, known = body.node.files, body.known
    for directory, wanted in (("/etc/corosync", known.corosync_files), ("/var/lib/corosync", known.ring_files)):
        if wanted is None:
            files.discard(directory)
            continue
        for name in _others(files.names(directory), wanted):
            files.discard(f"{directory}/{name}")
        for name in _others(wanted, files.names(directory)):
            files.put(f"{directory}/{name}", b"\x16\0\0\0\0\0\0\0")
    if known.corosync_conf is not None:
        files.put(CONFIG, known.corosync_conf)
    if known.authkey:
        files.put(AUTHKEY, (known.authkey.encode() * 128)[:128], 0o400)


def _others(names: Iterable[str], than: Iterable[str]) -> list[str]:
    return [n for n in names if n not in than]
