"""Which steps have a part in a run, and on which nodes, where only some nodes leave and the others stay a cluster.

A step of runbook/ says by a marker whom it is about: ``leaving``, the nodes that leave (all of them without --leave),
``staying``, those that stay (nobody without it); ``all_leave``: it is of a run without --leave. One without a marker is
about all nodes of every run.
"""

from __future__ import annotations

from collections.abc import Collection

import pytest

from pve_runbook.options.options import RunOptions

LEAVING, STAYING, ALL_LEAVE = "leaving", "staying", "all_leave"
MARKERS = (
    f"{LEAVING}: a step about the nodes that leave the cluster: all of them, or those of --leave",
    f"{STAYING}: a step about the nodes that stay a cluster, with --leave only",
    f"{ALL_LEAVE}: a step of a run in which every node leaves, without --leave",
)


def leaving(options: RunOptions) -> list[str]:
    """The nodes of --hosts that leave, by their names there."""
    return [t.name for t in options.targets if t.name not in options.staying]


def nodes_for(markers: Collection[str], options: RunOptions) -> list[str]:
    """The nodes of --hosts that a step with these markers is for."""
    if options.leave and ALL_LEAVE in markers:
        return []
    if LEAVING in markers:
        return leaving(options)
    if STAYING in markers:
        return [t.name for t in options.targets if t.name in options.staying]
    return [t.name for t in options.targets]


def nodes_of(item: pytest.Item, options: RunOptions) -> list[str]:
    """The nodes of --hosts that a step is for."""
    return nodes_for({marker.name for marker in item.iter_markers()}, options)


def take_out(items: list[pytest.Item], options: RunOptions) -> frozenset[tuple[str, str]]:
    """Take the steps out of ``items`` that are for no node of this run; (file name, function name) of each."""
    out = {item for item in items if not nodes_of(item, options)}
    items[:] = [item for item in items if item not in out]
    return frozenset((item.path.name, item.name.partition("[")[0]) for item in out)
