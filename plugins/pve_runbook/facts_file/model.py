"""What the probes said of a cluster at one moment, as a file: enough to build its twin, and nothing secret.

The file is JSON: ``{"format": "pve-runbook facts", "version": 1, ...}`` and then the fields of :class:`Portrait`, as
the classes below name them; a field that has its default is left out. None stands for unknown, and ``unknown`` of
the node says why.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal, cast

from msgspec import Struct, ValidationError, convert, field, to_builtins

from pve_runbook.parsers.corosync_log import Kind, Sign

FORMAT = "pve-runbook facts"
VERSION = 1
NO_ANSWER = "no answer in time"
NOT_SERVED = "nobody serves the file system"
NOT_READ = "no answer that could be read"
"""The kinds of silence."""
TEXTS = ("files", "corosync_conf")
"""Fields that hold whole files."""
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9-]{1,63}){0,8}")
_UPWARDS = re.compile(r"(?:^|/)\.\.(?:/|$)")


class NoPortrait(ValueError):
    """The text is not a file of facts that this version reads; one line."""


class Part(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Of a portrait: what it does not name is refused, not passed over."""


class UnitState(Part, frozen=True):
    """One systemd unit. ``file_state`` as ``systemctl is-enabled`` says it, ``job`` is the state of its queued job."""

    active: str
    sub: str
    file_state: str
    result: str = "success"
    exec_status: int = 0
    job: str = ""


class Membership(Part, frozen=True):
    """Votes as the node's corosync counts them; ``members`` are nodeids, ``device`` a QDevice's votes here."""

    expected: int
    quorum: int
    members: tuple[int, ...]
    device: int | None = None


class Database(Part, frozen=True):
    """config.db: its newest version, that one's time (Unix seconds) and writer, and its files. ``files`` is path →
    number of the variant in :attr:`Portrait.files`."""

    version: int
    mtime: int
    writer: int
    files: dict[str, int]


class Pmxcfs(Part, frozen=True):
    """``commands``: every pmxcfs that lives, as command lines. ``listed``: the members that it has exchanged its state
    with since its start, None where it never reached corosync."""

    commands: tuple[str, ...]
    mounts: int
    answers: Literal["yes", "hangs", "stale", "unmounted"]
    listed: tuple[str, ...] | None = None


class GuestProcess(Part, frozen=True):
    """A guest that runs; ``incoming``: it waits for a migration to this node. ``held``: the volumes that its process
    has open, None where nothing told it."""

    vmid: int
    kind: Literal["qemu", "lxc"]
    incoming: bool = False
    held: tuple[str, ...] | None = None


class MountState(Part, frozen=True):
    """One file system; ``free`` in KiB, None where it was not asked."""

    fstype: str
    writable: bool
    free: int | None = None


class LogicalVolume(Part, frozen=True):
    """A volume of LVM: its attributes as lvs shows them, and how full a thin one is, in percent."""

    attributes: str
    data: float | None = None
    metadata: float | None = None


class Card(Part, frozen=True):
    """A network device that is no guest's; ``addresses`` with their prefix, e.g. 10.0.0.1/24."""

    name: str
    mtu: int
    up: bool
    kind: str = ""
    master: str = ""
    link: str = ""
    vlan: int = 0
    errors: int = 0
    addresses: tuple[str, ...] = ()
    bond_mode: str = ""


class DefaultRoute(Part, frozen=True):
    """A default route, of the kernel or of a file."""

    gateway: str
    device: str
    metric: int | None = None
    file: str = ""


class Way(Part, frozen=True):
    """A route to one address, over a neighbour; ``protocol`` is who made it."""

    address: str
    gateway: str
    device: str
    protocol: str = ""


class Wiring(Part, frozen=True):
    """``filters`` as iptables-save words them, without comments; ``nft`` the other rules, as ``nft -j`` has them;
    ``others`` counts the routes behind a gateway that are neither default routes nor ``ways``."""

    cards: tuple[Card, ...]
    routes: tuple[DefaultRoute, ...]
    in_files: tuple[DefaultRoute, ...] = ()
    nsswitch: tuple[str, ...] = ("files", "dns")
    filters: tuple[str, ...] = ()
    nft: tuple[str, ...] = ()
    ways: tuple[Way, ...] = ()
    others: int = 0


class Moment(Part, frozen=True):
    """One line of corosync's log: how many seconds ``ago``, and what :class:`~pve_runbook.parsers.corosync_log.Event`
    says of it."""

    ago: float
    kind: Kind
    hosts: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    link: int = 0
    milliseconds: float = 0.0


class Told(Part, frozen=True):
    """What a line said of the reason, how many seconds ``ago``: see
    :class:`~pve_runbook.parsers.corosync_log.Symptom`."""

    ago: float
    sign: Sign
    what: str = ""


class Past(Part, frozen=True):
    """corosync's log of the last ``seconds``, the oldest first; ``whole`` is False where older moments were left out,
    ``reaches`` where the journal is no older than that. ``told``: what corosync, pmxcfs and the kernel said of the
    reason."""

    seconds: int
    moments: tuple[Moment, ...]
    whole: bool = True
    reaches: bool = True
    told: tuple[Told, ...] = ()


class HeldBy(Part, frozen=True):
    """The lock of a run on the node."""

    run: str
    since: str


