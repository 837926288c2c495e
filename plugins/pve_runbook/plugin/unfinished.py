"""The run that a re-run takes up: found by the lock on the nodes, read from its record."""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pve_runbook.facts.lock import Lock
from pve_runbook.wire.journal import is_live
from pve_runbook.work.continuity import Snapshot, snapshot_from_journal
from pve_runbook.work.refusal import refusal

Event = dict[str, Any]


def operator() -> str:
    """user@host of this control host, in letters that a lock may carry."""
    return re.sub(r"[^A-Za-z0-9._@-]", "_", f"{getpass.getuser()}@{socket.gethostname()}")


@dataclass(frozen=True)
class Baseline:
    """What a run wrote down before its first change."""

    snapshot: Snapshot
    network: dict[str, dict[str, str]]
    members: tuple[str, ...]
    clusters: dict[str, str]
    standalone: frozenset[str]


@dataclass(frozen=True)
class Unfinished:
    """A run that did not end. ``folder`` holds its backups, ``head`` names its journal up to its last line."""

    work: str
    folder: Path
    head: str
    events: tuple[Event, ...]

    @property
    def baseline(self) -> Baseline | None:
        """Its baseline; None when it was cut short before it had one."""
        for event in self.events:
            if event["kind"] == "baseline":
                return Baseline(
                    snapshot_from_journal(event),
                    event["network"],
                    tuple(event["members"]),
                    event["clusters"],
                    frozenset(event["standalone"]),
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
        return any(e["kind"] == "action-intent" and e.get("detached") for e in self.events)

    def transfers(self, node: str) -> dict[str, str]:
        """File name → SHA-256 of the backups of ``node``."""
        return {e["file"]: e["sha256"] for e in self.events if e["kind"] == "transfer" and e["node"] == node}


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
    return _read(lock.run, folders), ""


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
                return _event(line)
    return None


def _event(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "kind" in event else None


def _read(work: str, folders: list[Path]) -> Unfinished:
    """The events of all its runs in order; the baseline and the backups are the first that are complete."""
    events: list[Event] = []
    head = ""
    backups = folders[0]
    for folder in folders:
        lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        head = hashlib.sha256(whole[-1]).hexdigest() if whole else head
        own = [e for e in map(_event, whole) if e is not None]
        if any(e["kind"] == "transfer" for e in own) and not any(e["kind"] == "transfer" for e in events):
            backups = folder
        events += own
    return Unfinished(work, backups, head, tuple(events))
