"""The network as it lives: what a reload changes is seen at the next gate, what changes by itself is not."""

from __future__ import annotations

import pytest
from bench_run import BenchRun, MakeRun, phase
from pve_lab.model.network import INTERFACES
from pve_lab.shapes.booted import EDIT
from pve_runbook.facts.live_network import changes, live_network
from pve_runbook.parsers.iproute import Address, Device

WINDOWS, END = phase("phase4_corosync"), phase("phase7_survival")
BRIDGE = Device("vmbr0", True, 1500, None, (Address("vmbr0", "10.55.0.11", 24, "inet", "global"),))
CARD = Device("eno1", True, 1500, "vmbr0", ())
TAP = Device("tap101i0", True, 1500, "vmbr0", ())
BEFORE = (BRIDGE, CARD, TAP)


def found(*now: Device, running: tuple[int, ...] = (101,)) -> list[str]:
    return changes(live_network(BEFORE), live_network(now), running)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (BEFORE, []),
        ((CARD, TAP), ["vmbr0 is gone (up, mtu 1500, 10.55.0.11/24)"]),
        ((Device("vmbr0", True, 1500, None, ()), CARD, TAP), ["vmbr0: is no more 10.55.0.11/24"]),
        ((BRIDGE, Device("eno1", True, 1500, None, ()), TAP), ["eno1: is no more port of vmbr0"]),
        ((BRIDGE, Device("eno1", False, 9000, "vmbr0", ()), TAP), ["eno1: was up, mtu 1500, is down, mtu 9000"]),
        (
            (BRIDGE, CARD, Device("tap101i0", True, 1500, "vmbr1", ())),
            ["tap101i0: was port of vmbr0, is port of vmbr1"],
        ),
        ((BRIDGE, CARD), ["tap101i0 is gone (port of vmbr0)"]),
        ((*BEFORE, Device("vmbr7", True, 1500, None, ())), ["vmbr7 is new (up, mtu 1500)"]),
    ],
)
def test_what_somebody_changed_is_named(now: tuple[Device, ...], said: list[str]) -> None:
    assert found(*now) == said


def test_what_changes_by_itself_does_not_count() -> None:
    """Guests and containers come and go, a router hands out addresses, a bridge takes the number of another card."""
    more = (
        Address("vmbr0", "fe80::1", 64, "inet6", "link"),
        Address("vmbr0", "2001:db8::1", 64, "inet6", "global", False),
    )
    bridge = Device("vmbr0", True, 1500, None, (*BRIDGE.addresses, *more))
    assert (
        found(bridge, CARD, TAP, Device("tap103i0", True, 1500, "vmbr0", ()), Device("vethab12", True, 1500, "br", ()))
        == []
    )
    assert found(BRIDGE, CARD, running=()) == [], "its owner stopped guest 101"


def frozen(make_run: MakeRun, state: str = "broken") -> BenchRun:
    run = make_run(state)
    run.freeze("pve1")
    return run


def said_of(run: BenchRun, name: str = "pve2") -> str:
    run.cluster.forget()
    try:
        WINDOWS.test_network_is_untouched(run.cluster.node(name), run.survival)
        END.test_network_is_as_it_was(run.cluster.node(name), run.survival)
    except AssertionError as error:
        return str(error)
    return ""


def test_a_window_leaves_the_network_as_it_is(make_run: MakeRun) -> None:
    run = frozen(make_run)
    run.leave(run.cluster.node("pve2"))
    assert [said_of(run, name) for name in ("pve1", "pve2", "pve3")] == ["", "", ""]


def test_a_reload_within_a_window_is_seen_after_it(make_run: MakeRun) -> None:
    """The commit of SDN is not held here: local mode releases it (recorded on PVE 9.1)."""
    run = frozen(make_run, "sdn-pending")
    assert said_of(run) == ""
    assert run.bench.run("pve2", "systemctl stop pve-cluster; pmxcfs -l").exit_status == 0
    run.bench.advance(10.0)
    assert run.bench.node("pve2").network_reloads == 1
    assert "PVE-R173" in said_of(run) and "vmbr7 is new (up, mtu 1500, 10.77.0.12/24)" in said_of(run)


def test_the_file_may_be_as_it_was(make_run: MakeRun) -> None:
    run = frozen(make_run)
    node = run.bench.node("pve2")
    was = node.files.text(INTERFACES)
    node.files.put(INTERFACES, was + EDIT)
    node.reload_network()
    node.files.put(INTERFACES, was)
    assert said_of(run, "pve1") == "" and "vmbr7 is new" in said_of(run)
    leaver = run.cluster.node("pve2")
    with pytest.raises(AssertionError, match="vmbr7 is new"):
        WINDOWS.test_nothing_stands_in_the_way(leaver, run.cluster, run.members, run.survival)


def test_a_guest_that_its_owner_stops_takes_its_port_with_it(make_run: MakeRun) -> None:
    run = frozen(make_run)
    run.bench.node("pve2").guests.end(201)
    assert said_of(run) == ""


def test_a_run_that_is_taken_up_goes_on_with_the_network_as_it_is_then(make_run: MakeRun) -> None:
    run = frozen(make_run)
    run.bench.node("pve2").interfaces[0].mtu = 9000
    assert "mtu 9000" in said_of(run)
    run.survival.take(frozenset())
    assert said_of(run) == ""
