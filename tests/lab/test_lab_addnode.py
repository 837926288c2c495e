"""`pvecm add` in the lab, as pve-cluster does it: who may join, what is refused, and that all are one cluster then."""

from __future__ import annotations

from lab_bench import MakeBench

ADD = "pvecm add 10.99.0.11 --link0 10.99.0.13"


def test_an_empty_node_joins_once_the_others_forgot_it(make_bench: MakeBench) -> None:
    bench = make_bench("reinstalled")
    refused = bench.run("pve3", ADD)
    assert refused.exit_status == 255
    assert refused.stderr == "An error occured on the cluster node: can't add existing node 'pve3'\n"
    assert bench.run("pve1", "pvecm delnode pve3").exit_status == 0
    said = bench.run("pve3", ADD)
    assert (said.exit_status, said.stderr) == (0, ""), said
    bench.advance(30)
    for name in ("pve1", "pve2", "pve3"):
        status = bench.run(name, "pvecm status")
        assert status.exit_status == 0, (name, status)
        assert "Expected votes:   3\n" in status.stdout and "Total votes:      3\n" in status.stdout
        assert "config_version: 5\n" in bench.run(name, "cat /etc/pve/corosync.conf").stdout
    same = {bench.run(n, "cat /etc/corosync/corosync.conf").stdout for n in ("pve1", "pve2", "pve3")}
    assert len(same) == 1 and "ring0_addr: 10.99.0.13\n" in same.pop()


def test_a_node_with_guests_or_a_cluster_is_refused(make_bench: MakeBench) -> None:
    said = make_bench("separated").run("pve3", ADD)
    assert said.exit_status == 255 and "* this host already contains virtual guests\n" in said.stderr
    said = make_bench("quorate").run("pve3", ADD)
    assert "* cluster config '/etc/pve/corosync.conf' already exists\n" in said.stderr
    assert "* corosync is already running, is this node already in a cluster?!\n" in said.stderr
