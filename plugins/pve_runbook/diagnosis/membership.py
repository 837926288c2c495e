"""What keeps a member out although the network is in order, and is mended in one line: key, configuration, votes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pve_runbook.facts.corosync_conf import CorosyncConf
from pve_runbook.work import probes
from pve_runbook.work.nodefacts import NodeFacts


class Fault(StrEnum):
    """What can be wrong; the value is its id."""

    AUTHKEY_LOST = "authkey-lost"
    CONFIG_OLDER = "config-older"
    VOTES_EDITED = "votes-edited"


@dataclass(frozen=True, slots=True)
class Outsider:
    """One thing that keeps a node, or all of them, from quorum; `evidence` says what was seen."""

    fault: Fault
    nodes: tuple[str, ...]
    evidence: str


def outsiders(everyone: Sequence[NodeFacts]) -> tuple[Outsider, ...]:
    """Every such fault of the members. Raises UnknownFact."""
    return (*_keys(everyone), *_configurations(everyone), *_votes(everyone))


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
    read = {facts.node: _read_by_corosync(facts) for facts in everyone}
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
        if quorum is None or conf is None or quorum.quorate or conf.qdevice:
            continue
        if 2 * len(quorum.members) > len(conf.nodes):
            found[facts.node] = (
                f"{len(quorum.members)} of {len(conf.nodes)} members see each other and have {quorum.total} of "
                f"{quorum.expected} expected votes, {quorum.quorum} are needed"
            )
    if found:
        yield Outsider(Fault.VOTES_EDITED, tuple(found), next(iter(found.values())))
