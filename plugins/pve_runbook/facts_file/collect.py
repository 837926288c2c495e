"""What the probes of all nodes said, as a portrait: from facts to what may be told of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pve_runbook.facts import ha
from pve_runbook.facts.guests import STANDS_STILL
from pve_runbook.facts.network import addresses_of, is_address, is_guest_port
from pve_runbook.facts.node import NodeFacts
from pve_runbook.facts_file.model import (
    NO_ANSWER,
    NOT_READ,
    NOT_SERVED,
    Card,
    Database,
    DefaultRoute,
    GuestProcess,
    HeldBy,
    LogicalVolume,
    Membership,
    Moment,
    MountState,
    NodePortrait,
    Past,
    Pmxcfs,
    Portrait,
    Told,
    UnitState,
    Way,
    Wiring,
)
from pve_runbook.facts_file.rules import nft_objects
from pve_runbook.parsers.allowed_keys import corosync, is_path, scrub
from pve_runbook.parsers.corosync_log import CorosyncLog
from pve_runbook.parsers.output import NotConnected, TimedOut
from pve_runbook.parsers.storage import NETWORK_TYPES
from pve_runbook.probes import checks_only, per_subject
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import Missing, known

_SILENCE = ((TimedOut, NO_ANSWER), (NotConnected, NOT_SERVED))
_WORD = re.compile(r"[A-Za-z0-9_.,:/+-]+")
"""Names of hosts, units, volumes and paths as they may be told."""
_IMAGE = re.compile(r"[\w.+-]+(?:/[\w.+-]+)?")
_RULE_WORD = re.compile(r"[A-Za-z0-9_.:,/+!*-]+")
FIRST_PORT = 5405
"""Of corosync's link 0; link N has the N-th after it (corosync.conf(5), mcastport)."""
MOST_MOMENTS = 2000
"""How much of corosync's log is kept: about a day of a link that flaps every 38 s (recorded)."""


def portray(everyone: Sequence[NodeFacts], tool: str) -> Portrait:
    """The portrait of the nodes, whose facts hold every group of :data:`CHECKED`; one that did not even say its name is
    left out, as a member that was not read."""
    everyone = [f for f in everyone if known(lambda f=f: f.hostname) is not None]  # type: ignore[misc]
    book = _Book()
    slowest = min((c for f in everyone if (c := known(lambda f=f: f.clock_offset)) is not None), default=0.0)  # type: ignore[misc]
    nodes = tuple(_Painter(facts, book, slowest).node() for facts in everyone)
    return Portrait(
        taken=min((f.asked for f in everyone), default=0.0),
        nodes=nodes,
        files={path: tuple(_told(path, data) for data in variants) for path, variants in sorted(book.files.items())},
        left_out=tuple(sorted(p for p, v in book.files.items() if any(_told(p, d).encode() != d for d in v))),
        tool=tool,
    )


def _told(path: str, data: bytes) -> str:
    return scrub(path, data.decode(errors="replace"))


