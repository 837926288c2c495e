"""Verify a record against its own journal, and make a record again from the journal alone.

The journal is a chain: each line names the SHA-256 of the line before it, and record.json names that of the last.
So a line that was changed, dropped or added shows, and everything else in the folder is compared with what the
journal gives. A record that was rewritten as a whole agrees with itself too: only a head that is kept elsewhere,
in the ticket or in the terminal's scrollback, tells that one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
from collections.abc import Iterator
from importlib.metadata import version
from itertools import count as numbers
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from pve_runbook.journal.events import Continues, Entry, Transfer, of_kind
from pve_runbook.journal.journal import FIRST
from pve_runbook.journal.reading import decode
from pve_runbook.record.build import build
from pve_runbook.record.html_markup import Html, join, tag
from pve_runbook.record.html_summary import detail_html, summary_html
from pve_runbook.record.model import Record
from pve_runbook.record.printable import printable
from pve_runbook.record.pytest_html import STYLE, page_title
from pve_runbook.record.writer import write_record

JOURNAL, JSON, SUMMARY, REPORT = "journal.jsonl", "record.json", "summary.md", "report.html"

_PREV_TAIL = 64 + len('"}\n')
"""Every line ends with the 64 digits of the line before it, a quote, a brace and the newline."""

_SHOWN = 30
"""Characters shown on either side of the first difference between two texts."""


class NoRecord(Exception):
    """The folder holds no journal."""


class Disagreement(Exception):
    """Something in a record is not what the rest of it says; the text names the first line or file."""


class Chain(Struct, frozen=True):
    """A journal whose lines follow from one another."""

    events: tuple[Entry, ...]
    head: str
    """SHA-256 (hex) of the last whole line; 64 zeros when there is none."""
    half: int
    """Bytes after the last newline: a line that was being written when the run or the power went."""


class Verified(Struct, frozen=True):
    """A record in which nothing disagrees."""

    chain: Chain
    record: Record
    backups: int
    """How many files were compared with the hash they were pulled with."""
    compared: tuple[str, ...]
    """The files that say what the journal says."""
    missing: tuple[str, ...]
    """The files that are not there."""
    gaps: tuple[str, ...]
    """What keeps the record from being whole, one sentence each."""
    earlier: tuple[str, ...] = ()
    """The record that this run took up, in words: whether its journal still ends as this one names it."""


def verify(folder: Path) -> Verified:
    """Compare everything in ``folder`` with its journal.

    Raises NoRecord; Disagreement with the first line or file that does not agree; OSError when a file cannot be read.
    """
    chain = read_chain(folder)
    record = build(chain.events)
    gaps = []
    if record.end is None:
        gaps.append(f"The run did not end: it was killed, or its machine went down, after line {len(chain.events)}.")
    if chain.half:
        half = f"{JOURNAL}, line {len(chain.events) + 1} is half a line ({chain.half} bytes, no newline)"
        if record.end is not None:
            raise Disagreement(
                f"{half}: the run had ended before it, so it was added.\nEverything before it is intact."
            )
        gaps.append(f"{half}: it was being written when the run stopped.")
    backups, extra = _backups(folder / "backups", record)
    if extra:
        gaps.append(f"{extra} is named by no line of the journal: it was being pulled when the run stopped.")
    compared, missing = [], []
    for name, differs in _others(folder, record, chain.head):
        if differs is None:
            missing.append(name)
        elif not differs:
            compared.append(name)
        elif record.header.version == version("pytest-pve-runbook"):
            raise Disagreement(
                f"{name} is not what the journal gives, {differs}.\n"
                f"The journal is unbroken, so {name} was changed. {_anew(folder)}"
            )
        else:
            gaps.append(
                f"{name} was written by version {record.header.version or 'unknown'} and cannot be compared by "
                f"version {version('pytest-pve-runbook')}: verify with the version that wrote it."
            )
    if missing:
        gaps.append(f"Not there: {', '.join(missing)}.")
    if JSON in missing:
        gaps.append(f"Without {JSON} nothing tells whether the journal's last line was changed.")
    earlier = _earlier(folder, chain)
    return Verified(chain, record, backups, tuple(compared), tuple(missing), tuple(gaps), earlier)


def rebuild(folder: Path) -> tuple[Path, Verified]:
    """Write report.html, record.json and summary.md from the journal alone; return where, and what they say.

    They go into ``folder`` when none of them is there, otherwise into a new ``rebuilt-<n>`` in it.
    Raises NoRecord, Disagreement (nothing is written: a record of a changed journal would look like a true one),
    OSError.
    """
    chain = read_chain(folder, alone=True)
    if not chain.events:
        raise NoRecord(f"{folder}: {JOURNAL} holds not one whole line, there is nothing to make a record from")
    record = build(chain.events)
    target = folder
    if any((folder / name).exists() for name in (REPORT, JSON, SUMMARY)):
        target = _new_folder(folder)
    (target / REPORT).write_text(_page(record, chain), encoding="utf-8")
    write_record(target, record, chain.head)
    return target, Verified(chain, record, 0, (REPORT, JSON, SUMMARY), (), ())


def _new_folder(folder: Path) -> Path:
    for number in numbers(1):
        target = folder / f"rebuilt-{number}"
        if not target.exists():
            target.mkdir(mode=0o700)
            return target
    raise AssertionError("numbers do not end")


# --- the chain ---


def read_chain(folder: Path, *, alone: bool = False) -> Chain:
    """Read journal.jsonl and follow its chain; unless ``alone``, up to the head that record.json names.

    Raises NoRecord, Disagreement, OSError.
    """
    try:
        data = (folder / JOURNAL).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NoRecord(f"{folder}: there is no {JOURNAL} in it, so it is no record") from None
    parts = data.split(b"\n")
    lines = [part + b"\n" for part in parts[:-1]]
    last = None if alone else _named_head(folder)
    entries: list[Entry] = []
    head = FIRST
    for number, line in enumerate(lines, 1):
        found = decode(line)
        if found is None:
            raise _changed(number, "it is not a line that a run writes")
        entry, prev = found
        if entry.number != number:
            raise _changed(number, f"it carries the number {entry.number}, or lines were taken away or added before it")
        if prev != head:
            raise _broken(lines, number, head, last)
        head = _sha256(line)
        entries.append(entry)
    chain = Chain(tuple(entries), head, len(parts[-1]))
    if last is not None and last != head:
        raise _last_broken(folder, lines, chain, last)
    return chain


def _anew(folder: Path) -> str:
    return f"To write it anew: {shlex.join(['pytest', f'--record-from={folder}'])}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _changed(number: int, seen: str) -> Disagreement:
    before = f"Lines 1 to {number - 1} are intact." if number > 1 else "Nothing before it vouches for it."
    return Disagreement(f"{JOURNAL}, line {number} was changed: {seen}.\n{before} Compare with a copy kept elsewhere.")


def _broken(lines: list[bytes], number: int, head: str, last: str | None) -> Disagreement:
    """Tell which of two neighbours was changed, where line ``number`` names another hash than that before it."""
    if number == 1:
        return _changed(1, "the first line names 64 zeros as the line before it, and this one does not")
    following = decode(lines[number]) if number < len(lines) else None
    named = following[1] if following is not None else last if number == len(lines) else None
    if named == _sha256(_with_prev(lines[number - 1], head)):
        return _changed(number, f"it names another SHA-256 than that of line {number - 1}")
    return _changed(number - 1, f"its SHA-256 is not the one that line {number} names")


def _with_prev(line: bytes, head: str) -> bytes:
    return line[:-_PREV_TAIL] + head.encode() + line[-_PREV_TAIL + 64 :]


def _last_broken(folder: Path, lines: list[bytes], chain: Chain, last: str) -> Disagreement:
    """Tell the last line from record.json, where the one is not what the other names."""
    witnesses = [name for name in (SUMMARY, REPORT) if chain.head.encode() in (_read(folder / name) or b"")]
    if witnesses:
        return Disagreement(
            f"{JSON} was changed: it names the journal's head as {last[:16]}…, it is {chain.head[:16]}….\n"
            f"{' and '.join(witnesses)} and the journal agree. {_anew(folder)}"
        )
    ended_at = next((number for number, line in enumerate(lines, 1) if _sha256(line) == last), None)
    if ended_at is not None:
        return _changed(ended_at + 1, f"it was added; {JSON} names line {ended_at} as the last")
    if chain.half:
        return _changed(len(lines) + 1, f"it has no newline at its end, and {JSON} names another line as the last")
    return _changed(len(lines), f"it is not the one that {JSON} names as the last, or lines after it were taken away")


def _named_head(folder: Path) -> str | None:
    """The journal's head as record.json names it; None when there is none to be read."""
    try:
        data = json.loads(_read(folder / JSON) or b"")
    except (ValueError, RecursionError):
        return None
    head = data.get("journal_head") if isinstance(data, dict) else None
    return head if isinstance(head, str) else None


