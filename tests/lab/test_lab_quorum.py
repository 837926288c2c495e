"""Quorum in the lab: expected votes, /etc/pve that follows, replication, the highest version wins."""

from __future__ import annotations

import itertools

from lab_bench import MakeBench

EACCES = "touch: cannot touch '/etc/pve/x': Permission denied\n"
EBUSY = "touch: cannot touch '/etc/pve/x': Device or resource busy\n"


def test_expected_votes_are_refused_while_two_votes_are_visible(make_bench: MakeBench) -> None:
    """CS_ERR_INVALID_PARAM, and nothing has changed."""
    bench = make_bench("quorate")
    bench.cluster.partition([["pve1", "pve2"], ["pve3"]])
    said = bench.run("pve1", "pvecm expected 1")
    assert (said.exit_status, said.stdout) == (1, "")
    assert said.stderr == "Unable to set expected votes: CS_ERR_INVALID_PARAM\n"
    assert "Expected votes:   3\n" in bench.run("pve1", "pvecm status").stdout


def test_a_cluster_that_is_quorate_by_itself_refuses_too(make_bench: MakeBench) -> None:
    """Quorate with 3 votes: neither fewer nor more are taken."""
    bench = make_bench("quorate")
    assert bench.run("pve1", "pvecm expected 1").exit_status == 1
    assert bench.run("pve1", "pvecm expected 4").exit_status == 1


def test_forced_quorum_makes_etc_pve_writable_after_it_was_busy(make_bench: MakeBench) -> None:
    """755 at once, EBUSY for about six seconds, then writable: on this node only."""
    bench = make_bench("broken")
    assert bench.run("pve1", "touch /etc/pve/x").stderr == EACCES
    assert bench.run("pve1", "pvecm expected 1").exit_status == 0
    assert bench.run("pve1", "stat -c %a /etc/pve/local").stdout == "755\n"
    assert bench.run("pve1", "touch /etc/pve/x").stderr == EBUSY
    assert bench.run("pve1", "echo a > /etc/pve/x").exit_status == 1
    bench.advance(6)
    assert bench.run("pve1", "touch /etc/pve/x").exit_status == 0
    assert bench.run("pve2", "stat -c %a /etc/pve/local").stdout == "555\n"


def test_a_stop_of_corosync_undoes_the_forced_votes(make_bench: MakeBench) -> None:
    """Quorum is lost with the process; a new one starts with the configured votes."""
    bench = make_bench("broken")
    bench.run("pve1", "pvecm expected 1; systemctl stop corosync")
    bench.advance(1)
    assert bench.run("pve1", "stat -c %a /etc/pve/local").stdout == "555\n"
    bench.run("pve1", "systemctl start corosync")
    status = bench.run("pve1", "pvecm status")
    assert status.exit_status == 2
    assert "Quorum:           2 Activity blocked\n" in status.stdout


def test_local_still_reads_755_for_a_second(make_bench: MakeBench) -> None:
    """pmxcfs notices the death of corosync a moment later."""
    bench = make_bench("quorate")
    node = bench.node("pve1")
    node.corosync.stop()
    assert bench.run("pve1", "stat -c %a /etc/pve/local").stdout == "755\n"
    bench.advance(1)
    assert bench.run("pve1", "stat -c %a /etc/pve/local").stdout == "555\n"


def test_one_rejoin_undoes_the_forced_votes(make_bench: MakeBench) -> None:
    """Expected rises to 2 with a second member, and stays there when it drops again: both lose quorum."""
    bench = make_bench("broken")
    bench.run("pve1", "pvecm expected 1")
    bench.cluster.partition([["pve1", "pve2"], ["pve3"]])
    assert "Expected votes:   2\n" in bench.run("pve2", "pvecm status").stdout
    bench.cluster.isolate()
    assert bench.run("pve1", "pvecm status").exit_status == 2
    assert bench.run("pve2", "pvecm status").exit_status == 2


def test_a_healed_network_brings_the_cluster_back(make_bench: MakeBench) -> None:
    """3 of 3, and what was written on the forced node alone has reached all nodes."""
    bench = make_bench("broken")
    bench.run("pve1", "pvecm expected 1")
    bench.advance(8)
    bench.run("pve1", "echo alone > /etc/pve/note")
    bench.cluster.heal()
    bench.advance(8)
    for name in bench.cluster.nodes:
        assert bench.run(name, "cat /etc/pve/note").stdout == "alone\n"
        assert "Expected votes:   3\n" in bench.run(name, "pvecm status").stdout


def test_writes_reach_connected_members_and_raise_the_version_by_one(make_bench: MakeBench) -> None:
    """By command, by redirection and by removal alike."""
    bench = make_bench("quorate")
    asked = "sqlite3 -readonly /var/lib/pve-cluster/config.db 'SELECT version FROM tree WHERE inode=0'"
    before = int(bench.run("pve3", asked).stdout)
    bench.run("pve1", "touch /etc/pve/a")
    bench.run("pve2", "echo text > /etc/pve/b")
    bench.run("pve3", "rm /etc/pve/a")
    for name in bench.cluster.nodes:
        assert int(bench.run(name, asked).stdout) == before + 3
        assert bench.run(name, "cat /etc/pve/b; ls /etc/pve/a").stdout == "text\n"


def test_a_guest_can_be_stopped_without_quorum_but_not_started(make_bench: MakeBench) -> None:
    """`cluster not ready - no quorum?`, exit status 2."""
    bench = make_bench("broken")
    assert bench.run("pve1", "qm stop 101").exit_status == 0
    said = bench.run("pve1", "qm start 101")
    assert (said.exit_status, said.stderr) == (2, "cluster not ready - no quorum?\n")
    assert bench.run("pve1", "qm status 101").stdout == "status: stopped\n"


def test_flapping_comes_and_goes(make_bench: MakeBench) -> None:
    """On the model's clock, in both directions, again and again."""
    bench = make_bench("flapping")
    seen = []
    for _ in range(40):
        bench.advance(3)
        seen.append(bench.node("pve1").corosync.quorate)
    assert sum(a != b for a, b in itertools.pairwise(seen)) == 6


def test_the_network_heals_when_corosync_is_first_stopped(make_bench: MakeBench) -> None:
    """heals-mid-run: the other two nodes find each other at that moment."""
    bench = make_bench("heals-mid-run")
    assert bench.run("pve1", "pvecm status").exit_status == 2
    bench.run("pve3", "systemctl stop corosync")
    assert bench.run("pve1", "pvecm status").exit_status == 0
    assert bench.run("pve2", "pvecm expected 1").exit_status == 1
