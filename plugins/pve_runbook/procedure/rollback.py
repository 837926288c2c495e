"""The way back: the nodes that a run took out of their cluster, and what each was before."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from pve_runbook.cluster.node import Node
from pve_runbook.facts.node_state import NodeState
from pve_runbook.journal.events import Baseline
from pve_runbook.parsers.corosync_conf import parse_corosync_conf_text
from pve_runbook.parsers.output import ParseError
from pve_runbook.parsers.own_files import Lock
from pve_runbook.procedure.backup import BackupFailed, unchanged
from pve_runbook.procedure.backup_check import COROSYNC_FILES, Unreadable, unpacked
from pve_runbook.procedure.config_db_diff import Database, live_database, read_database
from pve_runbook.procedure.database_merge import Meeting
from pve_runbook.procedure.unfinished import Unfinished, read_run
from pve_runbook.record.verify import Disagreement, NoRecord
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

MEMBER = (NodeState.CLUSTERED_QUORATE, NodeState.CLUSTERED_NO_QUORUM, NodeState.COROSYNC_DOWN)
NO_RECORD = "--rollback: {why}"
NOTHING_DONE = "{folder}: its run wrote no baseline down, so it changed nothing: there is nothing to roll back"
KEY = "/etc/corosync/authkey"


class NoRollback(Exception):
    """There is nothing that could be rolled back; one line for the operator."""


class Rollback:
    """What a run's record says of the nodes, and what is left of it on them."""

    def __init__(self, folder: Path) -> None:
        """Read the record in ``folder`` and those of the other attempts beside it. Raises NoRollback."""
        try:
            self.earlier: Unfinished = read_run(folder)
        except (NoRecord, Disagreement, OSError) as error:
            raise NoRollback(NO_RECORD.format(why=error)) from None
        found = self.earlier.baseline
        if found is None:
            raise NoRollback(NO_RECORD.format(why=NOTHING_DONE.format(folder=folder)))
        self.baseline: Baseline = found
        self.had_ended = True
        """Whether the run had given its nodes back: their guests may have been restarted by their owners since."""
        self._before: dict[str, Database] = {}
        self._systems: dict[str, Mapping[str, bytes]] = {}
        self._seen: dict[str, list[str]] = {}

    def take_over(self, locks: dict[str, Lock | None]) -> Unfinished:
        """The run to go back from; by the nodes' locks it is known whether it had ended."""
        self.had_ended = not any(locks.values())
        return self.earlier

    @property
    def nodes(self) -> list[str]:
        """The nodes of that run, by their names in --hosts."""
        return list(self.baseline.boots)

    def is_member(self, node: Node) -> bool:
        """Whether the node was in the cluster at the baseline."""
        return node.name not in self.baseline.standalone

    def restores(self, node: Node) -> bool:
        """Whether the node has to be put back: it left, or its key was not put back whole. Raises UnknownFact."""
        if not self.is_member(node):
            return False
        return node.facts.state not in MEMBER or node.facts.authkey != self._authkey(node)

    def is_of_another_cluster(self, node: Node) -> bool:
        """Whether the node has become a member of another cluster since. Raises UnknownFact, BackupFailed."""
        now = node.facts.conf_in_database
        if not self.is_member(node) or now is None or "config.db" not in self.earlier.transfers(node.name):
            return False
        text = self.before(node).tree.text("corosync.conf")
        return text is None or parse_corosync_conf_text(text).sha256 != now

    def members(self, nodes: Sequence[Node]) -> dict[str, Was]:
        """Node name → what it was, for each of ``nodes`` that was a member."""
        return {n.name: Was(self, n) for n in nodes if self.is_member(n)}

    def has_qdevice(self, node: Node) -> bool:
        """Whether the corosync.conf that the node has or gets back has a QDevice. Raises BackupFailed, UnknownFact."""
        conf = node.facts.corosync_conf
        if conf is None:
            text = self.before(node).tree.text("corosync.conf")
            conf = parse_corosync_conf_text(text) if text is not None else None
        return conf is not None and conf.qdevice

    def _authkey(self, node: Node) -> str | None:
        """SHA-256 of corosync's key in the node's backup; its own where no backup was made: nothing had changed."""
        if "system.tar.gz" not in self.earlier.transfers(node.name):
            return node.facts.authkey
        key = self._system(node).get(KEY.lstrip("/"))
        return node.facts.authkey if key is None else hashlib.sha256(key).hexdigest()

    def _system(self, node: Node) -> Mapping[str, bytes]:
        """The files of the node's own configuration from before the first change. Raises BackupFailed."""
        if node.name not in self._systems:
            data = self.file(node, "system.tar.gz")
            try:
                self._systems[node.name] = unpacked(data)
            except Unreadable as error:
                raise BackupFailed(_no_way_back(node, "system.tar.gz", error)) from None
        return self._systems[node.name]

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
                raise BackupFailed(_no_way_back(node, path, error)) from None
        return self._before[node.name]

    def lacks(self, node: Node) -> str:
        """Why the node's backups make no member of it, in words, or "". Raises BackupFailed."""
        missing = [name for name in COROSYNC_FILES if name.lstrip("/") not in self._system(node)]
        if "corosync.conf" not in self.before(node).entries:
            missing.append("corosync.conf in the database")
        if not missing:
            return ""
        return refusal(
            RefusalId.NO_WAY_BACK,
            node.name,
            seen=f"its backup has no {', '.join(missing)}: the node was half dismantled before that run began",
            why="put back, it would be half dismantled again: read-only, and no member of anything",
            do="There is no way back for this node; leave it standalone and rebuild the cluster",
        )

    def changed_by_others(self, node: Node) -> list[str]:
        """What was written on a node since its backup, by anyone but the run; it is remembered for
        :meth:`changed_meanwhile`. Raises BackupFailed, UnknownFact."""
        self._seen[node.name] = self.before(node).changed_by_others(live_database(node))
        return self._seen[node.name]

    def changed_meanwhile(self, node: Node) -> list[str]:
        """What was written there since the gate had looked. Raises BackupFailed, UnknownFact."""
        known = self._seen.get(node.name, [])
        return [text for text in self.before(node).changed_by_others(live_database(node)) if text not in known]

    def running_without_config(self, node: Node) -> list[int]:
        """The guests that run on a node and would have no config there when it is put back.

        Raises BackupFailed, UnknownFact.
        """
        guests = self.before(node).tree.guests
        own = {v for v, g in guests.items() if g.node == node.facts.hostname}
        return sorted(v for v in node.facts.running if v not in own and v not in node.facts.canaries)

    def meeting(self, nodes: Sequence[Node]) -> Meeting:
        """The databases with which the members meet each other. Raises BackupFailed, UnknownFact."""
        members = [n for n in nodes if self.is_member(n)]
        return Meeting(
            {n.name: self.before(n) if self.restores(n) else live_database(n) for n in members},
            {n.name: n.facts.hostname for n in members},
        )

    def text(self, cluster: str, nodes: Sequence[Node], given_up: frozenset[str]) -> str:
        """The question to the operator. Raises BackupFailed, UnknownFact."""
        back = [n.name for n in nodes if self.restores(n)]
        lost = {n.name: self._seen.get(n.name, []) for n in nodes if n.name in given_up}
        away = sorted(set(self.baseline.members) - {n.facts.hostname for n in nodes})
        meeting = self.meeting(nodes)
        lines = meeting.differences()
        go = "go" if len(back) > 1 else "goes"
        return (
            f"ROLL BACK: {', '.join(back) or 'no node'} {go} back into the cluster {cluster}.\n"
            + (
                "For about 10 s each, one after the other, /etc/pve is not mounted there; its database and\n"
                "/etc/corosync of before the first change are put back. Then corosync starts on all nodes: "
                if back
                else "Corosync starts on all nodes: "
            )
            + "guests run on.\n"
            + f"When the nodes meet, {meeting.newest}'s database wins (the newest).\n"
            + ("It overwrites " + "; ".join(lines) if lines else "The others hold the same.")
            + "\n"
            + "".join(
                f"Given up by your own word on {n}: {', '.join(what) or 'nothing'}.\n" for n, what in lost.items()
            )
            + (
                f"{', '.join(away)} took no part in that run: if it is up with its old files, its database may be\n"
                "the newest, and overwrite all others.\n"
                if away
                else ""
            )
            + "Root's keys there (authorized_keys) are those of before, too. Until the nodes meet, a guest that stops\n"
            "there cannot be started again.\n"
            + "HA and the schedulers stay off. Undo: the runbook again, without --rollback.\n"
        )


