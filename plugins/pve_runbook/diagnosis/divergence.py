"""Where the nodes' copies of the configuration database differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from msgspec import Struct

from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.config_db import ConfigTree
from pve_runbook.probes.answers import known


class Difference(Struct, frozen=True):
    """One file that is not the same on all nodes: `holders` are the nodes that have it, those with the same bytes
    together; `missing` are the nodes that have it not."""

    path: str
    holders: tuple[tuple[str, ...], ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        """One clause for people."""
        groups = [", ".join(group) for group in self.holders]
        if len(groups) == 1:
            return f"{self.path} only on {groups[0]}"
        absent = f", not on {', '.join(self.missing)}" if self.missing else ""
        return f"{self.path} differs ({' / '.join(groups)}{absent})"


def differences(trees: Mapping[str, ConfigTree]) -> tuple[Difference, ...]:
    """Every file of which the nodes' databases have different copies, by path; `trees` by node name.

    Left out is what HA's daemons write by themselves, at different moments on different nodes: ha/ and every
    node's lrm_status (pve-ha-manager, Env/PVE2.pm).
    """
    paths = sorted({path for tree in trees.values() for path in tree.files if not _is_has_own(path)})
    found = (_difference(path, trees) for path in paths)
    return tuple(d for d in found if len(d.holders) > 1 or d.missing)


def readable(everyone: Iterable[NodeFacts]) -> dict[str, ConfigTree]:
    """Node → its database, for those whose database is known."""
    return {f.node: tree for f in everyone if (tree := known(partial(_tree, f))) is not None}


def _tree(facts: NodeFacts) -> ConfigTree:
    return facts.tree


def newest(trees: Mapping[str, ConfigTree]) -> list[str]:
    """The nodes whose database has the highest rank: version, then time (pve-cluster, src/pmxcfs/dcdb.c)."""
    ranks = {name: (tree.version, tree.mtime) for name, tree in trees.items()}
    return [name for name, rank in ranks.items() if rank == max(ranks.values())]


def _is_has_own(path: str) -> bool:
    return path.startswith("ha/") or path.endswith("/lrm_status")


def _difference(path: str, trees: Mapping[str, ConfigTree]) -> Difference:
    groups: dict[bytes, list[str]] = {}
    for node, tree in trees.items():
        if path in tree.files:
            groups.setdefault(tree.files[path], []).append(node)
    holders = tuple(tuple(group) for group in groups.values())
    return Difference(path, holders, tuple(node for node, tree in trees.items() if path not in tree.files))
