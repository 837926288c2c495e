"""What a scheduler would do the moment it runs again."""

from __future__ import annotations

from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.jobs import parse_jobs_cfg_text, parse_replication_cfg_text, parse_vzdump_cron_text


def risky_jobs(facts: NodeFacts) -> list[str]:
    """One line for each job of this node that deserves a look before the scheduler runs again.

    A job that was due while there was no quorum starts within a minute (pve-manager, PVE/Jobs.pm). Raises
    UnknownFact when the node's configuration is unknown, ParseError when a job cannot be read.
    """
    found = []
    tree = facts.tree
    backups = (
        *parse_jobs_cfg_text(tree.text("jobs.cfg") or ""),
        *parse_vzdump_cron_text(tree.text("vzdump.cron") or ""),
    )
    for job in backups:
        if not job.enabled or (job.node is not None and job.node != facts.hostname):
            continue
        store = facts.storages.get(job.storage) if job.storage else None
        if job.all and store is not None and store.is_shared:
            found.append(
                f"backup job {job.id} ({job.schedule}) takes all guests of this node to {job.storage}, which the "
                "former peers use too: with equal VMIDs they would prune each other's backups"
            )
        else:
            found.append(f"backup job {job.id} ({job.schedule}) may be overdue and would then start within a minute")
    own = facts.guests
    for replication in parse_replication_cfg_text(tree.text("replication.cfg") or ""):
        if not replication.disabled and int(replication.id.partition("-")[0]) in own:
            found.append(
                f"replication {replication.id} ({replication.schedule}) goes to {replication.target}, a peer that "
                "this node no longer knows: it will fail"
            )
    return found
