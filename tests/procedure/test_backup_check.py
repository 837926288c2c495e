"""What is inside a backup: opened to its end, and held against the node it came from."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from pve_runbook.parsers.systemd import Unit
from pve_runbook.procedure import backup
from pve_runbook.procedure.backup import BackupFailed
from pve_runbook.procedure.backup_check import database_problem, pve_archive_problem, system_archive_problem
from pve_runbook.procedure.rollback import Rollback

GUEST = "nodes/pve1/qemu-server/101.conf"
LIVE = {GUEST: b"memory: 16\n", "corosync.conf": b"totem {\n}\n", "storage.cfg": b"dir: local\n"}
PVE, SYSTEM = "/var/lib/pve-runbook/r/etc-pve.tar.gz", "/var/lib/pve-runbook/r/system.tar.gz"
COROSYNC = {"etc/corosync/corosync.conf": b"totem {\n}\n", "etc/corosync/authkey": bytes(range(256))}


def archive(files: dict[str, bytes]) -> bytes:
    """A .tar.gz as a node makes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as out:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            out.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("etc/pve/qemu-server")
        link.type, link.linkname = tarfile.SYMTYPE, "nodes/pve1/qemu-server"
        out.addfile(link)
    return buffer.getvalue()


def pve_archive(files: dict[str, bytes]) -> bytes:
    """etc-pve.tar.gz with these files below /etc/pve, and a secret one beside them."""
    return archive({f"etc/pve/{path}": data for path, data in files.items()} | {"etc/pve/priv/x.conf": b"secret"})


def sums(files: dict[str, bytes]) -> dict[str, str]:
    """What sha256sum says of them on the node."""
    return {f"/{name}": hashlib.sha256(data).hexdigest() for name, data in files.items()}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    """A copy of config.db with LIVE in it."""
    path = tmp_path / "config.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE tree (inode INTEGER, parent INTEGER, version, writer, mtime, type, name, data BLOB)")
        db.execute("INSERT INTO tree VALUES (0, 0, 7, 1, 1795415359, 8, '__version__', NULL)")
        inodes = {"": 0}
        for file, data in LIVE.items():
            *folders, name = file.split("/")
            at = ""
            for folder in folders:
                parent, at = at, f"{at}/{folder}"
                if at not in inodes:
                    inodes[at] = len(inodes)
                    row = (inodes[at], inodes[parent], 4, folder, None)
                    db.execute("INSERT INTO tree VALUES (?, ?, 1, 0, 0, ?, ?, ?)", row)
            row = (100 + len(file), inodes[at], 8, name, data)
            db.execute("INSERT INTO tree VALUES (?, ?, 1, 0, 0, ?, ?, ?)", row)
    yield path


def test_a_database_that_holds_what_is_live(database: Path) -> None:
    assert database_problem("pve1", database, LIVE) == ""


@pytest.mark.parametrize("file", [GUEST, "corosync.conf"])
@pytest.mark.parametrize("live", [None, b"other\n"])
def test_a_database_that_differs_from_what_is_live(database: Path, file: str, live: bytes | None) -> None:
    now = {k: v for k, v in LIVE.items() if k != file} | ({file: live} if live else {})
    said = database_problem("pve1", database, now)
    assert said.startswith(f"pve1: the copy of config.db and the live configuration differ in {file}.\n")


def test_a_guest_that_the_database_does_not_have(database: Path) -> None:
    said = database_problem("pve1", database, LIVE | {"nodes/pve1/lxc/102.conf": b""})
    assert "differ in nodes/pve1/lxc/102.conf." in said


