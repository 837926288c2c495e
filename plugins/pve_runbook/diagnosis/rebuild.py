"""What stands between standalone nodes and a new cluster: what still ties them together, and who must be emptied.

`pvecm add` refuses a node with guests, its own or leftover configs of others, and replaces its whole /etc/pve
(pve-cluster, Setup.pm: assert_joinable, finish_join). None of this makes a standalone node a bad one.
"""

from __future__ import annotations

from collections.abc import Sequence

from pve_runbook.diagnosis import network
from pve_runbook.diagnosis.network import Cause
from pve_runbook.facts.node import NodeFacts
from pve_runbook.probes import checks_only
from pve_runbook.probes.answers import known

WITHOUT_A_CLUSTER = (Cause.SEVERAL_GATEWAYS, Cause.AMBIGUOUS_NAMES, Cause.SPARE_GATEWAY)
"""Root causes that show on a node that has no corosync.conf."""


def shared_keys(everyone: Sequence[NodeFacts]) -> list[str]:
    """Which nodes let each other in, and which have one certificate authority. Raises UnknownFact."""
    names = {f.hostname: f for f in everyone}
    found = []
    for facts in everyone:
        comments = {line.rpartition(" ")[2] for line in facts.get(checks_only.ROOT_KEYS)}
        others = sorted(n for n in names if n != facts.hostname and f"root@{n}" in comments)
        if others:
            found.append(f"{facts.node} lets root of {', '.join(others)} in (/etc/pve/priv/authorized_keys)")
    authorities: dict[str, list[str]] = {}
    for facts in everyone:
        for digest in facts.get(checks_only.AUTHORITY).values():
            authorities.setdefault(digest, []).append(facts.node)
    return found + [f"{', '.join(n)} have one certificate authority" for n in authorities.values() if len(n) > 1]


def foreign_configs(everyone: Sequence[NodeFacts]) -> list[str]:
    """Whose guests' configs are left on which node. Raises UnknownFact."""
    found = []
    for facts in everyone:
        others = sorted({g.node for g in facts.all_guests.values()} - {facts.hostname})
        if others:
            found.append(f"{facts.node} has configs of guests of {', '.join(others)} (/etc/pve/nodes)")
    return found


def storages_in_reach(everyone: Sequence[NodeFacts]) -> list[str]:
    """Shared storages that several nodes may use: no lock crosses them. Raises UnknownFact."""
    used: dict[str, list[str]] = {}
    for facts in everyone:
        for store in facts.storages.values():
            if store.is_shared:
                used.setdefault(store.id, []).append(facts.node)
    return [f"{i} is in reach of {', '.join(nodes)}" for i, nodes in sorted(used.items()) if len(nodes) > 1]


def network_findings(everyone: Sequence[NodeFacts]) -> list[str]:
    """What a new cluster's network would suffer from, as far as it shows without a corosync.conf."""
    found = [f for c in WITHOUT_A_CLUSTER for f in known(lambda c=c: network.find(c, everyone)) or ()]  # type: ignore[misc]
    return list(network.in_words(found))


def who_creates(everyone: Sequence[NodeFacts]) -> list[str]:
    """Who may `pvecm create`, and who must be emptied first; nothing where at most one node has guests.

    Raises UnknownFact.
    """
    guests = {f.node: sorted(f.guests) for f in everyone if f.guests}
    if len(guests) < 2:
        return []
    keeper = max(guests, key=lambda n: len(guests[n]))
    emptied = [f"{n} ({', '.join(map(str, g))})" for n, g in guests.items() if n != keeper]
    return [
        f"one node may keep its guests and `pvecm create`, {keeper} has the most ({len(guests[keeper])})",
        f"before they can join, these must be emptied, by backup and restore: {', '.join(emptied)}",
    ]
