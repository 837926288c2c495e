"""Phase 1: choose the authority: the node that is given quorum first and leaves last.

Why: quorum can be forced on one node only; two forced nodes would write two histories.
Not as in the article: the newest configuration database comes before the number of running guests, because what
the newest one knows and another does not would be lost.
"""

from __future__ import annotations

from pve_runbook.work.authority import newest
from pve_runbook.work.refusal import refusal


def test_evidence_is_gathered(candidates):
    """Databases, running guests, disks and answers of every node are compared."""
    assert candidates, "cluster: no node can be the authority.\nNothing can be given quorum.\nRun again"


def test_authority_is_chosen(chosen):
    """The authority reaches all of its own disks."""
    assert chosen.reaches_its_disks, refusal(
        chosen.node,
        seen=f"it finds {chosen.volumes_found} of its guests' {chosen.volumes} volumes",
        why="the authority is the node that all else depends on for the moment",
        do="Choose another one with --authority=NODE, or mend its storage",
    )


def test_authority_knows_the_newest_configuration(run, chosen, candidates):
    """The authority's configuration database is the newest, or the operator named it knowing that it is not."""
    version, _ = newest(candidates)
    others = [c for c in candidates if c.database == newest(candidates)]
    accepted = chosen.database == newest(candidates) or run.options.authority_version == chosen.version
    assert accepted, refusal(
        chosen.node,
        seen=f"its database has version {chosen.version}; {others[0].node}'s has {version}",
        why="changes made to shared files (storages, users, firewall) after the nodes parted are missing here; every "
        "node keeps its own guests' configs either way",
        do=f"Take {others[0].node}, or accept it by name: --authority={chosen.node}@{chosen.version}",
    )
    if chosen.database != newest(candidates):
        run.note("authority", f"accepted by name: version {chosen.version}, the newest is {version}", chosen.node)
