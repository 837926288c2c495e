"""What is sent to the nodes that stay a cluster while others leave it (--leave): nothing else changes them.

Source of the commands: pve-docs, pvecm.adoc, "Remove a Cluster Node".
"""

from __future__ import annotations

from pve_runbook.actions.action import ActionTemplate

HA_REMOVE = ActionTemplate(
    "ha-remove",
    ("ha-manager", "remove", "{sid}"),
    why="once its node is gone HA would recover the guest elsewhere, while it runs on there; the guest runs on",
    undo="ha-manager add {sid}, with the options that ha/resources.cfg in the backup has for it (and its rules)",
    repeatable=True,
    timeout=60,
    detached=True,
)
EXPECT_REST = ActionTemplate(
    "expected-rest",
    ("pvecm", "expected", "{votes}"),
    why="those that stay have no majority of the votes while the others are still in the nodelist: for the moment "
    "their own votes are enough",
    undo="none needed: the next change of the nodelist, or of who is there, ends it",
    repeatable=True,
    timeout=60,
    detached=True,
)
DELNODE = ActionTemplate(
    "delnode",
    ("pvecm", "delnode", "{node}"),
    why="those that stay forget the node: nodelist and expected votes shrink by it, while their corosync runs on",
    undo="none: the node comes back empty only (`pvecm add` on it, once it has no guests)",
    repeatable=True,
    timeout=60,
    detached=True,
)
ACTIONS = (HA_REMOVE, EXPECT_REST, DELNODE)
