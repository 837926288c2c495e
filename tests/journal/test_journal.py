"""The journal as it is written: a chain of lines from the first on, and alive while its run is."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pve_runbook.journal.events import Note
from pve_runbook.journal.journal import FIRST, Journal, JournalLost, is_live
from pve_runbook.record.verify import Disagreement, read_chain


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """One with five lines, the first two from before it had a file."""
    journal = Journal()
    for number in range(2):
        journal.write(Note(topic="x", text=f"early {number}", node=None))
    journal.attach(tmp_path / "journal.jsonl")
    for number in range(3):
        journal.write(Note(topic="x", text=f"late {number}", node=None), sync=number == 1)
    return journal


def test_each_line_names_the_hash_of_the_line_before_it(journal: Journal, tmp_path: Path) -> None:
    journal.close()
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    hashes = [FIRST, *(hashlib.sha256(line).hexdigest() for line in lines)]
    assert [json.loads(line)["prev"] for line in lines] == hashes[:-1] and len(lines) == 5
    assert journal.head == hashes[-1] == read_chain(tmp_path).head


@pytest.mark.parametrize("place", range(4))
def test_a_line_that_was_changed_breaks_the_chain(journal: Journal, tmp_path: Path, place: int) -> None:
    journal.close()
    path = tmp_path / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[place] = lines[place].replace(b'"text":"', b'"text":"not ')
    path.write_bytes(b"".join(lines))
    with pytest.raises(Disagreement, match=rf"line {place + 1} was changed"):
        read_chain(tmp_path)


def test_a_journal_is_live_until_it_is_closed(journal: Journal, tmp_path: Path) -> None:
    assert is_live(tmp_path / "journal.jsonl")
    journal.close()
    assert not is_live(tmp_path / "journal.jsonl")


def test_lines_reach_the_disk_once_there_is_a_file(tmp_path: Path) -> None:
    journal = Journal()
    assert not journal.is_attached
    journal.attach(tmp_path / "journal.jsonl")
    assert journal.is_attached
    journal.close()
    assert not journal.is_attached


@contextmanager
def full(path: Path) -> Iterator[None]:
    """A file that takes ten more bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("sync", [True, False])
def test_a_file_that_takes_no_more_lines_is_told_and_has_no_half_line(
    journal: Journal, tmp_path: Path, sync: bool
) -> None:
    before, event = (tmp_path / "journal.jsonl").read_bytes(), Note(topic="x", text="one too many", node=None)
    journal.check()
    with full(tmp_path / "journal.jsonl"):
        if not sync:
            journal.write(event)  # kept in memory; whoever asks next is told
            assert journal.events[-1].event == event
        with pytest.raises(JournalLost, match=f"cannot be written any more: {os.strerror(errno.EFBIG)}\\."):
            journal.write(event, sync=True)
    with pytest.raises(JournalLost):
        journal.check()
    journal.close()
    assert (tmp_path / "journal.jsonl").read_bytes() == before


def test_a_journal_that_is_closed_is_on_the_disk(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, synced = os.fsync, list[int]()

    def keep(fd: int) -> None:
        real(fd)
        synced.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fsync", keep)
    journal.close()
    assert synced == [(tmp_path / "journal.jsonl").stat().st_size]
