"""The run that a re-run takes up: found by the lock on the nodes, read from its record."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pve_runbook.facts.lock import Lock
from pve_runbook.plugin.provenance import operator
from pve_runbook.record.verify import Disagreement, NoRecord, read_chain
from pve_runbook.wire.journal import is_live
from pve_runbook.work.continuity import Snapshot, snapshot_from_journal
from pve_runbook.work.refusal import refusal

Event = dict[str, Any]


@dataclass(frozen=True)
class Baseline:
    """What a run wrote down before its first change."""

    snapshot: Snapshot
    network: dict[str, dict[str, str]]
    members: tuple[str, ...]
    clusters: dict[str, str]
    standalone: frozenset[str]
    scheduled: frozenset[str]
    """The nodes whose schedulers ran."""
    quorate: frozenset[str]
    """The nodes that had quorum."""


@dataclass(frozen=True)
class Unfinished:
    """A run that did not end. ``folders`` are the records of all its attempts, oldest first, the last of which ends
    at ``head``; ``folder`` and ``first`` are the record and the events of the first that changed something: its backups
    are from before that."""

    work: str
    folder: Path
    folders: tuple[Path, ...]
    head: str
    events: tuple[Event, ...]
    first: tuple[Event, ...]

    @property
    def last(self) -> str:
        """The name of its newest record's folder."""
        return self.folders[-1].name

    @property
    def baseline(self) -> Baseline | None:
        """Its baseline as its last attempt held it; None when it was cut short before it had one."""
        for event in reversed(self.events):
            if event["kind"] == "baseline":
                return Baseline(
                    snapshot_from_journal(event),
                    event["network"],
                    tuple(event["members"]),
                    event["clusters"],
                    frozenset(event["standalone"]),
                    frozenset(event["scheduled"]),
                    frozenset(event["quorate"]),
                )
        return None

    @property
    def authority(self) -> str | None:
        """The node it chose."""
        chosen = [e["node"] for e in self.events if e["kind"] == "note" and e["topic"] == "authority" and e["node"]]
        return chosen[-1] if chosen else None

    @property
    def changed_something(self) -> bool:
        """Whether it sent a command that changes more than the tool's own folder."""
        return _changes(self.events)

    def what_it_did(self) -> list[str]:
        """Its approvals and its changes, one line each: the record of the run that takes it up names them too."""
        lines = [f"its records: {', '.join(folder.name for folder in self.folders)}"]
        for event in self.events:
            if event["kind"] == "approval":
                answer = f"{event['answer']} by {event['by']} ({event['how']}) at {event['at']}"
                lines.append(f"phase {event['phase']}, {event['subject']}: {answer}")
            elif event["kind"] == "action-intent" and (event["detached"] or event["action"] in ("window", "restore")):
                lines.append(f"{event['t']} {event['node']}: {shlex.join(event['argv'])}")
        return lines

    def transfers(self, node: str) -> dict[str, str]:
        """File name → SHA-256 of the backups of ``node``."""
        return {e["file"]: e["sha256"] for e in self.first if e["kind"] == "transfer" and e["node"] == node}


def whose(locks: Mapping[str, Lock | None], records: Path, broken: str | None) -> tuple[Unfinished | None, str]:
    """The run to take up, if any, and why the nodes are not free, or ""."""
    held = {node: lock for node, lock in locks.items() if lock is not None and lock.run != broken}
    if not held:
        return None, ""
    node, lock = next(iter(held.items()))
    if len({x.run for x in held.values()}) > 1:
        return None, _refused(node, lock, "other nodes are held by other runs", "--break-lock=RUN, one after the other")
    if lock.by != operator():
        return None, _refused(node, lock, f"you are {operator()}", f"--break-lock={lock.run}")
    folders = _records_of(lock.run, records)
    if not folders:
        return None, _refused(
            node, lock, f"its record is not in {records}", f"--records=DIR, or --break-lock={lock.run}"
        )
    if is_live(folders[-1] / "journal.jsonl"):
        return None, refusal(
            node,
            seen=f"a run of yours is under way: {folders[-1].name}, since {lock.since}",
            why="two runs at once would undo each other's steps",
            do="Wait for it, or stop it with Ctrl-C in its own terminal",
        )
    try:
        return _read(lock.run, folders), ""
    except Disagreement as error:
        return None, refusal(
            node,
            seen=f"the unfinished run's journal in {folders[-1].name} was changed: {error}",
            why="its baseline and the hashes of its backups stand there, and could not be relied on",
            do=f"See `pytest --verify-record={folders[-1]}`; to give that run up for good: --break-lock={lock.run}",
        )


def read_run(folder: Path) -> Unfinished:
    """The run whose record is in ``folder``, with its other attempts beside it, whether it ended or not.

    Raises NoRecord, Disagreement, OSError.
    """
    events = read_chain(folder, alone=True).events
    work = next((str(e["work"]) for e in events if e["kind"] == "run" and "work" in e), None)
    if work is None:
        raise NoRecord(f"{folder}: no run has begun in it")
    folders = _records_of(work, folder.parent)
    for one in folders:
        if is_live(one / "journal.jsonl"):
            raise NoRecord(f"{one}: this run is still under way")
    return _read(work, folders)


def _refused(node: str, lock: Lock, but: str, way: str) -> str:
    return refusal(
        node,
        seen=f"held by {lock.by} since {lock.since}, run {lock.run} (record {lock.record}); {but}",
        why="a run that was cut short is taken up by the one who holds its baseline and its backups",
        do=f"Ask {lock.by} to run the same command line again; if that run is given up for good: {way}",
    )


def _records_of(work: str, records: Path) -> list[Path]:
    """The folders of all runs that worked under this lock, oldest first."""
    found = []
    for path in records.glob("*/journal.jsonl"):
        started = _start_of(path)
        if started is not None and started.get("work") == work:
            found.append((str(started["t"]), path.parent))
    return [folder for _, folder in sorted(found)]


def _start_of(journal: Path) -> Event | None:
    with journal.open("rb") as file:
        for line in file:
            if b'"kind":"run"' in line:
                try:
                    found = json.loads(line)
                except ValueError:
                    return None
                return found if isinstance(found, dict) else None
    return None


def _read(work: str, folders: list[Path]) -> Unfinished:
    """The events of all its attempts in order.

    Raises Disagreement when a journal's chain is broken: nothing in it can be relied on then.
    """
    chains = [read_chain(folder, alone=True) for folder in folders]
    changing = next((i for i, chain in enumerate(chains) if _changes(chain.events)), 0)
    return Unfinished(
        work=work,
        folder=folders[changing],
        folders=tuple(folders),
        head=chains[-1].head,
        events=tuple(e for chain in chains for e in chain.events),
        first=chains[changing].events,
    )


def _changes(events: Iterable[Event]) -> bool:
    return any(e["kind"] == "action-intent" and e.get("detached") for e in events)
