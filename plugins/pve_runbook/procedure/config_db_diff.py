"""One node's configuration database at two moments: what was written in between, and by whom."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from pve_runbook.cluster.node import Node
from pve_runbook.cluster.rounds import tree_probe
from pve_runbook.facts.guests import CANARY_PREFIX
from pve_runbook.parsers.config_db import ConfigTree, parse_config_tree, parse_entries
from pve_runbook.parsers.output import Output
from pve_runbook.probes import per_subject
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact

_BY_ITSELF = re.compile(
    r"authkey\.pub(\.old)?|pve-www\.key|priv/(authkey\.key|pve-root-ca\.srl|known_hosts|authorized_keys|lock/.*)"
    r"|nodes/[^/]+/(lrm_status|ssh_known_hosts|pve-ssl\.(pem|key))|ha/(manager_status|crm_commands)"
)
"""What Proxmox VE writes without anyone asking: its daemons' keys and states, `pvecm updatecerts` at every start of
pveproxy (pve-cluster, Setup.pm)."""

_TAKEN_OUT = re.compile(r"corosync\.conf|ha/(resources|rules|groups)\.cfg")
"""What a window takes out of the database."""

_GUEST = re.compile(r"nodes/[^/]+/qemu-server/\d+\.conf")


class Database(Struct, frozen=True):
    """``tree``: the files that are read, with their contents; ``entries``: every file's path → the database version
    in which it was last written, those under priv/ too."""

    tree: ConfigTree
    entries: Mapping[str, int]

    def differs(self, other: Database) -> list[str]:
        """The files that are not the same in ``other``, in words, without those that Proxmox VE writes by itself."""
        found = []
        for path in sorted(self.entries.keys() | other.entries.keys()):
            if _BY_ITSELF.fullmatch(path):
                continue
            if path not in other.entries:
                found.append(f"{path} (missing)")
            elif path not in self.entries:
                found.append(f"{path} (new)")
            elif self._was_written(path, other):
                found.append(f"{path} (changed)")
        return found

    def _was_written(self, path: str, other: Database) -> bool:
        if path in self.tree.files and path in other.tree.files:
            return self.tree.files[path] != other.tree.files[path]
        return self.entries[path] != other.entries[path]

    def changed_by_others(self, now: Database) -> list[str]:
        """What ``now``, the database of a node that left, differs in from this one and a run did not do itself."""
        return [text for text in self.differs(now) if not _is_ours(text.partition(" (")[0], now)]


def _is_ours(path: str, now: Database) -> bool:
    if path not in now.entries:
        return _TAKEN_OUT.fullmatch(path) is not None
    return _GUEST.fullmatch(path) is not None and f"name: {CANARY_PREFIX}" in (now.tree.text(path) or "")


def read_database(path: Path) -> Database:
    """Open a copy of config.db. Raises sqlite3.Error, ParseError."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as database:

        def rows(sql: str) -> Output:
            found = (row for query in sql.split("; ") for row in database.execute(query))
            return Output("".join("|".join(map(str, row)) + "\n" for row in found), "", 0)

        return Database(parse_config_tree(rows(probes.TREE_SQL)), parse_entries(rows(per_subject.ENTRIES_SQL)))


def live_database(node: Node) -> Database:
    """Read the node's database now. Raises UnknownFact."""
    probe = tree_probe(node.facts)
    if probe is None:
        raise UnknownFact(node.name, "what its database holds", "it was not closed cleanly and no pmxcfs runs")
    return Database(node.facts.tree, node.ask_about(per_subject.ENTRIES, probe.argv[2]))