class NodePortrait(Part, frozen=True):
    """One node. ``name`` as it was given in --hosts, ``clock`` in seconds that it is ahead of the slowest,
    ``authkey`` a word: the same for the same key. ``bound``: link → the address that corosync listens on.
    ``storages``: path of a storage of files → names below images/ and private/; ``directories``: the same of other
    directories; ``inactive``: storages that are mounted nowhere though they should be. ``images``: storage whose
    volumes are names alone → the names; ``sessions``: targets of iSCSI; ``ceph_files``: which keys of pools there are.
    ``ha_manager``: the version of pve-ha-manager, where the watchdog is held.
    ``ceph``: its health, where a storage lies on it. ``latency``: microseconds there and back on the cluster's links;
    ``dead_links``: the links that carry to no peer though corosync runs."""

    name: str
    hostname: str
    version: str
    clock: int
    names: dict[str, tuple[str, ...]]
    units: dict[str, UnitState]
    pmxcfs: Pmxcfs
    database: Database | None
    membership: Membership | None = None
    own_units: tuple[str, ...] = ()
    corosync_runs: bool = False
    bound: dict[int, str] = field(default_factory=dict)
    corosync_conf: str | None = None
    corosync_files: tuple[str, ...] | None = None
    ring_files: tuple[str, ...] | None = None
    authkey: str = ""
    database_files: tuple[str, ...] = ()
    second_keys: int = 0
    watchdog: bool = False
    ha_manager: str = ""
    cron: tuple[str, ...] = ()
    tasks: tuple[tuple[str, str], ...] = ()
    guests: tuple[GuestProcess, ...] = ()
    standing: dict[int, str] = field(default_factory=dict)
    volume_groups: dict[str, str] = field(default_factory=dict)
    logical_volumes: dict[str, LogicalVolume] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    pools: dict[str, str] = field(default_factory=dict)
    storages: dict[str, tuple[str, ...]] = field(default_factory=dict)
    mounts: dict[str, MountState] = field(default_factory=dict)
    inactive: tuple[str, ...] = ()
    directories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sessions: tuple[str, ...] = ()
    ceph_files: tuple[str, ...] = ()
    wiring: Wiring | None = None
    past: Past | None = None
    ceph: str = ""
    latency: int | None = None
    dead_links: tuple[int, ...] = ()
    held: HeldBy | None = None
    unknown: dict[str, str] = field(default_factory=dict)
    """Probe → what kind of silence stood in place of its fact."""


class Portrait(Part, frozen=True):
    """A cluster. ``taken`` in Unix seconds; ``files``: path below /etc/pve → the variants of its text that the nodes'
    databases have, without what may be secret; ``left_out``: the paths of which something was left out."""

    taken: float
    nodes: tuple[NodePortrait, ...]
    files: dict[str, tuple[str, ...]]
    left_out: tuple[str, ...] = ()
    tool: str = ""

    @property
    def has_a_twin(self) -> bool:
        """Whether there is anything to build one from: a database of at least one node."""
        return any(n.database is not None for n in self.nodes)

    def text_of(self, node: NodePortrait, path: str) -> str | None:
        """A file of the node's database; None if it has none of that path."""
        if node.database is None or path not in node.database.files:
            return None
        return self.files[path][node.database.files[path]]


def plain(portrait: Portrait) -> dict[str, Any]:
    """A portrait as dicts and tuples; a field that has its default is left out."""
    return cast(dict[str, Any], to_builtins(portrait, str_keys=True))


def dump(portrait: Portrait) -> str:
    """The file's text."""
    return json.dumps({"format": FORMAT, "version": VERSION, **plain(portrait)}, indent=1, sort_keys=True) + "\n"


def load(text: str) -> Portrait:
    """Read a file's text. Raises NoPortrait."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise NoPortrait(f"this is no JSON: {error}") from None
    if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
        raise NoPortrait("this is no file of --save-facts")
    if (version := found.pop("version", None)) != VERSION:
        raise NoPortrait(f"its format has version {version!r}; this tool reads {VERSION}")
    _check_strings(found)
    try:
        portrait = convert(found, Portrait, str_keys=True)
    except ValidationError as error:
        raise NoPortrait(str(error)) from None
    _check(portrait)
    return portrait


def _check_strings(value: object) -> None:
    """The file may come from anybody: nothing in it leads out of a folder, or tells a terminal what to do."""
    if isinstance(value, dict):
        for key, content in value.items():
            _check_strings(key)
            if key not in TEXTS:
                _check_strings(content)
    elif isinstance(value, list):
        for content in value:
            _check_strings(content)
    elif isinstance(value, str) and (_UPWARDS.search(value) or not value.isprintable()):
        raise NoPortrait(f"{value[:40]!r} is nothing that a node says")


def is_host_name(name: str) -> bool:
    """Whether a node may be called so."""
    return _HOST_NAME.fullmatch(name) is not None


def _check(portrait: Portrait) -> None:
    names = [n.hostname for n in portrait.nodes]
    if not names or len(set(names)) < len(names) or not all(map(is_host_name, names)):
        raise NoPortrait("it names no node, one of them twice, or one by what is no host name")
    for node in portrait.nodes:
        for path, variant in (node.database.files if node.database is not None else {}).items():
            if variant >= len(portrait.files.get(path, ())) or variant < 0:
                raise NoPortrait(f"{node.hostname}: its database has a variant of {path} that is not there")
