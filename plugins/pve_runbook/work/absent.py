"""Members that the operator says are powered off."""

from __future__ import annotations

from collections.abc import Collection

from pve_runbook.work.nodefacts import NodeFacts


def seen_alive(facts: NodeFacts, names: Collection[str]) -> tuple[str, ...]:
    """Those of ``names`` that this node sees alive: by corosync's list of votes, or by pmxcfs's list of members.

    Without corosync neither list is kept up to date (pmxcfs keeps its last one), and nobody is seen. Raises
    UnknownFact.
    """
    quorum, conf = facts.quorum, facts.corosync_conf
    if quorum is None or conf is None:
        return ()
    votes = {member.nodeid for member in quorum.members}
    listed = facts.members.nodes if facts.members is not None else None
    online = {name for name, member in (listed or {}).items() if member.online}
    return tuple(n.name for n in conf.nodes if n.name in names and (n.nodeid in votes or n.name in online))
