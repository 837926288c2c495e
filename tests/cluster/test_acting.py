"""What comes before a command that changes a node: its line on the disk; and that a run which reads sends none."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_run import MakeRun, runs
from pve_lab.shell import Channel
from pve_runbook.actions.errors import NotAllowed
from pve_runbook.actions.registry import STOP_SCHEDULER, TAKE_LOCK
from pve_runbook.journal.journal import JournalLost
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