def _read(path: Path) -> bytes | None:
    """Return what is in a file; None when it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _earlier(folder: Path, chain: Chain) -> tuple[str, ...]:
    """Compare the journals of the runs that this one took up with the heads it names. Raises Disagreement, OSError."""
    said = []
    for taken_up in of_kind(chain.events, Continues):
        name, head = printable(taken_up.folder), taken_up.head
        try:
            found = read_chain(folder.parent / Path(name).name, alone=True).head
        except NoRecord:
            said.append(f"{name} is not beside it, and was not compared")
            continue
        if found != head:
            raise Disagreement(
                f"{name}, the record of the run that this one took up, is not what it was: its journal ends at "
                f"{found[:16]}…, this one names {head[:16]}….\nThis journal itself is unbroken."
            )
        said.append(f"{name}: its journal ends as this one names it")
    return tuple(said)


# --- backups ---


def _backups(folder: Path, record: Record) -> tuple[int, str]:
    """Compare every backup with its line in the journal. Return how many, and a file that no line names.

    Such a file may lie there only when the run did not end: it is synced before its line is written.
    Raises Disagreement, OSError.
    """
    expected = {_place(item): item for item in record.transfers}
    for place, item in expected.items():
        _backup(folder / place, f"backups/{place}", item)
    extra = [place for place in _lying(folder) if place not in expected]
    if extra and record.end is not None:
        raise Disagreement(
            f"backups/{extra[0]} is named by no line of the journal: the run did not put it there.\n"
            "Take it away, or compare with a copy of the record kept elsewhere."
        )
    return len(expected), f"backups/{extra[0]}" if extra else ""


def _place(item: Transfer) -> str:
    for name in (item.node, item.file):
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise Disagreement(f"{JOURNAL} names a backup {name!r} of {item.node!r}: that is no place in backups/.")
    return f"{item.node}/{item.file}"


def _backup(path: Path, shown: str, item: Transfer) -> None:
    again = "Do not restore from it; use a copy of the record kept elsewhere, or the one on the node."
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise Disagreement(f"{shown} is missing; the journal says that it was pulled.\n{again}") from None
    if not stat.S_ISREG(status.st_mode):
        raise Disagreement(f"{shown} is not a file of its own.\n{again}")
    if status.st_size != item.size:
        raise Disagreement(f"{shown} has {status.st_size} bytes; it was pulled with {item.size}.\n{again}")
    found = _sha256(path.read_bytes())
    if found != item.sha256:
        raise Disagreement(
            f"{shown} was changed: its SHA-256 is {found[:16]}…, it was pulled with {item.sha256[:16]}….\n{again}"
        )


def _lying(folder: Path) -> Iterator[str]:
    """Yield the files below ``folder`` by their relative names.

    Raises Disagreement when others may read them, OSError when a folder cannot be listed.
    """
    if not folder.exists():
        return
    for parent, folders, files in os.walk(folder, onerror=_discard_changes):
        folders.sort()
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        for path in (Path(parent), *(Path(parent) / name for name in sorted(files))):
            mode = stat.S_IMODE(path.lstat().st_mode)
            if mode & 0o077 and not path.is_symlink():
                shown = path.relative_to(folder.parent)
                raise Disagreement(
                    f"{shown} is open to others (mode {mode:04o}); it holds a cluster's keys.\n"
                    f"Close it: {shlex.join(['chmod', '-R', 'go=', str(folder)])}"
                )
        for name in sorted((*files, *links)):
            yield (Path(parent) / name).relative_to(folder).as_posix()


def _discard_changes(error: OSError) -> None:
    raise error


# --- what is made from the journal ---


def _others(folder: Path, record: Record, head: str) -> Iterator[tuple[str, str | None]]:
    """Yield each file made from the journal and where it differs: empty when it agrees, None when it is missing."""
    with TemporaryDirectory() as made:
        write_record(Path(made), record, head)
        for name in (JSON, SUMMARY):
            found = _read(folder / name)
            yield name, None if found is None else _difference(found, (Path(made) / name).read_bytes())
    found = _read(folder / REPORT)
    if found is None:
        yield REPORT, None
        return
    for part in (summary_html(record, head), detail_html(record)):
        expected = part.encode("utf-8")
        if expected not in found:
            begin = max(found.find(expected[: expected.index(b">") + 1]), 0)
            yield REPORT, _difference(found[begin : begin + len(expected)], expected, found[:begin].count(b"\n"))
            return
    yield REPORT, ""


def _difference(found: bytes, expected: bytes, above: int = 0) -> str:
    """Say where two texts part; empty when they do not. ``above`` is the number of lines before ``found``."""
    if found == expected:
        return ""
    ends = (place for place, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1])
    place = next(ends, min(len(found), len(expected)))
    line = above + found[:place].count(b"\n") + 1
    return f"from its line {line} on: it has {_around(found, place)}, the journal gives {_around(expected, place)}"


def _around(data: bytes, place: int) -> str:
    piece = data[max(place - _SHOWN, 0) : place + _SHOWN].decode("utf-8", "replace")
    return repr(piece)


def _page(record: Record, chain: Chain) -> str:
    """Return report.html as far as the journal gives it: the record with its style, without a script."""
    title = page_title(record.header.mode)
    told = f"Made from {JOURNAL} alone. pytest-html's own table of the steps, for sorting, is not in this page."
    if chain.half:
        told += f" The journal's last line was cut off after {chain.half} bytes and is left out."
    head = join([Html('<meta charset="utf-8">'), tag("title", title), tag("style", Html(STYLE.read_text("utf-8")))])
    parts = [tag("h1", title, id="title"), tag("p", told)]
    record_parts = Html(summary_html(record, chain.head) + detail_html(record))
    body = tag("body", join([*parts, record_parts]))
    return f'<!doctype html>\n<html lang="en">{tag("head", head)}\n{body}</html>\n'
