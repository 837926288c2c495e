"""What a node's own copy of /etc/pve goes on doing, or still names, once it stands alone: every node has such a copy.

Files and what acts on them: pve-manager (Jobs, API2/ACMEAccount.pm, Status), pve-guest-common (ReplicationConfig.pm),
pve-cluster (Notify.pm), pve-network; seen in the sources of PVE 9.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.config_db import ConfigTree
from pve_runbook.parsers.jobs import parse_jobs_cfg_text, parse_replication_cfg_text
from pve_runbook.parsers.section_config import Section, parse_sections

_ACCOUNT = re.compile(r"priv/acme/(?P<name>[^/]+)")
_PLUGINS = "plugins.cfg"
_NOTIFY = "notifications.cfg"
_PEERS = re.compile(r"(?m)^\s+peers\s+\S")


def acting(facts: NodeFacts, others: Collection[str]) -> Iterator[str]:
    """One sentence for each thing that this node goes on doing by itself, or that still names one of ``others``, its
    former peers, with what is to be typed on it. Raises UnknownFact."""
    tree = facts.tree
    backups = [j for j in parse_jobs_cfg_text(tree.text("jobs.cfg") or "") if j.enabled and j.node not in others]
    if backups:
        yield (
            "backup jobs run here by themselves now, and prune by VMID alone on a storage that nodes share: give each "
            "node its own (`pvesh set /cluster/backup/JOB --storage STORAGE`)"
        )
    for name in _ids(tree, "jobs.cfg", "realm-sync", "enabled"):
        yield (
            f"realm sync {name} of jobs.cfg runs here by itself now: keep it on one node, on the others "
            f"`pvesh delete /cluster/jobs/realm-sync/{name}`"
        )
    for job in parse_replication_cfg_text(tree.text("replication.cfg") or ""):
        if not job.disabled and job.target in others and int(job.id.partition("-")[0]) in facts.guests:
            yield (
                f"replication {job.id} goes to {job.target}, which it knows no more, and fails: `pvesr delete {job.id} "
                "--force`"
            )
    for name in _ids(tree, "status.cfg", "", "disable"):
        yield (
            f"metric server {name} of status.cfg is sent this node's figures, under the names that it had: where that "
            f"is not wanted, `pvesh delete /cluster/metrics/server/{name}`"
        )
    targets = [x for kind in ("sendmail", "smtp", "gotify", "webhook") for x in _ids(tree, _NOTIFY, kind, "disable")]
    if targets:
        yield (
            f"notifications go out through {', '.join(targets)} of notifications.cfg from here as from each of the "
            "others: change on each node what should differ (web UI: Datacenter, Notifications)"
        )
    yield from _named(tree, others)


def acme_accounts(paths: Iterable[str]) -> tuple[str, ...]:
    """The ACME accounts, by the paths of all files of a database, those under priv/ too."""
    found = (_ACCOUNT.fullmatch(path) for path in paths)
    return tuple(match["name"] for match in found if match is not None and match["name"] != _PLUGINS)


def _ids(tree: ConfigTree, file: str, kind: str, flag: str) -> list[str]:
    """The sections of a file that are on, of one type, or of all; ``flag`` says which option turns them on or off."""
    sections = [s for s in parse_sections(tree.text(file) or "", file) if kind in ("", s.type)]
    return [s.id for s in sections if _is_on(s, flag)]


def _is_on(section: Section, flag: str) -> bool:
    return section.flag(flag, default=True) if flag == "enabled" else not section.flag(flag, default=False)


def _named(tree: ConfigTree, others: Collection[str]) -> Iterator[str]:
    """Which files of devices and of the software-defined network still name the former peers."""
    for path in sorted(tree.files):
        folder = path.partition("/")[0]
        if folder not in ("mapping", "sdn") or not path.endswith(".cfg"):
            continue
        text = tree.text(path) or ""
        named = [name for name in others if re.search(rf"(?<![A-Za-z0-9-]){re.escape(name)}(?![A-Za-z0-9-])", text)]
        what = ", ".join(named) or ("its peers by address" if _PEERS.search(text) else "")
        if not what:
            continue
        where = "Resource Mappings" if folder == "mapping" else "SDN"
        yield f"/etc/pve/{path} still names {what}: take it out (web UI: Datacenter, {where})"
