"""Gates of the runbook on the lab's model: each stops at its own danger, and passes where there is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from bench_run import BenchRun, MakeRun, fixture, phase
from msgspec.structs import replace
from pve_runbook.plan.model import Question
from pve_runbook.procedure.authority import candidates, pick
from pve_runbook.procedure.questions import Questions
from pve_runbook.procedure.stages import CRM_OFF, LOCKED, LRM_OFF, PEERS_SILENT, QUORUM_FORCED, SCHEDULER_OFF

CONDITIONS, FREEZE, QUORUM = phase("phase0_conditions"), phase("phase0_freeze"), phase("phase2_quorum")


def stops(step: Any, run: BenchRun, **more: object) -> list[str]:
    """What a step says, of each node where it is asked of each."""
    asked = step.__code__.co_varnames[: step.__code__.co_argcount]
    given: dict[str, object] = {
        "cluster": run.cluster,
        "members": run.members,
        "notes": run.notes,
        "options": SimpleNamespace(accept=frozenset(), absent=(), authority=None),
        "opened": SimpleNamespace(unfinished=None, held=""),
        **more,
    }
    nodes = [SimpleNamespace(pve=node.facts) for node in run.cluster.nodes] if "host" in asked else [None]
    said = []
    for host in nodes:
        try:
            step(**{name: host if name == "host" else given.get(name) for name in asked})
        except AssertionError as refused:
            said.append(str(refused))
    return said


# starting state of the lab → the gate of phase 0 that stops there, and what it says
DANGERS = {
    "ha-armed": ("ha_can_be_stopped", "its watchdog is armed, and there is no quorum"),
    "watchdog-client-left": ("no_watchdog_client_but_has", "a watchdog client is active, and it is not HA's"),
    "backup-running": ("nothing_is_under_way", "a task is running: vzdump"),
    "task-of-any-type": ("nothing_is_under_way", "a task is running: bulk-start"),
    "database-damaged-broken": (
        "databases_can_be_read",
        "pve2: its configuration database /var/lib/pve-cluster/config.db is damaged; by pve1's its guests are 201",
    ),
    "migrating": ("nothing_is_under_way", "a task is running: qmigrate 101"),
    "peer-quorate": ("nobody_is_quorate_beside_others", "pve2, pve3 have quorum together, pve1 has none"),
    "disk-full": ("there_is_space", "has 0 MiB left"),
    "root-readonly": ("there_is_space", "/ is mounted read-only"),
    "conf-differs": ("members_have_one_configuration", "/etc/corosync/corosync.conf differs"),
    "authkey-differs": ("members_have_one_configuration", "/etc/corosync/authkey differs"),
    "duplicate-id": ("every_guest_has_one_owner", "guest 203 is here by this node's own database, and on pve1"),
    "volume-elsewhere": ("guests_have_their_volumes", "volumes are not there: tank:subvol-111-disk-0 of 111"),
    "guest-locked": ("no_guest_is_locked", "guests are locked: 102 (snapshot)"),
    "name-on-loopback": ("name_is_off_loopback", "pve3 resolves to 127.0.1.1"),
    "stacked-mount": ("etc_pve_is_mounted_once", "2 mounts lie on /etc/pve"),
    "stale-mount": ("etc_pve_is_served", "/etc/pve is a stale mount"),
    "storage-readonly": ("storages_are_usable", "mounted read-only at"),
    "startall-shared": ("no_start_of_all_guests_would_double", "203 lie on shared storage"),
    "other-run-live": ("no_other_run_is_live", "20260101T000000Z-abcd-window"),
    "diverged": ("databases_have_not_diverged", "nodes/pve1/qemu-server/101.conf differs (pve1 / pve2, pve3)"),
    "shared-by-two": ("shared_storage_has_one_owner", "nas: pve2 (203), pve3 (301, 302, 303)"),
    "ceph": ("ceph_does_not_run_here", "/etc/pve/ceph.conf on pve1, pve2, pve3"),
}


@pytest.mark.parametrize("scenario", DANGERS)
def test_a_danger_stops_at_its_gate(make_run: MakeRun, scenario: str) -> None:
    name, words = DANGERS[scenario]
    said = stops(getattr(CONDITIONS, f"test_{name}"), make_run(scenario))
    assert said and all(len(text.splitlines()) == 3 for text in said)
    assert words in "\n".join(said)


def test_a_cluster_that_only_lost_quorum_passes_them_all(make_run: MakeRun) -> None:
    run = make_run("broken")
    assert {
        name: found for name, _ in DANGERS.values() if (found := stops(getattr(CONDITIONS, f"test_{name}"), run))
    } == {}


def test_ha_that_became_armed_is_not_stopped(make_run: MakeRun) -> None:
    """Quorum is read again before each: an LRM that is stopped without it is a node that is reset."""
    run = make_run("ha-armed")
    with pytest.raises(AssertionError, match="its watchdog is armed, and there is no quorum"):
        fixture("lrm_off")(run.perform, run.members, None)
    assert run.bench.mutations() == []


def frozen(run: BenchRun) -> None:
    """Phase 0's changes, and the choice of phase 1."""
    for stage in (LOCKED, SCHEDULER_OFF, LRM_OFF, CRM_OFF):
        run.perform(stage)
    run.members.authority = run.cluster.node("pve1")


