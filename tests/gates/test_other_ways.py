"""Where a refusal names two ways on, the second one is walked to its end too."""

from __future__ import annotations

from pathlib import Path

import pytest
from gate_opening import Opening, gates, opening, type_on_nodes
from gate_states import ALONE, STATES, State
from pve_lab.model.cluster import Cluster
from pve_lab.shapes import leave_by_vendors_way, nodes_of, second
from test_walks import carry_out, said_by, unknown, walked, wrong_in
from walks import ALL, NO_REPLICA, OTHER_TWO, SOON, Walk, back, walk

pytestmark = pytest.mark.sweep


def _moved(cluster: Cluster) -> None:
    """The disk of container 111 of pve1, stopped, is on the last node."""
    volume = "tank/guests/subvol-111-disk-0"
    nodes_of(cluster)[0].storages.datasets.remove(volume)
    nodes_of(cluster)[-1].storages.datasets.append(volume)


def _shut_down(cluster: Cluster) -> None:
    second(cluster).guests.qmp_status.clear()
    second(cluster).guests.end(201)


def _reset(cluster: Cluster) -> None:
    """The watchdogs run out, and the nodes start again."""
    cluster.clock.advance(600.0)


def _off(cluster: Cluster) -> None:
    cluster.nodes["pve3"].power_off()
    cluster.clock.advance(60.0)


HERE = {"moved": State("quorate", "healthy, the disk of a stopped guest is on another node", shape=_moved)}
HA_STOPPED = "systemctl stop pve-ha-lrm; systemctl stop pve-ha-crm"
NO_MORE_HA = "; ".join(f"ha-manager remove vm:{vmid}" for vmid in (101, 201, 301))

WAYS: dict[str, tuple[str, Walk]] = {
    "the config is moved where there is quorum": (
        "PVE-R035",
        walk(
            "moved",
            "test_guests_have_their_volumes",
            "where there is quorum, move the config back to it",
            typed=(("pve1", "mv /etc/pve/nodes/pve1/lxc/111.conf /etc/pve/nodes/pve3/lxc/"),),
        ),
    ),
    "the guest on a disk that stays read-only is shut down": (
        "PVE-R036",
        walk(
            "storage-readonly",
            "test_storages_are_usable",
            "If it cannot be fixed now: shut 203 down",
            hand=lambda cluster: second(cluster).guests.end(203),
            said="--accept=volumes",
        ),
    ),
    "the reset is waited for": (
        "PVE-R037",
        walk("ha-armed", "test_ha_can_be_stopped", "or wait for the reset", hand=_reset),
    ),
    "the start that waits is ended": (
        "PVE-R039",
        walk(
            "startall-shared",
            "test_no_start_of_all_guests_would_double",
            "`systemctl kill pve-guests` there (not stop) ends that start",
            typed=(("pve2", "systemctl kill pve-guests"),),
        ),
    ),
    "the guest is shut down": (
        "PVE-R042",
        walk("paused", "test_no_guest_stands_still", "or shut the guest down", hand=_shut_down),
    ),
    "the member is named": (
        "PVE-R049",
        walk("left-out", "test_hosts_are_the_members", "Add it: --hosts=pve1,pve2,pve3", hosts=ALL),
    ),
    "it is powered off": (
        "PVE-R050",
        walk("absent-seen", "test_absent_members_are_not_seen", "or power it off first", hand=_off),
    ),
    "an older database by its version": (
        "PVE-R053",
        walk("diverged", "test_databases_have_not_diverged", "or an older one by", said=r"--authority=pve1@\d+"),
    ),
    "a free id": (
        "PVE-R086",
        walk(
            "canary-taken",
            "test_canary_id_is_free",
            "Choose a free id",
            less=("--canary=201",),
            more=("--canary=9001",),
        ),
    ),
    "the newest one": (
        "PVE-R092",
        walk(
            "old-authority",
            "test_authority_knows_the_newest_configuration",
            "Take pve3",
            less=("--authority=pve1",),
            more=("--authority=pve3",),
        ),
    ),
    "the node goes too": (
        "PVE-R153",
        walk(
            "leaving-apart",
            "test_those_that_stay_are_a_cluster",
            "or let this node go too: name it in --leave",
            less=("--leave=pve3",),
            typed=(("pve1", "pvecm expected 1"), ("pve1", "sleep 15"), NO_REPLICA, SOON),
            more=(ALONE[0], "--accept=forced-quorum"),
        ),
    ),
    "no guest is under HA": (
        "PVE-R157",
        walk(
            "leaving-ha-minority",
            "test_those_that_stay_are_a_cluster",
            "and end it where nodes stay (`systemctl stop pve-ha-lrm`, then `systemctl stop pve-ha-crm`)",
            typed=(("pve1", NO_MORE_HA), NO_REPLICA, ("pve1", HA_STOPPED)),
            passes=120,
            more=("--accept=forced-quorum",),
        ),
    ),
    "the run comes from the record's place": (
        "PVE-R105",
        back("back-left-out", "test_hosts_are_those_of_the_record", "Name them as the record does", hosts=ALL),
    ),
}


