"""The way back: the nodes that a run took out of their cluster, and what each was before."""

from __future__ import annotations

import sqlite3
import tarfile
from pathlib import Path

import pytest

from pve_runbook.facts.lock import Lock
from pve_runbook.facts.output import ParseError
from pve_runbook.facts.state import NodeState
from pve_runbook.plugin import questions
from pve_runbook.plugin.unfinished import Baseline, Unfinished, read_run
from pve_runbook.record.verify import Disagreement, NoRecord
from pve_runbook.work.backup import BackupFailed, unchanged
from pve_runbook.work.database import Database, live_database, read_database
from pve_runbook.work.node import Node
from pve_runbook.work.refusal import refusal

MEMBER = (NodeState.CLUSTERED_QUORATE, NodeState.CLUSTERED_NO_QUORUM, NodeState.COROSYNC_DOWN)
NO_RECORD = "--rollback: {why}"
NOTHING_DONE = "{folder}: its run wrote no baseline down, so it changed nothing: there is nothing to roll back"
KEY_FILES = ("etc/corosync/corosync.conf", "etc/corosync/authkey")
SHOWN = 8


class Rollback:
    """What a run's record says of the nodes, and what is left of it on them."""

    def __init__(self, folder: Path) -> None:
        """Read the record in ``folder`` and those of the other attempts beside it. Raises UsageError."""
        try:
            self.earlier: Unfinished = read_run(folder)
        except (NoRecord, Disagreement, OSError) as error:
            raise pytest.UsageError(NO_RECORD.format(why=error)) from None
        found = self.earlier.baseline
        if found is None:
            raise pytest.UsageError(NO_RECORD.format(why=NOTHING_DONE.format(folder=folder)))
        self.baseline: Baseline = found
        self.had_ended = True
        """Whether the run had given its nodes back: their guests may have been restarted by their owners since."""
        self._before: dict[str, Database] = {}

    def take_over(self, locks: dict[str, Lock | None]) -> Unfinished:
        """The run to go back from; by the nodes' locks it is known whether it had ended."""
        self.had_ended = not any(locks.values())
        return self.earlier

    @property
    def nodes(self) -> list[str]:
        """The nodes of that run, by their names in --hosts."""
        return list(self.baseline.snapshot.boots)

    def is_member(self, node: Node) -> bool:
        """Whether the node was in the cluster at the baseline."""
        return node.name not in self.baseline.standalone

    def restores(self, node: Node) -> bool:
        """Whether the node has to be put back. Raises UnknownFact."""
        return self.is_member(node) and node.facts.state not in MEMBER

    def file(self, node: Node, name: str) -> bytes:
        """A backup of the node from before the first change. Raises BackupFailed when it is not what it was."""
        folder = self.earlier.folder / "backups" / node.name
        return unchanged(node, folder / name, self.earlier.transfers(node.name).get(name, "none"))

    def before(self, node: Node) -> Database:
        """The node's database from before the first change. Raises BackupFailed."""
        if node.name not in self._before:
            self.file(node, "config.db")
            path = self.earlier.folder / "backups" / node.name / "config.db"
            try:
                self._before[node.name] = read_database(path)
            except (sqlite3.Error, ParseError) as error:
                raise BackupFailed(f"{node.name}: {path} does not open: {error}.\nThere is no way back then.") from None
        return self._before[node.name]

    def lacks(self, node: Node) -> str:
        """Why the node's backups make no member of it, in words, or "". Raises BackupFailed."""
        self.file(node, "system.tar.gz")
        with tarfile.open(self.earlier.folder / "backups" / node.name / "system.tar.gz") as archive:
            missing = [name for name in KEY_FILES if name not in archive.getnames()]
        if "corosync.conf" not in self.before(node).entries:
            missing.append("corosync.conf in the database")
        if not missing:
            return ""
        return refusal(
            node.name,
            seen=f"its backup has no {', '.join(missing)}: the node was half dismantled before that run began",
            why="put back, it would be half dismantled again: read-only, and no member of anything",
            do="There is no way back for this node; leave it standalone and rebuild the cluster",
        )

    def changed_by_others(self, node: Node) -> list[str]:
        """What was written on a node after it left, by anyone but the run. Raises BackupFailed, UnknownFact."""
        return self.before(node).changed_by_others(live_database(node))

    def meeting(self, nodes: list[Node]) -> dict[str, Database]:
        """Node name → the database with which each member meets the others. Raises BackupFailed, UnknownFact."""
        members = [n for n in nodes if self.is_member(n)]
        return {n.name: self.before(n) if self.restores(n) else live_database(n) for n in members}

    def lost_guests(self, nodes: list[Node]) -> list[str]:
        """The guests whose config, as their own node has it, is not what the newest database has, in words.

        Raises BackupFailed, UnknownFact.
        """
        found = self.meeting(nodes)
        if not found:
            return []
        newest = _newest(found)
        winner = found[newest].tree.guests()
        hostnames = {n.name: n.facts.hostname for n in nodes}
        return [
            f"{vmid} of {name}"
            for name, database in found.items()
            for vmid, guest in database.tree.guests().items()
            if guest.node == hostnames[name] and (vmid not in winner or winner[vmid].sha256 != guest.sha256)
        ]

    def differences(self, nodes: list[Node]) -> tuple[str, list[str]]:
        """The node whose database is the newest ("" without members), and what it overwrites on each of the others.

        Raises BackupFailed, UnknownFact.
        """
        found = self.meeting(nodes)
        if not found:
            return "", []
        newest = _newest(found)
        lines = []
        for name, database in found.items():
            paths = database.differs(found[newest])
            if paths:
                more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
                lines.append(f"on {name}: {', '.join(paths[:SHOWN])}{more}")
        return newest, lines

    def text(self, cluster: str, nodes: list[Node], given_up: frozenset[str]) -> str:
        """The question to the operator. Raises BackupFailed, UnknownFact."""
        back = [n.name for n in nodes if self.restores(n)]
        newest, lines = self.differences(nodes)
        return (
            f"ROLL BACK: {', '.join(back) or 'no node'} goes back into the cluster {cluster}.\n"
            + (
                "For about 10 s each, one after the other, /etc/pve is not mounted there; its database and\n"
                "/etc/corosync of before the first change are put back. Then corosync starts on all nodes: "
                if back
                else "Corosync starts on all nodes: "
            )
            + "guests run on.\n"
            + f"When the nodes meet, {newest}'s database wins (the newest).\n"
            + ("It overwrites " + "; ".join(lines) if lines else "The others hold the same.")
            + "\n"
            + (
                f"Given up by your own word: what was changed on {', '.join(sorted(given_up))} since.\n"
                if given_up
                else ""
            )
            + "HA and the schedulers stay off. Undo: run the runbook again, without --rollback.\n"
            + questions.waiting(nodes)
        )


def _newest(found: dict[str, Database]) -> str:
    """Whose database wins when nodes meet: the highest (version, mtime) (pve-cluster, dcdb.c)."""
    return max(found, key=lambda name: (found[name].tree.version, found[name].tree.mtime, name))


def not_ours(locks: dict[str, Lock | None], work: str, operator: str) -> str:
    """Why another run's lock stands in the way, in words, or ""."""
    for node, lock in locks.items():
        if lock is not None and (lock.run != work or lock.by != operator):
            return refusal(
                node,
                seen=f"held by {lock.by} since {lock.since}, run {lock.run} (record {lock.record})",
                why="that run is not over; two at once would undo each other's steps",
                do="Roll back that one, or end it first, from where its records are",
            )
    return ""
