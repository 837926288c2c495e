"""What a twin cannot know better, said of a portrait: what was not answered, not asked, or has no model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from pve_runbook.facts_file.model import NodePortrait, Past, Portrait, plain
from pve_runbook.parsers.corosync_conf import parse_corosync_conf_text
from pve_runbook.parsers.corosync_log import Kind

MODELLED = {"7": "7.0-11", "8": "8.3.0", "9": "9.1.10"}
"""Major version → the release whose behaviour the lab has."""
CARDS = ("", "bridge", "vlan", "bond")
LISTED = (
    *("dir", "btrfs", "nfs", "cifs", "cephfs", "glusterfs", "lvm", "lvmthin", "zfspool", "rbd", "iscsi"),
    *("pbs", "esxi"),  # hold no guest's disk
)
ALWAYS = (
    "keys, passwords and certificates: the twin has made its own",
    "whether storages are active: to ask may mount them; what is mounted is taken for active",
    "what happens while the run lasts: links, power, other hands; commands take the time they took on recorded nodes",
)
"""Never asked, of no node."""
RECENT = 300.0
"""Seconds back in which a link that comes and goes has done so."""
FLAPS = 2
"""How often at least it held, and was gone."""
_TURNS = (Kind.QUORUM_LOST, Kind.QUORUM_GAINED)
_STORAGE = re.compile(r"(?m)^(?P<type>[a-z]+): (?P<id>\S+)$")
_ASIDE = ("taken", "left_out", "tool")


def limits(portrait: Portrait) -> list[str]:
    """One line each, the particular ones first."""
    found = [f"{node.name}: {text}" for node in portrait.nodes for text in _of_node(portrait, node)]
    found += [f"{name}: {text}" for name, text in _not_read(portrait).items()]
    if portrait.left_out:
        what = f"what was left out of {len(portrait.left_out)} configuration files, as it may be secret"
        found.append(f"{what}: {', '.join(portrait.left_out[:3])}{' …' if len(portrait.left_out) > 3 else ''}")
    return [*found, *ALWAYS]


def _of_node(portrait: Portrait, node: NodePortrait) -> Iterator[str]:
    silent: dict[str, list[str]] = {}
    for probe, why in node.unknown.items():
        silent.setdefault(why, []).append(probe)
    for why, probes in silent.items():
        yield f"{', '.join(probes)}: {why}"
    if node.database is None:
        yield "its database could not be read: the newest of the other nodes stands in for it"
    major = node.version.partition(".")[0]
    if node.version != MODELLED.get(major):
        yield f"Proxmox VE {node.version or 'of an unknown version'}; the twin acts like {MODELLED.get(major, '8.3.0')}"
    yield from _of_cluster(portrait, node)
    yield from _of_network(node)
    for storage, kind in _storages(portrait, node):
        if kind not in LISTED:
            yield f"storage {storage} ({kind}): no listing shows its volumes"
    for storage in node.inactive:
        yield f"storage {storage} is mounted nowhere: it is taken for inactive"


def _of_cluster(portrait: Portrait, node: NodePortrait) -> Iterator[str]:
    members = node.membership
    in_database = portrait.text_of(node, "corosync.conf")
    if node.corosync_runs and node.corosync_conf not in (None, in_database) and in_database is not None:
        yield "which of its two corosync.conf corosync was started with: taken is the database's"
    if node.corosync_runs and members is None:
        yield "whom its corosync sees: taken is what the others say of it"
    if not node.corosync_runs and in_database is not None:
        yield "whether its cluster link would carry: its corosync does not run"
    if node.watchdog and members is not None and len(members.members) < members.quorum:
        yield "when its watchdog bites: the time is counted from the start of the twin"
    if (rhythm := flaps(node.past)) is not None:
        yield f"when its link comes and goes: it holds {rhythm[0]:.0f} s and is down {rhythm[1]:.0f} s, as of late"
    if node.own_units:
        yield f"what goes on in {', '.join(node.own_units)}, and when it ends"
    if node.tasks:
        yield f"when its tasks end: {', '.join(kind for kind, _ in node.tasks)}"
    if node.held is not None:
        yield f"what the run {node.held.run} that holds it has left: the twin has its lock alone"


def _of_network(node: NodePortrait) -> Iterator[str]:
    if node.wiring is None:
        yield "how it is wired: one bridge is taken for everything"
        return
    for card in node.wiring.cards:
        if card.kind not in CARDS:
            yield f"{card.name} ({card.kind}): taken for a plain card"
        if len([a for a in card.addresses if ":" not in a]) > 1 or any(":" in a for a in card.addresses):
            yield f"{card.name}: its first address of IPv4 alone ({', '.join(card.addresses)})"
    if node.wiring.others:
        yield f"{node.wiring.others} routes behind gateways that are no default route"


def _storages(portrait: Portrait, node: NodePortrait) -> list[tuple[str, str]]:
    text = portrait.text_of(node, "storage.cfg") or ""
    return [(m["id"], m["type"]) for m in _STORAGE.finditer(text)]


def _not_read(portrait: Portrait) -> dict[str, str]:
    """Members that were not among the nodes."""
    known = {n.hostname for n in portrait.nodes}
    found = {}
    for node in portrait.nodes:
        text = portrait.text_of(node, "corosync.conf") or node.corosync_conf
        members = parse_corosync_conf_text(text).nodes if text is not None else ()
        for member in members:
            if member.name not in known:
                found[member.name] = "nothing but what the others see of it: it was not read"
    return found


def flaps(past: Past | None) -> tuple[float, float] | None:
    """Seconds that quorum held and was gone, where it came and went again and again until now; else None."""
    turns = [m for m in past.moments if m.kind in _TURNS and m.ago < RECENT] if past is not None else []
    held: list[float] = []
    gone: list[float] = []
    for earlier, later in pairwise(turns):
        (held if earlier.kind is Kind.QUORUM_GAINED else gone).append(earlier.ago - later.ago)
    return (median(held), median(gone)) if len(held) >= FLAPS and len(gone) >= FLAPS else None


def differences(wanted: Portrait, built: Portrait) -> list[str]:
    """Where a twin, read with the same probes, is not what it was built from: one line each."""
    return list(_differ(plain(wanted), plain(built), ""))


def _differ(one: object, other: object, where: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            if where or key not in _ASIDE:
                yield from _differ(one.get(key), other.get(key), f"{where}.{key}" if where else key)
    elif isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _differ(a, b, f"{where}[{_name(a, number)}]")
    elif _is_soon(where, one, other) or (where.endswith(".held") and one is None):
        return
    elif one != other:
        yield f"{where}: {_short(one)}, in the twin {_short(other)}"


def _is_soon(where: str, one: object, other: object) -> bool:
    """Whether two moments are apart by no more than the time it takes to ask, which is long where a node hangs."""
    bound = {"clock": 1, "ago": 1800}.get(where.rpartition(".")[2])
    return (
        bound is not None
        and isinstance(one, int | float)
        and isinstance(other, int | float)
        and (abs(one - other) <= bound)
    )


def _name(item: object, number: int) -> object:
    return item.get("name", number) if isinstance(item, dict) else number


def _short(value: object) -> str:
    if value is None:
        return "nothing"
    return str(list(value) if isinstance(value, tuple) else value)[:60]