def test_a_database_that_does_not_open(database: Path) -> None:
    whole = database.read_bytes()
    database.write_bytes(b"x" * len(whole))
    assert "the copy of config.db does not open: file is not a database" in database_problem("pve1", database, LIVE)
    database.write_bytes(whole[: len(whole) // 2])
    assert "the copy of config.db does not open: " in database_problem("pve1", database, LIVE)
    database.write_bytes(b"")
    assert "the copy of config.db does not open: no such table: tree" in database_problem("pve1", database, LIVE)


def test_an_archive_of_etc_pve_that_holds_what_is_live() -> None:
    assert pve_archive_problem("pve1", PVE, pve_archive(LIVE), LIVE) == ""


@pytest.mark.parametrize("content", [None, b"memory: 32\n"])
def test_an_archive_of_etc_pve_that_differs(content: bytes | None) -> None:
    data = pve_archive({k: v for k, v in LIVE.items() if k != GUEST} | ({GUEST: content} if content else {}))
    said = pve_archive_problem("pve1", PVE, data, LIVE)
    assert said.startswith(f"pve1: the copy of etc-pve.tar.gz and the live configuration differ in {GUEST}.\n")


def test_an_archive_is_read_to_its_end() -> None:
    """Cut off at any place, or with another checksum or length at its end, it does not open."""
    for whole, problem in (
        (pve_archive(LIVE), lambda data: pve_archive_problem("pve1", PVE, data, LIVE)),
        (archive(COROSYNC), lambda data: system_archive_problem("pve1", SYSTEM, data, sums(COROSYNC))),
    ):
        assert problem(whole) == ""
        for size in range(len(whole)):
            assert " does not open: " in problem(whole[:size]), size
        for place in range(1, 9):
            changed = bytearray(whole)
            changed[-place] ^= 1
            assert " does not open: " in problem(bytes(changed)), place


@pytest.mark.parametrize("file", COROSYNC)
def test_corosyncs_own_files_are_in_the_archive_as_the_node_has_them(file: str) -> None:
    there = sums(COROSYNC)
    without = {k: v for k, v in COROSYNC.items() if k != file}
    said = system_archive_problem("pve1", SYSTEM, archive(without), there)
    assert said.startswith(f"pve1: /{file} has SHA-256 {there['/' + file]} there and (it is missing) in the backup")
    said = system_archive_problem("pve1", SYSTEM, archive(COROSYNC | {file: b"other"}), there)
    assert f"there and {hashlib.sha256(b'other').hexdigest()} in the backup system.tar.gz.\n" in said
    assert "(it is missing) there" in system_archive_problem("pve1", SYSTEM, archive(COROSYNC), sums(without))
    assert system_archive_problem("pve1", SYSTEM, archive(without), sums(without)) == ""


def test_the_states_of_the_units_that_exist() -> None:
    def unit(name: str, load: str) -> Unit:
        return Unit(name, load, "active", "running", "enabled", None, 1, 0, "success", None)

    data = backup.unit_states({n: unit(n, x) for n, x in (("b.service", "loaded"), ("a.timer", "not-found"))})
    assert json.loads(data) == {"b.service": {"active": "active", "sub": "running", "file_state": "enabled"}}


def test_what_does_not_fit_on_this_machine_is_refused(tmp_path: Path) -> None:
    backup.make_sure_it_fits(tmp_path, 1)
    with pytest.raises(BackupFailed, match=r"this machine: the backups need 976562500000000 KiB in .* are left\.\n"):
        backup.make_sure_it_fits(tmp_path, 10**18)


def test_a_database_that_does_not_open_is_no_way_back(tmp_path: Path) -> None:
    """As its run left it, by the hash in its journal, and no database all the same."""
    there = tmp_path / "backups" / "pve1"
    there.mkdir(parents=True)
    (there / "config.db").write_bytes(b"garbage")
    back = object.__new__(Rollback)
    back._before = {}
    back.earlier = SimpleNamespace(  # type: ignore[assignment]
        folder=tmp_path, transfers=lambda _: {"config.db": hashlib.sha256(b"garbage").hexdigest()}
    )
    with pytest.raises(BackupFailed, match=r"(?s)^pve1: .*config\.db does not open: .*\[PVE-R145\]$"):
        back.before(SimpleNamespace(name="pve1", work="x"))  # type: ignore[arg-type]