class Was(Struct, frozen=True):
    """One node that was a member, as the record has it: what the stages of the way back decide by."""

    _back: Rollback
    _node: Node

    @property
    def is_put_back(self) -> bool:
        """Whether the node has to be put back. Raises UnknownFact."""
        return self._back.restores(self._node)

    @property
    def has_qdevice(self) -> bool:
        """Whether its corosync.conf has a QDevice. Raises BackupFailed, UnknownFact."""
        return self._back.has_qdevice(self._node)

    def file(self, name: str) -> bytes:
        """A backup of it from before the first change. Raises BackupFailed when it is not what it was."""
        return self._back.file(self._node, name)


def not_ours(locks: dict[str, Lock | None], work: str, operator: str, broken: str | None) -> str:
    """Why another run's lock stands in the way, in words, or ""; ``broken``: the run whose lock does not count."""
    for node, lock in locks.items():
        if lock is not None and lock.run != broken and (lock.run != work or lock.by != operator):
            return refusal(
                RefusalId.HELD_BY_ANOTHER_RUN,
                node,
                seen=f"held by {lock.by} since {lock.since}, run {lock.run} (record {lock.record})",
                why="that run is not over; two at once would undo each other's steps",
                do=f"Roll back that one, or end it first, from where its records are; if {lock.by} does not go on with "
                f"it: --break-lock={lock.run}",
            )
    return ""


def _no_way_back(node: Node, what: object, why: Exception) -> str:
    return refusal(
        RefusalId.BACKUP_CANNOT_BE_PUT_BACK,
        node.name,
        seen=f"{what} does not open: {why}",
        why="what cannot be read cannot be put back: there is no way back for this node",
        do="Leave it as it is: standalone, with its guests; or look for another copy of that file, on the node itself",
    )
