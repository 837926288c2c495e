"""Volumes that are not there, or cannot be listed: what stops a run, what is told, what goes on by its word."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from bench_run import BenchRun, MakeRun, phase
from pve_runbook.journal.events import Note
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.procedure.canary import free_ids

CONDITIONS, GUESTS = phase("phase0_conditions"), phase("phase3_guests")
GATES = (
    CONDITIONS.test_guests_have_their_volumes,
    CONDITIONS.test_storages_are_usable,
    GUESTS.test_every_volume_exists,
    GUESTS.test_storages_are_usable,
)


class Notes:
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.kept: list[Note] = []

    def note(self, topic: str, text: str, node: str | None = None) -> None:
        """Keep it."""
        self.kept.append(Note(topic=topic, text=text, node=node))

    def of(self, topic: str) -> list[str]:
        """The texts of a topic."""
        return [note.text for note in self.kept if note.topic == topic]


def asked(run: BenchRun, *accept: str) -> tuple[list[str], Notes]:
    """What the gates about volumes and storages say, of all nodes, and what they note."""
    notes, said = Notes(), []
    options = SimpleNamespace(accept=frozenset(accept))
    for gate in GATES:
        names = gate.__code__.co_varnames[: gate.__code__.co_argcount]
        for node in run.cluster.nodes:
            host: Any = SimpleNamespace(pve=node.facts)
            given = {"host": host, "cluster": run.cluster, "options": options, "notes": notes}
            try:
                gate(**{name: given[name] for name in names})
            except (AssertionError, UnknownFact) as refused:
                said.append(str(refused))
    return said, notes


@pytest.mark.parametrize(
    "scenario",
    [
        *("broken", "rbd", "iscsi-disks", "glusterfs", "other-plugins", "backup-storages", "content-dirs"),
        *("iso-as-disk", "iso-with-blank", "disk-by-id", "hung-nas"),
    ],
)
def test_what_is_there_is_found_whatever_the_storage(make_run: MakeRun, scenario: str) -> None:
    run = make_run(scenario)
    said, notes = asked(run)
    expected = ["storage trouble: nas is inactive"] * 2 if scenario == "hung-nas" else []
    assert [text.partition(": ")[2].partition(".\n")[0] for text in said] == expected
    assert notes.of("accepted") == notes.of("volumes") == []
    assert all(not node.facts.volumes_missing for node in run.cluster.nodes)


@pytest.mark.parametrize(
    ("scenario", "text"),
    [
        ("unused-volume-gone", "unused7 local-lvm:vm-103-disk-7 of 103"),
        ("cloud-init-gone", "ide2 local-lvm:vm-103-cloudinit of 103"),
        ("storage-removed", "unused3 oldssd:vm-103-disk-0 of 103 (this node has no storage oldssd)"),
    ],
)
def test_what_nothing_is_lost_with_is_told_and_does_not_block(make_run: MakeRun, scenario: str, text: str) -> None:
    said, notes = asked(make_run(scenario))
    assert said == [] and notes.of("accepted") == []
    assert notes.of("volumes") == [f"not there, and nothing is lost with it: {text}"]


@pytest.mark.parametrize(
    ("scenario", "words", "noted"),
    [
        ("rbd-silent", "ceph-ext:vm-103-disk-5 of 103 (not known: rbd ls timed out.)", "ceph-ext:vm-103-disk-5"),
        ("rbd-no-keyring", "rbd: couldn't connect to the cluster!", "ceph-ext:vm-103-disk-5"),
        ("iscsi-no-session", "there is no session with iqn.2003-01.org.linux-iscsi.lab:san", "san:0.0.2.scsi-3600"),
        ("other-plugins-stopped", "no listing shows what a storage of type zfs has", "linstor:pm-e5f6a7b8 of 103"),
        ("nas-hangs", "nas:103/vm-103-disk-5.qcow2 of 103 (not known: the storage nas", "nas:103/vm-103-disk-5"),
        ("volume-elsewhere", "tank:subvol-111-disk-0 of 111 (pve3 has it)", "subvol-111-disk-0 of 111 (pve3 has it)"),
    ],
)
def test_what_a_stopped_guest_lacks_goes_on_by_its_word_and_is_named(
    make_run: MakeRun, scenario: str, words: str, noted: str
) -> None:
    run = make_run(scenario)
    said, _ = asked(run)
    assert words in "\n".join(said) and all("--accept=volumes" in text for text in said)
    said, notes = asked(run, "volumes")
    assert said == []
    assert [text for text in notes.of("accepted") if noted in text and text.endswith("by --accept=volumes")]


def test_a_disk_of_a_guest_that_runs_is_never_accepted_as_missing(make_run: MakeRun) -> None:
    run = make_run("disk-gone")
    without, _ = asked(run)
    said, notes = asked(run, "volumes")
    assert [text.partition(".\n")[0] for text in said] == [
        "pve3: volumes are not there: local:301/vm-301-disk-0.qcow2 of 301"
    ] * 2
    assert len(without) == 2 and "qm shutdown" in said[0]
    assert notes.of("accepted") == []


def test_a_disk_that_went_read_only_is_accepted_once_no_guest_runs_on_it(make_run: MakeRun) -> None:
    run = make_run("storage-readonly")
    said, _ = asked(run, "volumes")
    assert len(said) == 2 and all("mounted read-only at" in text for text in said)
    assert all("shut 203 down (that needs no quorum), then --accept=volumes" in text for text in said)
    model = run.bench.node("pve2")
    for vmid in list(model.guests.running):
        model.guests.end(vmid)
    run.cluster.forget()
    without, _ = asked(run)
    assert len(without) == 2 and all("fixed now: --accept=volumes goes on with it" in text for text in without)
    said, notes = asked(run, "volumes")
    assert said == [] and any("is mounted read-only at" in text for text in notes.of("accepted"))


def test_a_disk_on_another_node_is_named_with_both_ways_on(make_run: MakeRun) -> None:
    [first, *_], _ = asked(make_run("volume-elsewhere"))
    assert "Its disk is on pve3: where there is quorum, move the config back to it" in first
    assert "to be moved on pve3 when the nodes are standalone" in first


@pytest.mark.parametrize("scenario", ["rbd-silent", "nas-hangs"])
def test_a_storage_that_is_silent_from_the_start_costs_the_run_one_bound(make_run: MakeRun, scenario: str) -> None:
    run = make_run(scenario)
    node = run.cluster.node("pve1")
    first = dict(node.facts.readings)
    started = run.bench.cluster.clock.now
    for _ in range(3):
        run.cluster.forget()
        assert {k for k in node.facts.readings if k.startswith(("rbd:", "files:"))} == {
            k for k in first if k.startswith(("rbd:", "files:"))
        }
    assert run.bench.cluster.clock.now - started < 15.0
    assert node.facts.volumes_missing


def test_pvesm_is_not_asked_where_a_pool_is_a_storage(make_run: MakeRun) -> None:
    """It would write priv/ceph/ceph-ext.conf once /etc/pve is writable."""
    run = make_run("rbd")
    asked(run, "volumes")
    lines = run.bench.machines["pve1"].log.read_text()
    assert '"argv": ["rbd", "--pool=vms"' in lines and '"argv": ["pvesm"' not in lines
    assert run.bench.node("pve1").pmxcfs.database.get("priv/ceph/ceph-ext.conf") is None


@pytest.mark.parametrize(
    ("scenario", "enough"), [("rbd-silent", {"volumes", "ceph"}), ("nas-hangs", {"volumes"})], ids=["pool", "nas"]
)
def test_a_storage_that_does_not_answer_keeps_no_id_from_the_throw_away_guest(
    make_run: MakeRun, scenario: str, enough: set[str]
) -> None:
    """Once that was accepted; until then the id may be in use there, and what goes on without it is named."""
    everyone = [node.facts for node in make_run(scenario).cluster.nodes]
    for word in ("volumes", "ceph"):
        if word in enough:
            assert free_ids(everyone, {word}) == {"pve1": "9000", "pve2": "9001", "pve3": "9002"}
            continue
        with pytest.raises(UnknownFact, match="--canary=off starts no such guest"):
            free_ids(everyone, {word})
    with pytest.raises(UnknownFact, match="--canary=off starts no such guest"):
        free_ids(everyone)