@pytest.mark.parametrize("name", WAYS)
def test_the_second_way_leads_to_the_end(name: str, runs: list[Opening], tmp_path: Path) -> None:
    id_, way = WAYS[name]
    gate = next(g for g in gates() if g.kind == way.kind and g.function.__name__ == way.gate)
    runs.append(opening((HERE | STATES)[way.state], way.kind, tmp_path / "lab"))
    state = walked(way, runs[-1], said_by(runs[-1], gate, id_)[0])
    runs.append(runs[-1].again(way.kind, tmp_path / "again", state))
    assert wrong_in(runs[-1], gate) == []
    carry_out(runs, way, tmp_path / "run", state)


def test_the_config_is_moved_once_the_nodes_are_standalone(runs: list[Opening], tmp_path: Path) -> None:
    """The second half of what is said of a disk that another node has: the guest starts there."""
    runs.append(opening(STATES["volume-elsewhere"], "runbook", tmp_path / "lab"))
    state = State("volume-elsewhere", "", options=("--accept=volumes",))
    carry_out(runs, Walk("", ""), tmp_path / "run", state)
    site = runs[-1].site
    told = "mv /etc/pve/nodes/pve1/lxc/111.conf /etc/pve/nodes/pve3/lxc/"
    [said] = [
        str(e.event.text) for e in runs[-1].opened.run.journal.events if told in str(getattr(e.event, "text", ""))
    ][:1]
    assert "then remove it here" in said
    for node, line in (("pve3", told), ("pve3", "pct start 111"), ("pve1", "rm /etc/pve/nodes/pve1/lxc/111.conf")):
        type_on_nodes(site, {node: line})
    assert 111 in runs[-1].cluster.nodes["pve3"].guests.running


def test_a_node_whose_answer_nobody_understands_is_taken_apart_by_hand(runs: list[Opening], tmp_path: Path) -> None:
    """And left out: the others leave without it."""
    odd = State("broken", "an answer is not understood", says={"pve2": {"pvecm status": "what is this\n"}})
    runs.append(opening(odd, "runbook", tmp_path / "lab"))
    gate = next(g for g in gates() if g.kind == "runbook" and g.function.__name__ == "test_no_majority_is_quorate")
    said = [text for _, about in runs[-1].subjects(gate) if (text := unknown(runs[-1], gate, about))]
    assert len(said) == 1 and "[PVE-R134]" in said[0] and "leave it out by --absent" in said[0]
    leave_by_vendors_way(second(runs[-1].cluster))
    others = State("broken", "", hosts=OTHER_TWO, options=("--absent=pve2",))
    carry_out(runs, Walk("", ""), tmp_path / "run", others)
