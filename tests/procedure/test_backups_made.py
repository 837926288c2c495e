"""Backups of a node that another hand changes meanwhile, or that has no room for them: no backup, no change."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from bench_run import BenchRun, MakeRun, phase
from pve_lab.faults import Fault
from pve_runbook.actions.registry import MAKE_FOLDER
from pve_runbook.cluster.node import Node
from pve_runbook.procedure import backup
from pve_runbook.procedure.backup import BackupFailed, Copies
from pve_runbook.procedure.stages import BACKUP_FOLDER, BACKUPS

CONFIG = "/etc/pve/nodes/pve1/qemu-server/101.conf"


@pytest.fixture
def run(make_run: MakeRun) -> BenchRun:
    """A quorate cluster of one, so that configs can be changed; its folder for backups is there."""
    run = make_run("quorate", 1)
    run.perform(BACKUP_FOLDER)
    return run


def made(run: BenchRun, changed: str = "") -> tuple[Node, Copies]:
    """Backups as they lie on the node; another hand typed ``changed`` after the node was noted."""
    [node] = run.cluster.nodes
    copies = Copies(run.cluster.work, run.folder / "backups")
    copies.note(node)
    if changed:
        assert run.bench.run("pve1", changed).exit_status == 0
    run.perform(BACKUPS)
    return node, copies


def test_what_was_made_is_brought_and_named_by_its_hash(run: BenchRun) -> None:
    node, copies = made(run)
    copies.bring(node)
    here = {path.name for path in (run.folder / "backups" / "pve1").iterdir()}
    assert here == {*backup.ALWAYS, backup.PVE_TAR}


@pytest.mark.parametrize("place", range(3), ids=["config.db", "system.tar.gz", "etc-pve.tar.gz"])
def test_a_backup_that_changes_on_its_way_is_none(run: BenchRun, place: int, request: pytest.FixtureRequest) -> None:
    """Between the node's own sum of it and the moment it is fetched."""
    node, copies = made(run)
    name = request.node.callspec.id
    folder = f"/var/lib/pve-runbook/{run.cluster.work}"
    other = Fault("run", argv=("base64", "-w0"), skip=place, command=f"printf x | tee -a {folder}/{name}")
    run.bench.site.faults.arm(other)
    with pytest.raises(BackupFailed, match=rf"^pve1: {folder}/{name} has SHA-256 \w+ there and \w+ here\."):
        copies.bring(node)


def test_a_database_without_what_is_live_is_no_backup(run: BenchRun) -> None:
    """A guest is changed after the node was noted: the archive of /etc/pve is not asked any more."""
    node, copies = made(run, f"printf 'description: x\\n' >> {CONFIG}")
    with pytest.raises(BackupFailed, match=r"the copy of config\.db and the live configuration differ in nodes/pve1/"):
        copies.bring(node)


def test_an_archive_without_corosyncs_key_is_no_backup(run: BenchRun) -> None:
    node, copies = made(run)
    folder = f"/var/lib/pve-runbook/{run.cluster.work}"
    assert run.bench.run("pve1", f"cp {folder}/etc-pve.tar.gz {folder}/system.tar.gz").exit_status == 0
    with pytest.raises(BackupFailed, match=r"/etc/corosync/corosync\.conf has SHA-256 \w+ there and \(it is missing\)"):
        copies.bring(node)


def test_a_backup_that_cannot_be_written_here_is_none(run: BenchRun) -> None:
    node, copies = made(run)
    (run.folder / "backups" / "pve1" / "config.db").mkdir(parents=True)
    with pytest.raises(BackupFailed, match=r"^pve1: its backup config\.db cannot be written here: .*Is a directory"):
        copies.bring(node)


def test_a_backup_that_is_missing_here_is_named(run: BenchRun) -> None:
    node, copies = made(run)
    copies.bring(node)
    gate = partial(phase("phase0_freeze").test_backups_are_checked, SimpleNamespace(pve=node.facts), None)
    gate(SimpleNamespace(folder=run.folder))
    (run.folder / "backups" / "pve1" / "system.tar.gz").unlink()
    with pytest.raises(AssertionError, match=r"^pve1: its backups on this machine lack system\.tar\.gz\."):
        gate(SimpleNamespace(folder=run.folder))


def test_a_node_without_room_is_refused_before_anything_is_made(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("disk-full")
    for node in run.cluster.nodes:
        node.act(MAKE_FOLDER.bind(run=run.cluster.work))
    copies = Copies(run.cluster.work, tmp_path)
    with pytest.raises(BackupFailed, match=r"^pve2: the backups need \d+ KiB in /var/lib/pve-runbook there"):
        copies.make_sure_they_fit(run.cluster, run.cluster.nodes)
    copies.make_sure_they_fit(run.cluster, [run.cluster.node("pve1")])


def test_backups_of_a_run_that_is_taken_up_are_what_they_were(run: BenchRun, tmp_path: Path) -> None:
    node, copies = made(run)
    copies.bring(node)
    there = run.folder / "backups" / "pve1"
    hashes = {name: hashlib.sha256((there / name).read_bytes()).hexdigest() for name in backup.ALWAYS}
    backup.take_over(node, there, tmp_path / "again", hashes)
    assert (tmp_path / "again" / "config.db").read_bytes() == (there / "config.db").read_bytes()
    (there / "config.db").write_bytes(b"another")
    with pytest.raises(BackupFailed, match=r"config\.db is changed: its journal says SHA-256"):
        backup.take_over(node, there, tmp_path / "once more", hashes)
    with pytest.raises(BackupFailed, match="does not name all backups of this one"):
        backup.take_over(node, there, tmp_path / "once more", {})
