"""`pvecm delnode` in the lab, as pve-cluster does it: nodelist, votes and membership of those that stay."""

from __future__ import annotations

import pytest
from lab_bench import Bench, MakeBench

NOT_EXIST = "Could not kill node (error = CS_ERR_NOT_EXIST)\n"


def _conf(bench: Bench, node: str) -> str:
    return bench.run(node, "cat /etc/corosync/corosync.conf").stdout


@pytest.mark.parametrize("number", [3, 5])
def test_a_node_that_is_off_is_taken_out(make_bench: MakeBench, number: int) -> None:
    """The others' corosync runs on as the same process, with one expected vote less; its folder stays."""
    bench = make_bench("last-off", number)
    gone, stay = f"pve{number}", [f"pve{i}" for i in range(1, number)]
    before = {n: bench.run(n, "pgrep -x corosync").stdout for n in stay}
    said = bench.run("pve1", f"pvecm delnode {gone}")
    assert (said.exit_status, said.stdout, said.stderr) == (0, f"Killing node {number}\n", NOT_EXIST)
    for name in stay:
        assert f"name: {gone}\n" not in _conf(bench, name)
        assert f"config_version: {number + 1}\n" in _conf(bench, name)
        status = bench.run(name, "pvecm status")
        assert status.exit_status == 0
        assert f"Expected votes:   {number - 1}\n" in status.stdout
        assert gone not in bench.run(name, "cat /etc/pve/.members").stdout
    assert {n: bench.run(n, "pgrep -x corosync").stdout for n in stay} == before
    assert gone in bench.run("pve1", "ls /etc/pve/nodes").stdout
    again = bench.run("pve1", f"pvecm delnode {gone}")
    assert (again.exit_status, again.stderr) == (255, f"Node/IP: {gone} is not a known host of the cluster.\n")


def test_a_node_that_is_up_loses_its_corosync(make_bench: MakeBench) -> None:
    """It is killed, and left read-only, with a database that no longer lists it."""
    bench = make_bench("quorate")
    said = bench.run("pve1", "pvecm delnode pve3")
    assert (said.exit_status, said.stdout, said.stderr) == (0, "Killing node 3\n", "")
    bench.advance(2)
    assert bench.run("pve3", "pgrep -x corosync").exit_status == 1
    assert bench.run("pve3", "stat -c %a /etc/pve/local").stdout == "555\n"
    assert "Expected votes:   2\n" in bench.run("pve2", "pvecm status").stdout


def test_without_quorum_or_of_nobody_it_is_refused(make_bench: MakeBench) -> None:
    """Word for word."""
    bench = make_bench("broken")
    said = bench.run("pve1", "pvecm delnode pve3")
    assert (said.exit_status, said.stderr) == (2, "cluster not ready - no quorum?\n")
    bench = make_bench("quorate")
    assert bench.run("pve1", "pvecm delnode pve1").stderr == "Cannot delete myself from cluster!\n"
    assert "invalid format" in bench.run("pve1", "pvecm delnode 10.55.0.13").stderr


def test_a_forced_value_is_over_with_it(make_bench: MakeBench) -> None:
    """Two members are off, the third was given quorum: once one of them is taken out, two votes are expected."""
    bench = make_bench("others-off")
    bench.run("pve1", "pvecm expected 1")
    assert bench.run("pve1", "pvecm delnode pve2").exit_status == 0
    assert "Quorum:           2 Activity blocked\n" in bench.run("pve1", "pvecm status").stdout
    bench.run("pve1", "pvecm expected 1")
    assert bench.run("pve1", "pvecm delnode pve3").exit_status == 0
    assert "Quorum:           1  \n" in bench.run("pve1", "pvecm status").stdout
