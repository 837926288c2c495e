"""The start of all guests after a boot without quorum: queued at first, then waiting; held by a signal, and let go."""

from __future__ import annotations

import pytest
from lab_bench import Bench, MakeBench

JOBS = "systemctl list-jobs --no-pager --no-legend"
HELD = "pgrep -a -r T -f '^task UPID:.*:startall:'"


def job(bench: Bench) -> list[str]:
    rows = [line.split()[1:] for line in bench.run("pve2", JOBS).stdout.splitlines()]
    return next(
        ([*row, bench.node("pve2").units.get("pve-guests").active] for row in rows if "pve-guests" in row[0]), []
    )


@pytest.mark.parametrize(("scenario", "seconds"), [("broken", 30.0), ("pve9", 80.0)])
def test_it_is_queued_behind_pveproxy_before_it_waits(scenario: str, seconds: float, make_bench: MakeBench) -> None:
    """30 s on 8, 80 s on 9 (recorded on PVE 8.3 and 9.1): the unit is inactive, and only the job tells."""
    bench = make_bench(scenario)
    bench.node("pve2").power_cycle()
    bench.advance(seconds - 2)
    assert job(bench) == ["pve-guests.service", "start", "waiting", "inactive"]
    bench.advance(4.0)
    assert job(bench) == ["pve-guests.service", "start", "running", "activating"]
    assert not bench.node("pve2").guests.running


def test_quorum_that_comes_meanwhile_starts_it(make_bench: MakeBench) -> None:
    bench = make_bench("broken")
    bench.node("pve2").power_cycle()
    bench.run("pve2", "pvecm expected 1; sleep 2")
    assert job(bench) == [] and sorted(bench.node("pve2").guests.running) == [201, 202, 210]


@pytest.mark.parametrize("command", ["pvecm expected 1", "systemctl stop pve-cluster corosync; pmxcfs -l"])
def test_whatever_grants_quorum_lets_it_go_unless_it_is_held(command: str, make_bench: MakeBench) -> None:
    for held in (False, True):
        bench = make_bench("startall-waiting")
        if held:
            assert bench.run("pve2", "systemctl kill --signal=SIGSTOP pve-guests.service").exit_status == 0
        assert bench.run("pve2", HELD).exit_status == (0 if held else 1)
        bench.run("pve2", f"{command}; sleep 10")
        running = sorted(bench.node("pve2").guests.running)
        assert (running, job(bench) == []) == (([], False) if held else ([201, 202, 210], True))
        bench.run("pve2", "systemctl kill --signal=SIGCONT pve-guests.service")
        assert sorted(bench.node("pve2").guests.running) == [201, 202, 210]


def test_a_signal_reaches_nothing_while_it_is_queued(make_bench: MakeBench) -> None:
    bench = make_bench("broken")
    bench.node("pve2").power_cycle()
    assert bench.run("pve2", "systemctl kill --signal=SIGSTOP pve-guests.service").exit_status == 0
    bench.run("pve2", "pvecm expected 1; sleep 60")
    assert bench.node("pve2").guests.running
