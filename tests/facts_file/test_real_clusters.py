"""What is to be done about clusters that ran: `--save-facts` kept them, and the verdict is the right one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from captured_files import FOLDER, facts_paths
from pve_runbook.diagnosis.stability import QUIET_SECONDS
from pve_runbook.diagnosis.verdict import MEANT_FOR
from pve_runbook.diagnosis.verdict import Verdict as V
from pve_runbook.diagnosis.votes import majority_of_reached
from pve_runbook.facts_file.model import load
from pve_runbook.probes.answers import known

FACTS = FOLDER / "facts"
FLAPPING = "flapping"
VERDICTS = {
    # corosync was started a moment ago on all three: quorate, and not yet settled
    "quorate-quiet": (V.WAIT, ("pve1", "pve2", "pve3")),
    FLAPPING: (V.DISMANTLE, ("pve1", "pve2", "pve3")),
    "one-off": (V.HEALTHY_WITHOUT, ("pve1", "pve2")),
    "one-separated": (V.ONE_OUT, ("pve1", "pve2")),
    "two-separated-one-member": (V.HALF, ()),
    "half-dismantled": (V.HALF, ()),
    # all three booted less than five minutes ago
    "ha-armed-cut": (V.WAIT, ()),
    "reset-by-ha-starts-wait": (V.WAIT, ()),
}
"""File → what is to be done, and who is quorate together by their own votes."""
TEN_MINUTES_LATER = {
    **{name: verdict for name, (verdict, _) in VERDICTS.items()},
    "quorate-quiet": V.HEALTHY,
    "ha-armed-cut": V.DISMANTLE,
    "reset-by-ha-starts-wait": V.DISMANTLE,
}
"""File → what is to be done when nobody did anything since; where HA is armed, it has reset the nodes meanwhile."""


def of_facts(make: Callable[..., Any], name: str) -> Any:
    return make(load((FACTS / f"{name}.json").read_text()))


@pytest.mark.parametrize("name", VERDICTS)
def test_the_verdict_on_a_real_cluster_is_the_right_one(make: Callable[..., Any], name: str) -> None:
    verdict, together = VERDICTS[name]
    twin = of_facts(make, name)
    found = twin.diagnosis()
    assert found.verdict is verdict, str(found)
    part = known(partial(majority_of_reached, twin.powered))
    assert (part.members if part is not None else ()) == together


@pytest.mark.parametrize("name", TEN_MINUTES_LATER)
def test_ten_minutes_later(make: Callable[..., Any], name: str) -> None:
    twin = of_facts(make, name)
    twin.cluster.clock.advance(2 * QUIET_SECONDS)
    assert twin.diagnosis().verdict is TEN_MINUTES_LATER[name]


def test_a_member_that_is_off_by_the_operators_word_is_no_reason_to_take_the_others_apart(
    make: Callable[..., Any],
) -> None:
    found = of_facts(make, "one-off").diagnosis(frozenset(("pve3",)))
    assert found.verdict is V.HEALTHY_WITHOUT
    assert "pve3: powered off, as --absent says" in found.evidence


@pytest.mark.parametrize("name", [n for n, (_, together) in VERDICTS.items() if together and n != FLAPPING])
def test_a_quorate_majority_is_never_taken_apart(make: Callable[..., Any], name: str) -> None:
    """Not at the moment of the file, and not at any minute of the next ten."""
    twin = of_facts(make, name)
    for _ in range(10):
        assert twin.diagnosis().verdict not in MEANT_FOR
        twin.cluster.clock.advance(60.0)


def test_guests_that_only_ha_would_start_are_named(make: Callable[..., Any]) -> None:
    """A node that boots has queued the start of its guests before it waits for quorum, and skips those under HA."""
    twin = of_facts(make, "reset-by-ha-starts-wait")
    starts = {f.node: f.starts() for f in twin.powered}
    assert {n: tuple(tuple(g.vmid for g in some) for some in (s.startall, s.under_ha)) for n, s in starts.items()} == {
        "pve1": ((), (101, 102)),
        "pve2": ((), (201, 202, 203)),
        "pve3": ((), (301, 302)),
    }
    assert any(e.startswith("pve1: guests 101 (") and "are down, and HA" in e for e in twin.diagnosis().evidence)


def test_every_file_has_its_verdict() -> None:
    assert {p.stem for p in facts_paths(FACTS)} == set(VERDICTS)
