"""The run that a re-run takes up: found by the lock on the nodes, read from its record."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from pve_runbook.journal.events import (
    ActionIntent,
    Approval,
    Baseline,
    Entry,
    Note,
    Run,
    Transfer,
    changes_the_node,
    of_kind,
)
from pve_runbook.journal.journal import is_live
from pve_runbook.journal.reading import decode
from pve_runbook.parsers.own_files import Lock
from pve_runbook.record.verify import Disagreement, NoRecord, read_chain
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal


class Unfinished(Struct, frozen=True):
    """A run that did not end. ``folders`` are the records of all its attempts, oldest first, the last of which ends
    at ``head``; ``folder`` and ``first`` are the record and the events of the first that changed something: its backups
    are from before that."""

    work: str
    folder: Path
    folders: tuple[Path, ...]
    head: str
    events: tuple[Entry, ...]
    first: tuple[Entry, ...]

    @property
    def last(self) -> str:
        """The name of its newest record's folder."""
        return self.folders[-1].name

    @property
    def baseline(self) -> Baseline | None:
        """Its baseline as its last attempt held it; None when it was cut short before it had one.

        Raises ValueError where it does not stand in the journal whole: a run relies on all of it.
        """
        for entry in reversed(self.events):
            if isinstance(entry.event, Baseline):
                if entry.amiss:
                    raise ValueError(f"{self.last}, the baseline in line {entry.number}: {entry.amiss}")
                return entry.event
        return None

    @property
    def authority(self) -> str | None:
        """The node it chose."""
        chosen = [note.node for note in of_kind(self.events, Note) if note.topic == "authority" and note.node]
        return chosen[-1] if chosen else None

    @property
    def changed_something(self) -> bool:
        """Whether it sent a command that changes more than the tool's own folder."""
        return any(map(changes_the_node, self.events))

    def what_it_did(self) -> list[str]:
        """Its approvals and its changes, one line each: the record of the run that takes it up names them too."""
        lines = [f"its records: {', '.join(folder.name for folder in self.folders)}"]
        for entry in self.events:
            match entry.event:
                case Approval() as said:
                    answer = f"{said.answer} by {said.by} ({said.how}) at {said.at}"
                    lines.append(f"phase {said.phase}, {said.subject}: {answer}")
                case ActionIntent() as sent if sent.detached or sent.action in ("window", "restore"):
                    lines.append(f"{entry.time} {sent.node}: {shlex.join(sent.argv)}")
        return lines

    def transfers(self, node: str) -> dict[str, str]:
        """File name → SHA-256 of the backups of ``node``."""
        return {pulled.file: pulled.sha256 for pulled in of_kind(self.first, Transfer) if pulled.node == node}


def whose(
    locks: Mapping[str, Lock | None], records: Path, broken: str | None, operator: str
) -> tuple[Unfinished | None, str]:
    """The run to take up, if any, and why the nodes are not free, or "".

    ``operator``: who asks, as a lock would name him. ``broken``: the run whose lock does not count.
    """
    held = {node: lock for node, lock in locks.items() if lock is not None and lock.run != broken}
    if not held:
        return None, ""
    node, lock = next(iter(held.items()))
    if len({x.run for x in held.values()}) > 1:
        return None, _refused(node, lock, "other nodes are held by other runs", "--break-lock=RUN, one after the other")
    if lock.by != operator:
        return None, _refused(node, lock, f"you are {operator}", f"--break-lock={lock.run}")
    folders = records_of(lock.run, records)
    if not folders:
        return None, _refused(
            node, lock, f"its record is not in {records}", f"--records=DIR, or --break-lock={lock.run}"
        )
    if is_live(folders[-1] / "journal.jsonl"):
        return None, refusal(
            RefusalId.YOUR_RUN_IS_LIVE,
            node,
            seen=f"a run of yours is under way: {folders[-1].name}, since {lock.since}",
            why="two runs at once would undo each other's steps",
            do="Wait for it, or stop it with Ctrl-C in its own terminal",
        )
    try:
        return _read(lock.run, folders), ""
    except Disagreement as error:
        return None, refusal(
            RefusalId.JOURNAL_WAS_CHANGED,
            node,
            seen=f"the unfinished run's journal in {folders[-1].name} was changed: {error}",
            why="its baseline and the hashes of its backups stand there, and could not be relied on",
            do=f"See `pytest --verify-record={folders[-1]}`; to give that run up for good: --break-lock={lock.run}",
        )


def read_run(folder: Path) -> Unfinished:
    """The run whose record is in ``folder``, with its other attempts beside it, whether it ended or not.

    Raises NoRecord, Disagreement, OSError.
    """
    work = next((run.work for run in of_kind(read_chain(folder, alone=True).events, Run)), None)
    if work is None:
        raise NoRecord(f"{folder}: no run has begun in it")
    folders = records_of(work, folder.parent)
    for one in folders:
        if is_live(one / "journal.jsonl"):
            raise NoRecord(f"{one}: this run is still under way")
    return _read(work, folders)


def _refused(node: str, lock: Lock, but: str, way: str) -> str:
    return refusal(
        RefusalId.HELD_BY_ANOTHER,
        node,
        seen=f"held by {lock.by} since {lock.since}, run {lock.run} (record {lock.record}); {but}",
        why="a run that was cut short is taken up by the one who holds its baseline and its backups",
        do=f"Ask {lock.by} to run the same command line again; if that run is given up for good: {way}",
    )


def records_of(work: str, records: Path) -> list[Path]:
    """The folders of all runs that worked under this lock, oldest first."""
    found = []
    for path in records.glob("*/journal.jsonl"):
        started = _start_of(path)
        if started is not None and isinstance(started.event, Run) and started.event.work == work:
            found.append((started.time, path.parent))
    return [folder for _, folder in sorted(found)]


def _start_of(journal: Path) -> Entry | None:
    with journal.open("rb") as file:
        for line in file:
            if b'"kind":"run"' in line:
                found = decode(line)
                return found[0] if found is not None else None
    return None


def _read(work: str, folders: list[Path]) -> Unfinished:
    """The events of all its attempts in order.

    Raises Disagreement when a journal's chain is broken: nothing in it can be relied on then.
    """
    chains = [read_chain(folder, alone=True) for folder in folders]
    changing = next((i for i, chain in enumerate(chains) if any(map(changes_the_node, chain.events))), 0)
    return Unfinished(
        work=work,
        folder=folders[changing],
        folders=tuple(folders),
        head=chains[-1].head,
        events=tuple(e for chain in chains for e in chain.events),
        first=chains[changing].events,
    )
