"""What comes before a command that changes a node: its line on the disk; and that a run which reads sends none."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_run import MakeRun, runs
from pve_lab.shell import Channel
from pve_runbook.actions.errors import ActionFailed, NotAllowed
from pve_runbook.actions.registry import RELEASE_LOCK, RUN_WINDOW, STOP_SCHEDULER, TAKE_LOCK
from pve_runbook.journal.events import Action, ActionIntent, of_kind
from pve_runbook.journal.journal import JournalLost
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.probes.registry import HOSTNAME


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[MakeRun]:
    """Build runs on the lab's model."""
    yield from runs(tmp_path)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the files at the moments when the disk was told to keep them."""
    sizes: list[int] = []
    for name in {"fdatasync", "fsync"} & set(dir(os)):
        real = getattr(os, name)

        def keep(fd: int, real=real) -> None:  # type: ignore[no-untyped-def]
            real(fd)
            sizes.append(os.fstat(fd).st_size)

        monkeypatch.setattr(os, name, keep)
    return sizes


@pytest.mark.parametrize("action", [STOP_SCHEDULER.bind(), TAKE_LOCK.bind(lock="x")], ids=["as a unit", "at once"])
def test_a_command_is_sent_once_its_line_is_on_the_disk_and_its_outcome_is_kept_as_well(
    make_run: MakeRun, synced: list[int], action: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("broken", 1)
    run.bench.run("pve1", "mkdir -p /var/lib/pve-runbook")
    journal = run.folder / "journal.jsonl"
    on_disk: list[bytes] = []
    answer = Channel.execute

    def sent(channel: Channel, command: str) -> tuple[str, str, int]:
        if channel.via == "ssh":
            on_disk.append(journal.read_bytes()[: synced[-1] if synced else 0])
        return answer(channel, command)

    monkeypatch.setattr(Channel, "execute", sent)
    synced.clear()
    run.cluster.node("pve1").act(action)  # type: ignore[arg-type]
    [before] = on_disk
    assert kinds(before)[-1:] == ["action-intent"]
    assert kinds(journal.read_bytes()[: synced[-1]])[-2:] == ["action-intent", "action"]


def kinds(data: bytes) -> list[str]:
    """What the lines of a journal are."""
    return [json.loads(line)["kind"] for line in data.splitlines()]


def test_what_the_disk_does_not_keep_is_not_sent(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("broken", 1)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in {"fdatasync", "fsync"} & set(dir(os)):
        monkeypatch.setattr(os, name, full)
    with pytest.raises(JournalLost, match="No space left on device"):
        run.cluster.node("pve1").act(STOP_SCHEDULER.bind())
    assert run.bench.mutations() == []
    monkeypatch.undo()


def test_a_run_that_reads_sends_no_action(make_run: MakeRun) -> None:
    """Not even over a line that would carry it."""
    run = make_run("broken", 1, read_only=True)
    with pytest.raises(NotAllowed, match="would change the node; checks only read"):
        run.cluster.node("pve1").act(STOP_SCHEDULER.bind())
    known = run.cluster.connect.known
    assert known is not None and not known(STOP_SCHEDULER.argv) and known(HOSTNAME.argv)
    assert run.bench.mutations() == []
    assert kinds((run.folder / "journal.jsonl").read_bytes()).count("action-intent") == 0


def test_without_a_journal_on_the_disk_nothing_is_changed(make_run: MakeRun) -> None:
    run = make_run("broken", 1)
    run.journal.close()
    with pytest.raises(NotAllowed, match="pve1: no journal on disk yet"):
        run.cluster.node("pve1").act(STOP_SCHEDULER.bind())
    assert run.bench.mutations() == []


def test_a_command_that_fails_is_an_error_and_is_kept_as_one(make_run: MakeRun) -> None:
    """The folder of the lock is not there."""
    run = make_run("broken", 1)
    node = run.cluster.node("pve1")
    with pytest.raises(ActionFailed, match="No such file or directory"):
        node.act(TAKE_LOCK.bind(lock="x"))
    assert node.act(RELEASE_LOCK.bind()).exit_status == 0
    told = [(kept.exit_status, kept.outcome) for kept in of_kind(run.journal.events, Action)]
    assert told == [(1, "failed"), (0, "done")]


def test_the_line_knows_that_roots_keys_may_be_away(make_run: MakeRun) -> None:
    """From the window on, whatever is sent after it."""
    run = make_run("broken", 1)
    node = run.cluster.node("pve1")
    node.act(STOP_SCHEDULER.bind())
    assert not node.line.is_unmounted
    node.act(RUN_WINDOW.bind(run="none", attempt="none"))
    assert node.line.is_unmounted
    node.act(RELEASE_LOCK.bind())
    assert node.line.is_unmounted


def test_the_journal_has_the_hash_of_what_a_command_reads(make_run: MakeRun) -> None:
    run = make_run("broken", 1)
    node = run.cluster.node("pve1")
    node.act(STOP_SCHEDULER.bind())
    node.act(STOP_SCHEDULER.bind(), stdin=b"input")
    hashes = [intent.stdin_sha256 for intent in of_kind(run.journal.events, ActionIntent)]
    assert hashes == [None, hashlib.sha256(b"input").hexdigest()]


def test_a_file_that_cannot_be_brought_is_unknown(make_run: MakeRun) -> None:
    node = make_run("broken", 1).cluster.node("pve1")
    assert node.fetch("/etc/hostname") == b"pve1\n"
    with pytest.raises(UnknownFact, match=r"base64 /etc/none: .*No such file"):
        node.fetch("/etc/none")
