"""What checks/ hold the nodes against each other for: clocks, owners, storages, and what a new cluster would meet."""

from __future__ import annotations

from lab_bench import MakeBench
from lab_facts import facts_of
from pve_runbook.diagnosis import rebuild, storage
from pve_runbook.diagnosis.agreement import clocks_apart, two_owners
from pve_runbook.diagnosis.shared_storage import owners_in_words, shared_by_guests
from pve_runbook.facts.node_state import ha_leftovers
from pve_runbook.probes import checks_only


def test_clocks(make_bench: MakeBench) -> None:
    def said(scenario: str) -> str:
        return clocks_apart({f.node: f.clock_offset for f in facts_of(make_bench(scenario))})

    assert said("broken") == ""
    assert "pve3: its clock is 90." in said("clock-skew")


def test_owners(make_bench: MakeBench) -> None:
    assert two_owners(facts_of(make_bench("broken"))) == ""
    said = two_owners(facts_of(make_bench("duplicate-id")))
    assert said.startswith("pve2: guest 203 is here by this node's own database, and on pve1 by that node's")


def test_storages_of_a_whole_node(make_bench: MakeBench) -> None:
    for facts in facts_of(make_bench("own-link")):
        for judge in (storage.misplaced, storage.not_mounted, storage.silent, storage.read_only):
            assert judge(facts) == {}
        for judge in (storage.broken_groups, storage.broken_pools, storage.broken_zfs):
            assert judge(facts) == {}
        assert storage.without_session(facts) is storage.unhealthy_ceph(facts) is None
        assert storage.not_judged(facts) == {}


def test_storages_that_are_not_there_or_read_only(make_bench: MakeBench) -> None:
    missing = facts_of(make_bench("storage-missing"))[1]
    assert storage.not_mounted(missing) == {"nas": "nothing is mounted at /mnt/pve/nas"}
    assert storage.silent(missing) == storage.read_only(missing) == {}
    stuck = facts_of(make_bench("storage-readonly"))[1]
    assert storage.read_only(stuck) == {"nas": "mounted read-only at /mnt/pve/nas"}
    assert storage.broken_zfs(stuck) == {"tank": "the dataset tank/guests is read-only"}


def test_a_ceph_of_their_own_is_asked(make_bench: MakeBench) -> None:
    [facts, *_] = facts_of(make_bench("ceph"))
    assert facts.get(checks_only.CEPH).status == "HEALTH_OK"
    assert storage.unhealthy_ceph(facts) == {}


def test_guests_of_two_nodes_on_one_storage(make_bench: MakeBench) -> None:
    found = shared_by_guests(facts_of(make_bench("shared-by-two")), ())
    assert {i: owners_in_words(nodes) for i, nodes in found.items()} == {"nas": "pve2 (203), pve3 (301, 302, 303)"}


def test_what_a_new_cluster_would_meet(make_bench: MakeBench) -> None:
    everyone = facts_of(make_bench("standalone"))
    assert rebuild.shared_keys(everyone) == ["pve1, pve2, pve3 have one certificate authority"]
    assert rebuild.foreign_configs(everyone)[0] == "pve1 has configs of guests of pve2, pve3 (/etc/pve/nodes)"
    assert rebuild.storages_in_reach(everyone) == ["nas is in reach of pve1, pve2, pve3"]
    assert rebuild.network_findings(everyone) == [
        "pve2: 2 default routes of the same rank: 10.55.0.1 over vmbr0, 192.168.7.1 over eno2"
    ]
    assert rebuild.who_creates(everyone) == [
        "one node may keep its guests and `pvecm create`, pve1 has the most (5)",
        "before they can join, these must be emptied, by backup and restore: "
        "pve2 (201, 202, 203, 204, 210), pve3 (301, 302, 303, 310)",
    ]
    assert rebuild.who_creates(everyone[:1]) == []


def test_nodes_that_let_each_other_in(make_bench: MakeBench) -> None:
    bench = make_bench("standalone")
    bench.run("pve1", "echo 'ssh-rsa AAAA root@pve3' >> /etc/pve/priv/authorized_keys")
    assert rebuild.shared_keys(facts_of(bench))[0] == ("pve1 lets root of pve3 in (/etc/pve/priv/authorized_keys)")


def test_what_ha_left(make_bench: MakeBench) -> None:
    assert ha_leftovers(facts_of(make_bench("leftovers"))[0].tree) == ("ha/resources.cfg", "ha/manager_status")
    assert ha_leftovers(facts_of(make_bench("standalone"))[0].tree) == ()
