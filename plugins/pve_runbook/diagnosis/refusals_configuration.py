"""What gates say of a node's configurations: what is passed over, what stops corosync, what cannot be opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pve_runbook.diagnosis.divergence import newest, readable
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.output import Skipped
from pve_runbook.probes.answers import known
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

SHOWN = 5
"""Lines of configurations that one sentence names; the record has all."""


def passed_over(lines: Sequence[Skipped | str]) -> str:
    """Lines that Proxmox passes over with a warning, in one clause; a few of them by their place."""
    shown = "; ".join(map(str, lines[:SHOWN]))
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return f"passed over, as Proxmox passes it over: {shown}{more}; correct it while /etc/pve is writable"


def corosync_would_stop(facts: NodeFacts) -> str:
    """A corosync.conf with lines that corosync does not start with."""
    faults = facts.corosync_conf_faults
    runs = "it runs, with what it read before" if facts.is_corosync_running else "it does not run"
    return refusal(
        RefusalId.COROSYNC_CANNOT_START,
        facts.node,
        seen=f"corosync would not start with its configuration, and {runs}: {'; '.join(map(str, faults[:SHOWN]))}",
        why="a node whose corosync does not start is out of the cluster, and its votes are missing",
        do="While there is quorum, put the line right in /etc/pve/corosync.conf with a raised config_version; without, "
        "in /etc/corosync/corosync.conf of this node, then `systemctl restart corosync` there",
    )


def damaged_database(facts: NodeFacts, everyone: Iterable[NodeFacts]) -> str:
    """A node whose database cannot be opened; ``everyone``: of whom the newest database that can be read has its
    guests."""
    trees = readable(everyone)
    best = newest(trees)[0] if trees else None
    owned = known(lambda: trees[best].guests_by_node.get(facts.hostname, {})) if best is not None else None
    names = ", ".join(map(str, sorted(owned or {}))) or "none"
    guests = f"; by {best}'s its guests are {names}" if best is not None else ""
    served = bool(known(lambda: facts.pve_mounts)) and not facts.pve_is_stale
    kept = "`tar -C / -czf /root/etc-pve.tar.gz etc/pve` first, for pmxcfs still serves it; then " if served else ""
    place = "/var/lib/pve-cluster/config.db"
    source = (
        f"on {best} `sqlite3 {place} \".backup '/root/config.db'\"`, copied to {facts.node} as {place} (mode 0600)"
        if best is not None
        else f"a backup of it (/var/lib/pve-cluster/backup, a record's backups) put there as {place} (mode 0600)"
    )
    return refusal(
        RefusalId.DATABASE_IS_DAMAGED,
        facts.node,
        seen=f"its configuration database {place} is damaged{guests}",
        why="pmxcfs does not start with it, and so the node cannot be managed or leave the cluster; guests run on",
        do=f"On {facts.node} type {kept}`systemctl stop pve-cluster; mkdir /root/damaged; mv {place}* /root/damaged`, "
        f"and keep that; {source}; `systemctl start pve-cluster` on {facts.node}. Then run the same command line again",
    )


NEXT_BOOT = (
    "{path} lies ready and is not applied: the next boot puts it into force, and changes how the node is reached, or "
    "its firewall; see that it fits the node as it is now (`diff` with the file without .new), or take it away"
)
