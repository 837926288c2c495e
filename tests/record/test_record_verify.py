"""Whatever is changed in a record is found, and named."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import record_folders
from pve_runbook.journal import events
from pve_runbook.record.verify import Disagreement, NoRecord, rebuild, verify
from record_folders import lines, write_lines


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """The record of a run that ended."""
    return record_folders.whole(tmp_path / "record")


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The journal and the backups of a run that was killed."""
    return record_folders.killed(tmp_path / "record")


def disagreement(folder: Path) -> str:
    """Verify, and return what does not agree."""
    with pytest.raises(Disagreement) as caught:
        verify(folder)
    return str(caught.value)


def refuses(folder: Path, name: str, data: bytearray, place: int, value: int) -> str:
    """Change one byte of a file, return what verifying says, and put it back."""
    was = data[place]
    data[place] = value
    (folder / name).write_bytes(data)
    try:
        return disagreement(folder)
    except pytest.fail.Exception:
        pytest.fail(f"{name}: byte {place} as {value:#x} in place of {was:#x} was not seen")
    finally:
        data[place] = was
        (folder / name).write_bytes(data)


def test_an_untouched_record_agrees(whole: Path) -> None:
    found = verify(whole)
    assert found.gaps == ()
    assert (found.backups, found.compared) == (2, ("record.json", "summary.md", "report.html"))
    assert len(found.chain.events) == len(lines(whole))


def test_the_record_that_was_taken_up_is_followed(tmp_path: Path) -> None:
    first = record_folders.killed(tmp_path / "first")
    head = verify(first).chain.head
    second = record_folders.whole(tmp_path / "second", continues=("first", head))
    assert verify(second).earlier == ("first: its journal ends as this one names it",)
    write_lines(first, lines(first)[:-1])
    assert disagreement(second).startswith("first, the record of the run that this one took up, is not what it was")
    (first / "journal.jsonl").unlink()
    assert verify(second).earlier == ("first is not beside it, and was not compared",)


@pytest.mark.parametrize(
    "how", [pytest.param(h, marks=pytest.mark.sweep) for h in ("lowest bit", "highest bit", "newline")]
)
def test_every_single_byte_of_the_journal_is_vouched_for(whole: Path, how: str) -> None:
    data = bytearray((whole / "journal.jsonl").read_bytes())
    masks = {"lowest bit": 0x01, "highest bit": 0x80}
    line = 1
    for place, byte in enumerate(data):
        value = byte ^ masks[how] if how in masks else ord("\n")
        if value != byte:
            said = refuses(whole, "journal.jsonl", data, place, value)
            assert said.startswith(f"journal.jsonl, line {line} was changed: "), (place, said)
        line += byte == ord("\n")


@pytest.mark.sweep
def test_every_single_byte_of_record_json_is_vouched_for(whole: Path) -> None:
    data = bytearray((whole / "record.json").read_bytes())
    for place, byte in enumerate(data):
        said = refuses(whole, "record.json", data, place, byte ^ 0x01)
        assert said.startswith(("record.json is not what the journal gives", "record.json was changed")), (place, said)


def test_a_long_journal_is_vouched_for_to_its_last_byte(tmp_path: Path) -> None:
    journal = record_folders.begun(tmp_path / "record")
    for number in range(400):
        journal.write(events.Note(topic="scheduler", node="pve1", text=f"note {number} " + "x" * 300))
    record_folders.finish(journal)
    rebuild(tmp_path / "record")
    data = bytearray((tmp_path / "record" / "journal.jsonl").read_bytes())
    choice = random.Random(4711)
    places = [0, len(data) - 2, len(data) - 1, *(choice.randrange(len(data)) for _ in range(60))]
    for place in places:
        said = refuses(tmp_path / "record", "journal.jsonl", data, place, data[place] ^ choice.randrange(1, 256))
        assert said.startswith(f"journal.jsonl, line {data[:place].count(10) + 1} was changed: ")


def test_a_changed_line_is_told_from_the_line_that_names_it(whole: Path) -> None:
    content = lines(whole)
    digit = content[4][-10:-9]
    other = b"0" if digit != b"0" else b"1"
    write_lines(whole, [*content[:4], content[4][:-10] + other + content[4][-9:], *content[5:]])
    assert "line 5 was changed: it names another SHA-256 than that of line 4" in disagreement(whole)
    write_lines(whole, [*content[:3], content[3].replace(b"Backups", b"backups"), *content[4:]])
    assert "line 4 was changed: its SHA-256 is not the one that line 5 names" in disagreement(whole)
    assert "Lines 1 to 3 are intact." in disagreement(whole)


def test_the_last_line_is_told_from_the_line_before_it_by_record_json(whole: Path) -> None:
    content = lines(whole)
    last, digit = len(content), content[-1][-10:-9]
    other = b"0" if digit != b"0" else b"1"
    write_lines(whole, [*content[:-1], content[-1][:-10] + other + content[-1][-9:]])
    assert f"line {last} was changed: it names another SHA-256 than that of line {last - 1}" in disagreement(whole)


