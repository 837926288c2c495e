"""What checks/ hold the nodes against each other for: clocks, owners, storages, and what a new cluster would meet."""

from __future__ import annotations

from lab_bench import MakeBench
from lab_facts import facts_of
from pve_runbook.facts.state import ha_leftovers
from pve_runbook.work import checkprobes, readiness, storages
from pve_runbook.work.compared import clocks_apart, two_owners
from pve_runbook.work.sharing import owners_in_words, shared_by_guests


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
        for judge in (storages.misplaced, storages.not_mounted, storages.silent, storages.read_only):
            assert judge(facts) == {}
        for judge in (storages.broken_groups, storages.broken_pools, storages.broken_zfs):
            assert judge(facts) == {}
        assert storages.without_session(facts) is storages.unhealthy_ceph(facts) is None
        assert storages.not_judged(facts) == {}


def test_storages_that_are_not_there_or_read_only(make_bench: MakeBench) -> None:
    missing = facts_of(make_bench("storage-missing"))[1]
    assert storages.not_mounted(missing) == {"nas": "nothing is mounted at /mnt/pve/nas"}
    assert storages.silent(missing) == storages.read_only(missing) == {}
    stuck = facts_of(make_bench("storage-readonly"))[1]
    assert storages.read_only(stuck) == {"nas": "mounted read-only at /mnt/pve/nas"}
    assert storages.broken_zfs(stuck) == {"tank": "the dataset tank/guests is read-only"}


def test_a_ceph_of_their_own_is_asked(make_bench: MakeBench) -> None:
    [facts, *_] = facts_of(make_bench("ceph"))
    assert facts.get(checkprobes.CEPH).status == "HEALTH_OK"
    assert storages.unhealthy_ceph(facts) == {}


def test_guests_of_two_nodes_on_one_storage(make_bench: MakeBench) -> None:
    found = shared_by_guests(facts_of(make_bench("shared-by-two")), ())
    assert {i: owners_in_words(nodes) for i, nodes in found.items()} == {"nas": "pve2 (203), pve3 (301, 302, 303)"}


def test_what_a_new_cluster_would_meet(make_bench: MakeBench) -> None:
    everyone = facts_of(make_bench("standalone"))
    assert readiness.shared_keys(everyone) == ["pve1, pve2, pve3 have one certificate authority"]
    assert readiness.foreign_configs(everyone)[0] == "pve1 has configs of guests of pve2, pve3 (/etc/pve/nodes)"
    assert readiness.storages_in_reach(everyone) == ["nas is in reach of pve1, pve2, pve3"]
    assert readiness.network_findings(everyone) == [
        "pve2: 2 default routes of the same rank: 10.55.0.1 over vmbr0, 192.168.7.1 over eno2"
    ]
    assert readiness.who_creates(everyone) == [
        "one node may keep its guests and `pvecm create`, pve1 has the most (5)",
        "before they can join, these must be emptied, by backup and restore: "
        "pve2 (201, 202, 203, 204, 210), pve3 (301, 302, 303, 310)",
    ]
    assert readiness.who_creates(everyone[:1]) == []


def test_nodes_that_let_each_other_in(make_bench: MakeBench) -> None:
    bench = make_bench("standalone")
    bench.run("pve1", "echo 'ssh-rsa AAAA root@pve3' >> /etc/pve/priv/authorized_keys")
    assert readiness.shared_keys(facts_of(bench))[0] == ("pve1 lets root of pve3 in (/etc/pve/priv/authorized_keys)")


def test_what_ha_left(make_bench: MakeBench) -> None:
    assert ha_leftovers(facts_of(make_bench("leftovers"))[0].tree) == ("ha/resources.cfg", "ha/manager_status")
    assert ha_leftovers(facts_of(make_bench("standalone"))[0].tree) == ()
