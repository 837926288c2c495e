"""Who is a member: what keeps one out although the network is in order, and is mended in one line (key,
configuration, votes); who was renamed; and whether those whom the operator says to be powered off are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum

from msgspec import Struct

from pve_runbook.facts import network as network_facts
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.corosync_conf import CorosyncConf
from pve_runbook.parsers.output import Skipped
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import known


class Fault(StrEnum):
    """What can be wrong; the value is its id."""

    AUTHKEY_LOST = "authkey-lost"
    CONFIG_OLDER = "config-older"
    CONFIG_UNREADABLE = "config-unreadable"
    VOTES_EDITED = "votes-edited"


class Outsider(Struct, frozen=True):
    """One thing that keeps a node, or all of them, from quorum; `evidence` says what was seen."""

    fault: Fault
    nodes: tuple[str, ...]
    evidence: str


def outsiders(everyone: Sequence[NodeFacts]) -> tuple[Outsider, ...]:
    """Every such fault of the members. Raises UnknownFact."""
    return (*_unreadable(everyone), *_keys(everyone), *_configurations(everyone), *_votes(everyone))


def _unreadable(everyone: Sequence[NodeFacts]) -> Iterator[Outsider]:
    """Nodes on which corosync does not run, and would not start with the file that it reads."""
    where: dict[Skipped, list[str]] = {}
    for facts in everyone:
        conf = _read_by_corosync(facts)
        if conf is not None and conf.faults and not facts.is_corosync_running:
            where.setdefault(conf.faults[0], []).append(facts.node)
    for fault, nodes in where.items():
        place = f"/etc/corosync/corosync.conf, line {fault.line}: {fault.why}"
        evidence = f"{', '.join(nodes)}: corosync does not start with {place}"
        yield Outsider(Fault.CONFIG_UNREADABLE, tuple(nodes), evidence)


def _keys(everyone: Sequence[NodeFacts]) -> Iterator[Outsider]:
    """Nodes without a key, or with another one than most; where all have lost it there is nothing to copy."""
    keys = {facts.node: facts.authkey for facts in everyone}
    common = [key for key, _ in Counter(k for k in keys.values() if k is not None).most_common(1)]
    for node, key in keys.items() if common else ():
        if key != common[0]:
            what = "another /etc/corosync/authkey than the others" if key else "no /etc/corosync/authkey"
            yield Outsider(Fault.AUTHKEY_LOST, (node,), f"{node} has {what}")


def _configurations(everyone: Sequence[NodeFacts]) -> Iterator[Outsider]:
    """Nodes whose corosync would read an older configuration than a peer's: it exits at its first contact with them
    (corosync exec/cmap.c)."""
    confs = {facts.node: _read_by_corosync(facts) for facts in everyone}
    read = {node: conf for node, conf in confs.items() if conf is None or not conf.faults}
    newest = max((c.config_version for c in read.values() if c is not None), default=0)
    for node, conf in read.items():
        if conf is not None and conf.config_version < newest:
            evidence = f"{node}'s corosync.conf has config_version {conf.config_version}, the newest is {newest}"
            yield Outsider(Fault.CONFIG_OLDER, (node,), evidence)


def _read_by_corosync(facts: NodeFacts) -> CorosyncConf | None:
    return facts.get(probes.ETC_COROSYNC_CONF)


def _votes(everyone: Sequence[NodeFacts]) -> Iterator[Outsider]:
    """Nodes without quorum that see more than half of the members: with one vote each they would have it."""
    found = {}
    for facts in everyone:
        quorum, conf = facts.quorum, _read_by_corosync(facts)
        if quorum is None or conf is None or conf.faults or quorum.quorate or conf.qdevice:
            continue
        if 2 * len(quorum.members) > len(conf.nodes):
            found[facts.node] = (
                f"{len(quorum.members)} of {len(conf.nodes)} members see each other and have {quorum.total} of "
                f"{quorum.expected} expected votes, {quorum.quorum} are needed"
            )
    if found:
        yield Outsider(Fault.VOTES_EDITED, tuple(found), next(iter(found.values())))


def old_name(facts: NodeFacts) -> str | None:
    """The name that the nodelist has for a member which calls itself otherwise; None where it has its own, where it is
    no member any more, or where that is not known."""
    entry = known(lambda: network_facts.own_entry(facts) if facts.has_corosync_conf_in_database else None)
    return entry.name if entry is not None and entry.name != facts.hostname else None


def seen_alive(facts: NodeFacts, names: Collection[str]) -> tuple[str, ...]:
    """Those of ``names`` that this node sees alive: by corosync's list of votes, or by pmxcfs's list of members.

    Without corosync neither list is kept up to date (pmxcfs keeps its last one), and nobody is seen. Raises
    UnknownFact.
    """
    quorum = facts.quorum
    conf = facts.corosync_conf if quorum is not None and names else None
    if quorum is None or conf is None:
        return ()
    votes = {member.nodeid for member in quorum.members}
    listed = facts.members.nodes if facts.members is not None else None
    online = {name for name, member in (listed or {}).items() if member.online}
    return tuple(n.name for n in conf.nodes if n.name in names and (n.nodeid in votes or n.name in online))