@pytest.mark.parametrize("number", [1, 2, 6])
def test_a_line_that_was_taken_away_is_missed(whole: Path, number: int) -> None:
    content = lines(whole)
    del content[number - 1]
    write_lines(whole, content)
    assert f"line {number} was changed: it carries the number {number + 1}, or lines were" in disagreement(whole)


def test_last_lines_that_were_taken_away_are_missed(whole: Path) -> None:
    content = lines(whole)
    write_lines(whole, content[:-2])
    said = disagreement(whole)
    assert f"line {len(content) - 2} was changed: it is not the one that record.json names as the last" in said
    assert "or lines after it were taken away" in said


def test_a_line_that_was_added_is_named(whole: Path) -> None:
    content = lines(whole)
    journal = record_folders.begun(whole.parent / "other")
    record_folders.finish(journal)
    number = journal.write(events.Note(topic="", node=None, text="never happened"))
    forged = (
        f'{{"n":{number},"t":"","kind":"note","step":null,"text":"never","prev":"{verify(whole).chain.head}"}}\n'
    ).encode()
    write_lines(whole, [*content, forged])
    assert f"line {number} was changed: it was added; record.json names line {number - 1}" in disagreement(whole)


def test_bytes_after_the_end_of_a_run_are_named(whole: Path) -> None:
    content = lines(whole)
    write_lines(whole, [*content, b'{"n":'])
    assert f"line {len(content) + 1} is half a line (5 bytes, no newline): the run had ended" in disagreement(whole)


def test_a_head_that_was_changed_in_record_json_is_told_from_a_changed_last_line(whole: Path) -> None:
    head = verify(whole).chain.head
    path = whole / "record.json"
    path.write_text(path.read_text("utf-8").replace(head, "0" * 64), "utf-8")
    assert disagreement(whole).startswith("record.json was changed: it names the journal's head as 0000000000000000…")
    assert "summary.md and report.html and the journal agree" in disagreement(whole)
    assert f"pytest --record-from={whole}" in disagreement(whole)


@pytest.mark.parametrize("name", ["summary.md", "report.html"])
def test_a_changed_word_in_what_people_read_is_named(whole: Path, name: str) -> None:
    path = whole / name
    text = path.read_text("utf-8")
    assert "Both nodes stand alone" in text
    path.write_text(text.replace("Both nodes stand alone", "Both nodes stood alone"), "utf-8")
    said = disagreement(whole)
    assert re.match(rf"{re.escape(name)} is not what the journal gives, from its line \d+ on: it has ", said)
    assert "Both nodes stood" in said and "Both nodes stand" in said


def test_a_changed_word_among_the_steps_of_the_report_is_named(whole: Path) -> None:
    path = whole / "report.html"
    text = path.read_text("utf-8")
    assert "It rolls back." in text
    path.write_text(text.replace("It rolls back.", "It stays gone."), "utf-8")
    said = disagreement(whole)
    assert said.startswith("report.html is not what the journal gives, from its line ")
    assert "It stays gone." in said and "It rolls back." in said


def test_the_line_named_is_the_one_that_differs(whole: Path) -> None:
    path = whole / "record.json"
    content = path.read_text("utf-8").splitlines(keepends=True)
    number = next(number for number, line in enumerate(content, 1) if '"operator"' in line)
    path.write_text("".join(content).replace("änna", "otto"), "utf-8")
    assert f"from its line {number} on" in disagreement(whole)


@pytest.mark.parametrize("name", ["record.json", "summary.md", "report.html"])
def test_an_emptied_file_is_no_missing_file(whole: Path, name: str) -> None:
    (whole / name).write_bytes(b"")
    assert disagreement(whole).startswith(f"{name} is not what the journal gives")


@pytest.mark.parametrize("name", ["record.json", "summary.md", "report.html"])
def test_a_missing_file_leaves_the_record_not_whole(whole: Path, name: str) -> None:
    (whole / name).unlink()
    found = verify(whole)
    assert found.missing == (name,)
    assert f"Not there: {name}." in found.gaps
    assert ("Without record.json" in " ".join(found.gaps)) == (name == "record.json")


def test_every_byte_of_a_backup_is_vouched_for(whole: Path) -> None:
    data = bytearray((whole / "backups/pve2/config.db").read_bytes())
    for place, byte in enumerate(data):
        said = refuses(whole, "backups/pve2/config.db", data, place, byte ^ 0x01)
        assert said.startswith("backups/pve2/config.db was changed: its SHA-256 is")