def _told_of(names: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(name for name in names or () if _WORD.fullmatch(name))


def _told_or_none(names: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if names is None else _told_of(names)


class _Book:
    """The variants of every file, and the letters of the keys, over all nodes."""

    def __init__(self) -> None:
        self.files: dict[str, list[bytes]] = {}
        self.keys: dict[str, str] = {}

    def variant(self, path: str, data: bytes) -> int:
        variants = self.files.setdefault(path, [])
        if data not in variants:
            variants.append(data)
        return variants.index(data)

    def letter(self, digest: str | None) -> str:
        return "" if digest is None else self.keys.setdefault(digest, f"key {len(self.keys) + 1}")


class _Painter:
    """One node's facts, one by one."""

    def __init__(self, facts: NodeFacts, book: _Book, slowest: float) -> None:
        self.facts = facts
        self.book = book
        self.slowest = slowest

    def node(self) -> NodePortrait:
        """The node. What is unknown is empty, and named in ``unknown``."""
        facts = self.facts
        version = known(lambda: facts.version)
        directories = known(lambda: facts.get(probes.COROSYNC_DIRS)) or {}
        conf = known(lambda: facts.get(probes.ETC_COROSYNC_CONF))
        processes = known(lambda: facts.get(probes.GUEST_PROCESSES)) or {}
        held = {v: _told_of(names) for v, names in (known(lambda: facts.volumes_held) or {}).items()}
        lock = known(lambda: facts.lock)
        return NodePortrait(
            name=facts.node,
            hostname=facts.hostname,
            version=version.full if version is not None else "",
            clock=round((known(lambda: facts.clock_offset) or self.slowest) - self.slowest),
            names=self._names(),
            units=self._units(),
            pmxcfs=self._pmxcfs(),
            database=self._database(),
            membership=self._membership(),
            own_units=_told_of(known(lambda: facts.our_units)),
            corosync_runs=bool(known(lambda: facts.get(probes.COROSYNC_PROCESS))),
            bound=self._bound(),
            corosync_conf=None if conf is None else corosync(conf.text),
            corosync_files=_told_or_none(directories.get("/etc/corosync")),
            ring_files=_told_or_none(directories.get("/var/lib/corosync")),
            authkey=self.book.letter(known(lambda: facts.authkey)),
            database_files=_told_of(known(lambda: facts.get(probes.DB_DIR))),
            second_keys=len(known(lambda: facts.get(probes.SECOND_KEYS)) or ()),
            watchdog=bool(known(lambda: facts.has_watchdog_client)),
            ha_manager=known(lambda: ".".join(map(str, ha.version(facts) or ()))) or "",
            cron=_told_of(known(lambda: facts.cron_files)),
            tasks=tuple((t.type, t.id if _WORD.fullmatch(t.id) else "") for t in known(lambda: facts.live_tasks) or ()),
            guests=tuple(GuestProcess(v, p.kind, p.incoming, held.get(v)) for v, p in sorted(processes.items())),
            standing={v: g.status for v, g in (known(lambda: facts.listed) or {}).items() if g.status in STANDS_STILL},
            volume_groups=known(lambda: facts.get(checks_only.VGS)) or {},
            logical_volumes={
                f"{vg}/{lv}": LogicalVolume(v.attr, v.data_percent, v.metadata_percent)
                for (vg, lv), v in (known(lambda: facts.get(probes.LVS)) or {}).items()
                if _WORD.fullmatch(vg) and _WORD.fullmatch(lv)
            },
            datasets=_told_of(sorted(known(lambda: facts.get(probes.ZFS)) or ())),
            pools=known(lambda: facts.get(probes.ZPOOLS)) or {},
            storages=self._listings(per_subject.STORAGE_FILES.name),
            directories=self._listings(per_subject.STORAGE_IMAGES.name),
            images=self._images(),
            sessions=_told_of(sorted(known(lambda: facts.get(checks_only.ISCSI_SESSIONS)) or ())),
            ceph_files=_told_of(known(lambda: facts.ceph_files)),
            mounts=self._mounts(),
            inactive=self._inactive(),
            wiring=known(self._wiring),
            past=known(self._past),
            ceph=known(lambda: facts.get(checks_only.CEPH).status) or "",
            latency=known(self._latency),
            dead_links=known(self._dead_links) or (),
            held=None if lock is None else HeldBy(lock.run, re.sub(r"[^0-9TZ:.+-]", "", lock.since)),
            unknown=self._unknown(),
        )

    def _unknown(self) -> dict[str, str]:
        """Which probes gave no fact. Not in the words of the answer: it may hold anything."""
        found = {k: v for k, v in sorted(self.facts.readings.items()) if isinstance(v, Missing)}
        return {
            key if _WORD.fullmatch(key) else key.partition(":")[0]: next(
                (words for kind, words in _SILENCE if issubclass(missing.kind, kind)), NOT_READ
            )
            for key, missing in found.items()
        }

    def _names(self) -> dict[str, tuple[str, ...]]:
        """What /etc/hosts says, and where a name was looked up, what came of it."""
        file = known(lambda: self.facts.get(probes.HOSTS_FILE))
        names = dict(file.names) if file is not None else {}
        prefix = f"{per_subject.NAME.name}:"
        for key, value in self.facts.readings.items():
            if key.startswith(prefix) and isinstance(value, tuple):
                names[key.removeprefix(prefix)] = value
        return {name: value for name, value in names.items() if _WORD.fullmatch(name)}

    def _units(self) -> dict[str, UnitState]:
        jobs = {j.unit: j.state for j in known(lambda: self.facts.jobs) or () if j.type == "start"}
        return {
            name: UnitState(u.active, u.sub, u.file_state, u.result, u.exec_main_status or 0, jobs.get(name, ""))
            for name, u in (known(lambda: self.facts.units) or {}).items()
            if u.exists
        }

    def _pmxcfs(self) -> Pmxcfs:
        facts = self.facts
        mounts = len(known(lambda: facts.pve_mounts) or ())
        members = known(lambda: facts.members)
        nodes = members.nodes if members is not None else None
        return Pmxcfs(
            commands=tuple(" ".join(_told_of(p.args.split())) for p in known(lambda: facts.pmxcfs_processes) or ()),
            mounts=mounts,
            answers=(
                "unmounted"
                if not mounts
                else "hangs"
                if facts.is_missing(probes.PVE_MODE, TimedOut)
                else "stale"
                if facts.is_missing(probes.PVE_MODE, NotConnected)
                else "yes"
            ),
            listed=None if nodes is None else tuple(name for name, node in nodes.items() if node.ip),
        )

    def _database(self) -> Database | None:
        tree = known(lambda: self.facts.tree)
        if tree is None:
            return None
        files = {path: self.book.variant(path, data) for path, data in tree.files.items() if is_path(path)}
        return Database(tree.version, tree.mtime, tree.writer, files)

    def _membership(self) -> Membership | None:
        quorum = known(lambda: self.facts.quorum)
        if quorum is None:
            return None
        members = tuple(m.nodeid for m in quorum.members)
        return Membership(quorum.expected, quorum.quorum, members, quorum.qdevice_votes)

    def _bound(self) -> dict[int, str]:
        sockets = known(lambda: self.facts.get(probes.UDP)) or ()
        return {x.port - FIRST_PORT: x.address for x in sockets if x.process == "corosync" and x.port >= FIRST_PORT}

    def _listings(self, family: str) -> dict[str, tuple[str, ...]]:
        prefix = f"{family}:"
        return {
            key.removeprefix(prefix): tuple(sorted(n for n in value if _IMAGE.fullmatch(n)))
            for key, value in self.facts.readings.items()
            if key.startswith(prefix) and isinstance(value, frozenset) and _WORD.fullmatch(key)
        }

    def _images(self) -> dict[str, tuple[str, ...]]:
        """Of pools all images; of a target the disks that guests name."""
        stores = known(lambda: self.facts.storages) or {}
        guests = (known(lambda: self.facts.guests) or {}).values()
        named = {v.volid.rpartition(".")[2] for g in guests for v in g.volumes}
        found = {}
        for store in stores.values():
            listed = known(lambda s=store: self.facts.listing(s)) if store.type in ("rbd", "iscsi") else None  # type: ignore[misc]
            kept = [n for n in listed or () if store.type == "rbd" or n in named]
            if kept:
                found[store.id] = _told_of(sorted(kept))
        return found

    def _mounts(self) -> dict[str, MountState]:
        """The file systems that storages, backups and the database lie on."""
        facts = self.facts
        free = {f.target: f.available_kib for f in known(lambda: facts.free_space) or ()}
        wanted = {*free, *(s.path for s in (known(lambda: facts.storages) or {}).values() if s.path)}
        for path in list(wanted):
            target = known(lambda p=path: facts.family(per_subject.STORAGE_MOUNT, p))  # type: ignore[misc]
            wanted |= {target.target} if target is not None else set()
        mounts = {m.target: m for m in known(lambda: facts.get(probes.PROC_MOUNTS)) or ()}
        return {
            target: MountState(m.fstype, m.is_writable, free.get(target))
            for target, m in mounts.items()
            if target in wanted and target != "/etc/pve" and _WORD.fullmatch(target)
        }

    def _inactive(self) -> tuple[str, ...]:
        """Storages of the network that are mounted nowhere: `pvesm status` would mount them, and is not asked."""
        facts = self.facts
        mounted = known(lambda: facts.get(probes.PROC_MOUNTS))
        if mounted is None:
            return ()
        targets = {m.target for m in mounted}
        stores = (known(lambda: facts.storages) or {}).values()
        return tuple(s.id for s in stores if s.type in NETWORK_TYPES and s.path and s.path not in targets)

    def _wiring(self) -> Wiring:
        facts = self.facts
        addresses = addresses_of(facts)
        cards = tuple(
            Card(
                link.name,
                link.mtu,
                not link.is_down,
                link.kind or "",
                link.master or "",
                link.link or "",
                link.vlan_id or 0,
                link.errors or 0,
                tuple(f"{a.address}/{a.prefix}" for a in addresses if a.dev == link.name and a.scope == "global"),
                link.bond_mode or "",
            )
            for link in facts.get(probes.LINKS)
            if link.name != "lo" and not is_guest_port(link.name)
        )
        routes = known(lambda: facts.get(probes.ROUTES)) or ()
        kernel = (DefaultRoute(r.gateway, r.dev or "", r.metric) for r in routes if r.dst == "default" and r.gateway)
        lines = known(lambda: facts.get(probes.GATEWAY_LINES)) or ()
        behind = [r for r in routes if r.dst != "default" and r.gateway is not None]
        ways = [
            Way(r.dst, r.gateway or "", r.dev or "", r.protocol or "")
            for r in behind
            if is_address(r.dst) and _WORD.fullmatch(r.protocol or "-")
        ]
        ruleset = known(lambda: facts.get(probes.NFT_RULESET))
        return Wiring(
            cards=cards,
            routes=tuple(kernel),
            in_files=tuple(
                DefaultRoute(g.address, g.iface, g.metric, g.file)
                for g in lines
                if all(map(_WORD.fullmatch, (g.address, g.iface, g.file)))
            ),
            nsswitch=known(lambda: facts.get(probes.NSSWITCH)) or ("files", "dns"),
            filters=tuple(self._filters()),
            nft=tuple(nft_objects(ruleset)) if ruleset is not None else (),
            ways=tuple(ways),
            others=len(behind) - len(ways),
        )

    def _filters(self) -> Iterable[str]:
        """The filter table without comments; a rule with a word of another form than usual is left out whole."""
        found = known(lambda: self.facts.get(probes.PACKET_FILTER))
        for chain in found.chains if found is not None else ():
            yield f":{chain} {found.policies.get(chain, '-') if found is not None else '-'} [0:0]"
        for rules in found.chains.values() if found is not None else ():
            for rule in rules:
                words = list(rule.words)
                for option in ("--comment", "--log-prefix", "--nflog-prefix"):
                    while option in words:
                        del words[(at := words.index(option)) : at + 2]
                if all(_RULE_WORD.fullmatch(word) for word in words):
                    yield " ".join(("-A", rule.chain, *words))

    def _past(self) -> Past | None:
        """The log as it was asked for, with the newest moments."""
        readings = self.facts.readings
        now = self.facts.get(probes.HISTORY_CLOCK)
        prefix, before = f"{per_subject.COROSYNC_LOG.name}:", f"{per_subject.LINE_BEFORE.name}:"
        seconds, log = next((k.removeprefix(prefix), v) for k, v in readings.items() if k.startswith(prefix))
        if not isinstance(log, CorosyncLog):
            return None
        kept = log.events[-MOST_MOMENTS:]
        symptoms = known(lambda: self.facts.family(per_subject.SYMPTOMS, seconds)) or ()
        return Past(
            int(seconds),
            tuple(Moment(round(now - e.time, 2), e.kind, e.hosts, e.left, e.link, e.milliseconds) for e in kept),
            log.whole and len(kept) == len(log.events),
            isinstance(readings.get(f"{before}{seconds}"), float),
            tuple(Told(round(now - s.time, 2), s.sign, s.what) for s in symptoms),
        )

    def _dead_links(self) -> tuple[int, ...]:
        counters = self.facts.get(probes.COUNTERS)
        own = next((m.nodeid for m in self.facts.quorum.members if m.local), 0) if self.facts.quorum is not None else 0
        links = [x for x in counters.links if x.nodeid != own] if counters is not None else []
        alive = {x.link for x in links if x.connected}
        return tuple(sorted({x.link for x in links} - alive))

    def _latency(self) -> int | None:
        counters = self.facts.get(probes.COUNTERS)
        return max((x.latency_ave for x in counters.links), default=None) if counters is not None else None
