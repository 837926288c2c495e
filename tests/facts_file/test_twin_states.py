"""A twin, read with the same probes, is what it was built from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from pve_lab.scenarios import SCENARIOS
from pve_lab.shapes import leave_by_vendors_way
from pve_runbook.diagnosis.network import Cause, find
from pve_runbook.facts_file.gaps import ALWAYS, differences, limits
from pve_runbook.probes.probe import LOCK_PATH
from sampling import some

FEW = ("config-older-names",)
"""Databases, files and memberships that are not the same everywhere."""
TWO_PROCESSES = ("guest-starting", "guest-twice")
"""Which process is the guest is unknown there, where no node is asked twice; a twin has one process a guest."""
NOT_TO_BE_HAD = (
    *("database-damaged", "database-damaged-broken"),  # a twin has a database that opens
    "databases-wiped",  # and one that was always written to: the version begins where the lab's does
    "corosync-never-stopped",  # its corosync has members that its pmxcfs does not know of
    *("node-renamed", "node-renamed-broken"),  # and a node has one name
    *("both-down", "stale-mount", "pmxcfs-failed-by-hosts"),  # a loop device that was not read is none in a twin
    "cmap-busy",  # what did not answer is not known to answer "try again"
)
CHOSEN = some((s for s in SCENARIOS if s not in (*FEW, *TWO_PROCESSES, *NOT_TO_BE_HAD)), 4)
"""With the sweeps."""


SLOW = ("hung-pve", "hung-nas")
"""Here one probe after the other waits for the model's clock, which the node's own is held against."""


@pytest.mark.parametrize("scenario", [*FEW, *(pytest.param(s, marks=pytest.mark.sweep) for s in CHOSEN)])
def test_a_twin_is_what_was_read(make: Callable[..., Any], scenario: str) -> None:
    original = make(scenario)
    portrait = original.portrait()
    twin = make(portrait)
    found = differences(portrait, twin.portrait())
    assert [text for text in found if scenario not in SLOW or ".clock" not in text] == []
    assert twin.verdict() == original.verdict()


@pytest.mark.parametrize("scenario", ["nft-drops", "proxmox-firewall-nft", "routed-fabric"])
def test_a_twin_filters_and_routes_as_what_was_read(make: Callable[..., Any], scenario: str) -> None:
    original = make(scenario)
    twin = make(original.portrait())
    for cause in (Cause.FILTERED, Cause.ROUTED):
        found = [find(cause, [read.facts(n) for n in ("pve1", "pve2", "pve3")]) for read in (original, twin)]
        assert found[0] == found[1]
        assert bool(found[0]) is ((scenario, cause) == ("nft-drops", Cause.FILTERED))
    one = twin.facts("pve3")
    assert bool(one.readings["nft_ruleset"].chains) is (scenario != "routed-fabric")
    assert twin.portrait().nodes[2].wiring == original.portrait().nodes[2].wiring


@pytest.mark.sweep
@pytest.mark.parametrize("number", [1, 2, 5])
def test_clusters_of_other_sizes(make: Callable[..., Any], number: int) -> None:
    portrait = make("broken", number).portrait()
    assert differences(portrait, make(portrait).portrait()) == []


def test_a_run_that_was_cut_short_is_what_was_read(make: Callable[..., Any]) -> None:
    """Forced votes, masks, a node that has left already, another in its window, a lock."""
    original = make("broken")
    first, second, third = original.cluster.nodes.values()
    for node in (second, third):
        node.units.stop("corosync")
        node.units.mask("corosync", runtime=True)
        node.units.stop("pvescheduler")
        node.units.mask("pvescheduler", runtime=True)
    assert first.corosync.force_expected(1)
    leave_by_vendors_way(second)
    third.units.stop("pve-cluster")
    third.pmxcfs.start(("pmxcfs", "-l"))
    third.files.put_link("run=20260101T000000Z-abcd;by=me;since=2026-01-01T00:00:00Z;record=x", LOCK_PATH)
    original.cluster.clock.advance(30.0)
    portrait = original.portrait()
    twin = make(portrait)
    [held] = differences(portrait, twin.portrait())
    assert held == "nodes[pve3].held.run: 20260101T000000Z-abcd, in the twin twin-of-20260101T000000Z-abcd"
    one, two, three = twin.cluster.nodes.values()
    assert one.pmxcfs.quorate and two.standalone and three.pmxcfs.local_mode
    assert "pve3: what the run 20260101T000000Z-abcd that holds it has left: the twin has its lock alone" in limits(
        portrait
    )


def test_what_a_twin_is_not_is_found(make: Callable[..., Any]) -> None:
    portrait = make("quorate", 2).portrait()
    [one, two] = portrait.nodes
    other = replace(portrait, nodes=(one, replace(two, watchdog=True, datasets=("tank",))))
    assert differences(portrait, other) == [
        f"nodes[pve2].datasets: {str(list(two.datasets))[:60]}, in the twin ['tank']",
        "nodes[pve2].watchdog: nothing, in the twin True",
    ]


def test_a_member_that_nobody_read_stands_in_without_power(make: Callable[..., Any]) -> None:
    whole = make("broken").portrait()
    portrait = replace(whole, nodes=whole.nodes[:2])
    found = make(portrait).cluster
    assert {name: node.powered for name, node in found.nodes.items()} == {"pve1": True, "pve2": True, "pve3": False}
    assert "pve3: nothing but what the others see of it: it was not read" in limits(portrait)


def test_a_member_that_was_not_read_and_is_seen_has_its_vote(make: Callable[..., Any]) -> None:
    whole = make("quorate").portrait()
    twin = make(replace(whole, nodes=whole.nodes[:2]))
    assert twin.cluster.nodes["pve3"].powered
    assert twin.cluster.nodes["pve1"].corosync.members == (1, 2, 3)
    assert twin.cluster.nodes["pve1"].pmxcfs.quorate


def test_what_was_not_answered_is_told(make: Callable[..., Any]) -> None:
    lines = limits(make("hung-pve").portrait())
    [silent] = [line for line in lines if line.startswith("pve2:") and "pve_mode" in line]
    assert "pvecm" in silent and "members" in silent and silent.endswith("no answer in time")
    assert "pve2: whom its corosync sees: taken is what the others say of it" in lines
    assert lines[-len(ALWAYS) :] == list(ALWAYS)
    assert not [line for line in lines if line.startswith("pve1:")]


def test_what_has_no_model_is_told(make: Callable[..., Any]) -> None:
    portrait = make("quorate", 2).portrait()
    [one, two] = portrait.nodes
    assert one.wiring is not None
    card = replace(one.wiring.cards[0], kind="vxlan", addresses=("10.1.0.1/24", "10.2.0.1/24"))
    files = {**portrait.files, "storage.cfg": (portrait.files["storage.cfg"][0] + "\nzfs: san\n\tportal 10.0.0.9\n",)}
    one = replace(one, version="8.4.1", wiring=replace(one.wiring, cards=(card,), others=2), inactive=("nas",))
    lines = limits(replace(portrait, nodes=(one, two), files=files))
    for text in (
        "pve1: Proxmox VE 8.4.1; the twin acts like 8.3.0",
        f"pve1: {card.name} (vxlan): taken for a plain card",
        f"pve1: {card.name}: its first address of IPv4 alone (10.1.0.1/24, 10.2.0.1/24)",
        "pve1: 2 routes behind gateways that are no default route",
        "pve2: storage san (zfs): no listing shows its volumes",
        "pve1: storage nas is mounted nowhere: it is taken for inactive",
    ):
        assert text in lines


def test_a_start_that_was_queued_begins_to_wait_on_the_twin_too(make: Callable[..., Any]) -> None:
    twin = make(make("startall-queued").portrait())
    guests = twin.cluster.nodes["pve2"].units.get("pve-guests")
    assert (guests.active, guests.job_state) == ("inactive", "waiting")
    twin.cluster.clock.advance(100.0)
    assert (guests.active, guests.job_state) == ("activating", "running")