def test_a_backup_that_is_gone_longer_or_a_link_is_named(whole: Path) -> None:
    path = whole / "backups/pve1/config.db"
    data = path.read_bytes()
    path.write_bytes(data + b"x")
    assert f"backups/pve1/config.db has {len(data) + 1} bytes; it was pulled with {len(data)}" in disagreement(whole)
    path.rename(whole / "elsewhere")
    assert "backups/pve1/config.db is missing; the journal says that it was pulled" in disagreement(whole)
    path.symlink_to(whole / "elsewhere")
    assert "backups/pve1/config.db is not a file of its own" in disagreement(whole)


@pytest.mark.parametrize("place", ["stray", "pve1/stray", "pve3/stray"])
def test_what_the_run_did_not_put_among_the_backups_is_named(whole: Path, place: str) -> None:
    path = whole / "backups" / place
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(b"")
    path.chmod(0o600)
    assert f"backups/{place} is named by no line of the journal" in disagreement(whole)


def test_a_linked_folder_among_the_backups_is_named(whole: Path) -> None:
    (whole / "backups" / "pve9").symlink_to(whole / "backups" / "pve1")
    assert "backups/pve9 is named by no line of the journal" in disagreement(whole)


@pytest.mark.parametrize(
    ("place", "mode"), [("backups", 0o755), ("backups/pve1", 0o710), ("backups/pve2/config.db", 0o640)]
)
def test_a_backup_that_others_can_read_is_named(whole: Path, place: str, mode: int) -> None:
    (whole / place).chmod(mode)
    said = disagreement(whole)
    assert f"{place} is open to others (mode {mode:04o})" in said
    assert f"chmod -R go= {whole}/backups" in said


@pytest.mark.parametrize(("node", "file"), [("..", "journal.jsonl"), ("pve1", "../pve2/config.db"), ("", "config.db")])
def test_a_journal_cannot_name_a_file_outside_the_backups(tmp_path: Path, node: str, file: str) -> None:
    journal = record_folders.begun(tmp_path / "record")
    journal.write(events.Transfer(node=node, file=file, size=1, sha256="00"))
    journal.close()
    assert "that is no place in backups/" in disagreement(tmp_path / "record")


def test_a_killed_run_is_intact_but_not_whole(killed: Path) -> None:
    found = verify(killed)
    assert f"The run did not end: it was killed, or its machine went down, after line {len(lines(killed))}." in (
        found.gaps
    )
    assert found.missing == ("record.json", "summary.md", "report.html")
    assert found.backups == 2


def test_a_journal_cut_anywhere_is_intact_up_to_its_last_whole_line(killed: Path) -> None:
    data = (killed / "journal.jsonl").read_bytes()
    for backup in (killed / "backups").glob("*/*"):
        backup.unlink()
    for size in range(data.index(b'"transfer"') - 100):
        (killed / "journal.jsonl").write_bytes(data[:size])
        found = verify(killed)
        whole, half = data[:size].count(b"\n"), size - (data[:size].rfind(b"\n") + 1)
        assert (len(found.chain.events), found.chain.half) == (whole, half)
        assert any(f"line {whole + 1} is half a line ({half} bytes" in gap for gap in found.gaps) == (half > 0)


def test_a_killed_run_is_vouched_for_to_the_line_before_its_last(killed: Path) -> None:
    data = bytearray((killed / "journal.jsonl").read_bytes())
    last = data.rindex(b"\n", 0, len(data) - 1) + 1
    for place in range(0, last, 7):
        said = refuses(killed, "journal.jsonl", data, place, data[place] ^ 0x01)
        assert f"line {data[:place].count(10) + 1} was changed" in said


def test_a_backup_in_flight_when_the_run_was_killed_is_said(killed: Path) -> None:
    path = killed / "backups/pve1/system.tar.gz"
    path.write_bytes(b"half")
    path.chmod(0o600)
    assert any("backups/pve1/system.tar.gz is named by no line" in gap for gap in verify(killed).gaps)


def test_a_record_of_another_version_is_not_called_changed(tmp_path: Path) -> None:
    folder = record_folders.whole(tmp_path / "record", version="0.0.9")
    assert verify(folder).gaps == ()
    path = folder / "summary.md"
    path.write_text(path.read_text("utf-8").replace("Nodes:", "Hosts:"), "utf-8")
    (gap,) = verify(folder).gaps
    assert "summary.md was written by version 0.0.9 and cannot be compared by version" in gap


@pytest.mark.parametrize("name", ["", "absent", "file"])
def test_a_folder_without_a_journal_is_no_record(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NoRecord, match=r"there is no journal\.jsonl in it"):
        verify(tmp_path / name)


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b"1\n", b'{"n":1}\n', b'{"n":1,"prev":null}\n', b"[" * 100_000 + b"\n", b"\xff\n"]
)
def test_lines_that_no_run_writes_are_named(tmp_path: Path, line: bytes) -> None:
    write_lines(tmp_path, [line])
    assert "journal.jsonl, line 1 was changed: it is not a line that a run writes" in disagreement(tmp_path)