def test_what_the_freeze_stopped_does_not_come_back_by_itself(make_run: MakeRun) -> None:
    """A scheduler that is only stopped is started by the next package upgrade: it is masked."""
    run = make_run("broken", 2)
    frozen(run)
    for node in run.cluster.nodes:
        scheduler = node.facts.units["pvescheduler.service"]
        assert scheduler.is_stopped and scheduler.is_masked
        for name in ("pve-ha-lrm.service", "pve-ha-crm.service"):
            assert node.facts.units[name].is_stopped and not node.facts.units[name].is_enabled
        assert run.bench.run(node.name, "systemctl start pvescheduler").exit_status != 0
    assert stops(FREEZE.test_scheduler_is_off, run) == []


@pytest.mark.parametrize(
    ("another_hand", "seen"),
    [
        ("systemctl unmask --runtime corosync", "pve2: corosync is inactive and enabled"),
        ("systemctl unmask --runtime corosync; systemctl start corosync", "pve2: corosync is active and enabled"),
    ],
)
def test_quorum_is_not_forced_before_every_peer_is_silent(make_run: MakeRun, another_hand: str, seen: str) -> None:
    run = make_run("broken")
    frozen(run)
    assert [text.partition(":")[0] for text in stops(QUORUM.test_peers_are_silent, run)] == ["pve2", "pve3"]
    run.perform(PEERS_SILENT)
    assert stops(QUORUM.test_peers_are_silent, run) == []
    assert run.bench.run("pve2", another_hand).exit_status == 0
    run.cluster.forget()
    [said] = stops(QUORUM.test_peers_are_silent, run)
    assert said.startswith(seen)


@pytest.mark.parametrize(("scenario", "authority", "votes"), [("two-votes-broken", "pve1", 2), ("broken", "pve1", 1)])
def test_the_authority_is_given_quorum_by_its_own_votes(
    make_run: MakeRun, scenario: str, authority: str, votes: int
) -> None:
    """`pvecm expected` refuses a number below the votes that are there (corosync, votequorum.c)."""
    run = make_run(scenario)
    frozen(run)
    assert run.members.authority is not None and run.members.authority.name == authority
    asked = Questions(run.members, run.survival, ()).quorum(run.members.authority).text
    assert f"`pvecm expected {votes}` is sent to {authority}.\n" in asked, "not to the peers"
    run.perform(PEERS_SILENT)
    run.perform(QUORUM_FORCED)
    run.cluster.wait_until(run.members.authority, lambda f: f.is_quorate, "whether it is quorate", seconds=30)
    assert f"pvecm expected {votes}" in run.bench.mutations()
    assert stops(QUORUM.test_authority_is_quorate, run) == []


def test_a_node_without_a_vote_is_no_authority(make_run: MakeRun) -> None:
    run = make_run("member-without-vote-broken")
    found = candidates(run.cluster.nodes)
    assert {c.node: c.has_votes for c in found} == {"pve1": False, "pve2": True, "pve3": True}
    best = [replace(c, running=c.running + 99) if c.node == "pve1" else c for c in found]
    assert pick(best, None).node == "pve2"
    gate = CONDITIONS.test_authority_can_be_given_quorum
    assert stops(gate, run) == []
    named = SimpleNamespace(accept=frozenset(), absent=(), authority=SimpleNamespace(node="pve1", version=None))
    [said] = stops(gate, run, options=named)
    assert "pve1 would be the authority, and has no vote" in said and "--authority=pve2@" in said


@pytest.mark.parametrize("scenario", ["conf-without-colon", "conf-without-nodelist", "conf-with-comment-broken"])
def test_the_members_are_known_where_corosync_conf_cannot_be_read(make_run: MakeRun, scenario: str) -> None:
    run = make_run(scenario)
    assert sorted(run.members.names) == ["pve1", "pve2", "pve3"]
    assert run.members.cluster_name == "labcluster"
    options = SimpleNamespace(accept=frozenset(), absent=(), authority=None)
    for gate in (CONDITIONS.test_hosts_are_the_members, CONDITIONS.test_members_have_one_configuration):
        assert stops(gate, run, options=options) == []


def test_quorum_that_is_not_there_is_not_believed(make_run: MakeRun) -> None:
    """`pvecm expected 1` may exit with 0 and grant nothing: text and mode of /etc/pve are read."""
    run = make_run("broken")
    frozen(run)
    run.perform(PEERS_SILENT)
    [said] = stops(QUORUM.test_authority_is_quorate, run)
    assert said.startswith("pve1: pvecm says") and "/etc/pve writable: False" in said


@pytest.mark.parametrize(("against", "asked"), [("", []), ("The verdict is healthy. Anyway: a move", ["labcluster"])])
def test_what_speaks_against_a_run_is_asked_for_once_more(make_run: MakeRun, against: str, asked: list[str]) -> None:
    run = make_run("quorate")
    questions = Questions(run.members, run.survival, (), lambda: against)
    given: list[Question] = []
    assert stops(FREEZE.test_operator_means_it_anyway, run, questions=questions, approve=given.append) == []
    assert [question.word for question in given] == asked
    assert all(against in question.text for question in given)
