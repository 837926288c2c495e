"""What people have in their files and on their disks keeps nobody from going on: each as a starting state, what is said
of it, and the run to its end by the way on that is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from gate_opening import PERSON, Opening, gates, opening, type_on_nodes
from gate_states import STATES, State
from pve_lab.model.cluster import Cluster
from pve_lab.shapes import broken, nodes_of
from test_walks import carry_out, words_of
from walks import NAME_BACK, OTHER_TWO, Walk

pytestmark = pytest.mark.sweep

Shape = Callable[[Cluster], None]
Edit = Callable[[str], bytes]
VOLUMES = ("--accept=volumes",)
ISO = "ide3: nas:iso/OpenCore.iso,cache=unsafe,size=150M"
NO_TASK = (("pve1", "pkill -f '^task UPID:'"),)


@dataclass(frozen=True)
class Case:
    """A starting state. ``said``: words of its refusal, "" where nothing is refused; ``on``: the options that go on,
    ``typed``: what is typed first."""

    state: State
    said: str = ""
    on: tuple[str, ...] = ()
    typed: tuple[tuple[str, str], ...] = ()


def of(name: str, said: str = "", *on: str, typed: tuple[tuple[str, str], ...] = ()) -> Case:
    """A starting state of the lab."""
    return Case(STATES[name], said, on, typed)


def edited(edit: Edit, *vmids: int) -> State:
    """Broken, and the configs of these guests were edited before that."""

    def shape(cluster: Cluster) -> None:
        for node in nodes_of(cluster):
            node.files.put("/mnt/pve/nas/template/iso/OpenCore.iso", b"x")
            for guest in node.guests.own():
                if guest.vmid in vmids:
                    node.pmxcfs.write(guest.path, edit(guest.text))
        broken(cluster)

    return State("quorate", "a guest's config was edited", shape=shape)


def with_line(line: str) -> Edit:
    """One more line."""
    return lambda text: f"{text.rstrip()}\n{line}\n".encode()


def _disk_of_nobody(cluster: Cluster) -> None:
    nodes_of(cluster)[0].storages.logical_volumes.remove("pve/vm-103-disk-1")


NOT_LISTED = "no listing shows what a storage of type zfs has"
NO_VOLUME = "what scsi9 names of {} (its line names no volume, and Proxmox passes it over)"
DAMAGED = "its configuration database /var/lib/pve-cluster/config.db is damaged; by pve1's its guests are 201,"

CASES: dict[str, Case] = {
    "unused, its volume gone": of("unused-volume-gone"),
    "cloud-init, its volume gone": of("cloud-init-gone"),
    "unused, its storage gone": of("storage-removed"),
    "a stopped guest's disk, gone": Case(
        State("broken", "a disk of a stopped guest is gone", shape=_disk_of_nobody),
        "volumes are not there: local-lvm:vm-103-disk-1 of 103",
        VOLUMES,
    ),
    "a stopped guest's disk, not listed": of("other-plugins-stopped", NOT_LISTED, *VOLUMES),
    "a running guest's disk, not listed": of("other-plugins"),
    "rbd": of("rbd"),
    "rbd, silent": of("rbd-silent", "ceph-ext:vm-103-disk-5 of 103 (not known: rbd ls timed out", *VOLUMES),
    "rbd, no keyring": of("rbd-no-keyring", "rbd: couldn't connect to the cluster!", *VOLUMES),
    "a LUN": of("iscsi-disks"),
    "a LUN, not logged in": of("iscsi-no-session", "there is no session with", *VOLUMES),
    "glusterfs": of("glusterfs"),
    "pbs and esxi": of("backup-storages"),
    "a disk on another node": of("volume-elsewhere", "tank:subvol-111-disk-0 of 111 (pve3 has it)", *VOLUMES),
    "content-dirs": of("content-dirs"),
    "an ISO as a disk": of("iso-as-disk"),
    "an ISO as a disk on two nodes": Case(edited(with_line(ISO), 103, 204)),
    "an ISO with a blank": of("iso-with-blank"),
    "a stray line": of("stray-line"),
    "a disk's line that names no volume": Case(
        edited(with_line("scsi9: what is this"), 103), NO_VOLUME.format(103), VOLUMES
    ),
    "the same, of a guest that runs": Case(
        edited(with_line("scsi9: what is this"), 101), NO_VOLUME.format(101), VOLUMES
    ),
    "a config of garbage": Case(edited(lambda text: b"\0\xff\xfe\1garbage\n\x80\x81", 103)),
    "an empty config": Case(edited(lambda text: b"", 103)),
    "storage.cfg with junk": of("sections-with-junk"),
    "storage.cfg, an option twice": of("option-twice"),
    "/etc/hosts with junk": of("hosts-with-junk"),
    "servers with ports": of("servers-with-ports"),
    "corosync.conf without a colon": of("conf-without-colon", "corosync.conf, line 41"),
    "corosync.conf with a comment": of("conf-with-comment-broken"),
    "the same, the others are well": of("conf-with-comment", "corosync.conf, line"),
    "a damaged database: the others go on": Case(
        replace(STATES["database-damaged-broken"], hosts=OTHER_TWO, options=("--absent=pve2",))
    ),
    "an authority with two votes": of("two-votes-broken"),
    "a node without a vote": of("member-without-vote-broken"),
    "a renamed node": of("node-renamed-broken", "its address is that of pve2 in corosync.conf", typed=NAME_BACK),
    "guests started by hand": of("guests-by-hand"),
    "a nas that hangs": of("nas-hangs", "the storage nas", "--accept=volumes,shared-storage"),
    "a task of any type": of("task-of-any-type", "a task is running: bulk-start", typed=NO_TASK),
}


def refused_in(run: Opening) -> str:
    """What the gates before the freeze refuse, as one text."""
    asked = [g for g in gates() if g.kind == "runbook" and "_conditions" in g.id and PERSON not in g.asks_for]
    texts = (words_of(run, gate, about) for gate in asked for _, about in run.subjects(gate))
    return " ".join(text for text in texts if text)


@pytest.mark.parametrize("name", CASES)
def test_it_is_said_as_what_it_is_and_the_run_comes_to_its_end(name: str, runs: list[Opening], tmp_path: Path) -> None:
    case = CASES[name]
    runs.append(opening(case.state, "runbook", tmp_path / "lab"))
    said = refused_in(runs[-1])
    assert case.said in said if case.said else said == "", said
    assert all(option.removesuffix(",shared-storage") in said for option in case.on)
    for node, line in case.typed:
        type_on_nodes(runs[-1].site, {node: line})
    runs[-1].clock.advance(60.0)
    state = replace(case.state, options=(*case.state.options, *case.on))
    carry_out(runs, Walk("", ""), tmp_path / "run", state)
