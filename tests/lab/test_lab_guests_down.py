"""Guests that are down and meant to run: the verdict names them, whatever else is well."""

from __future__ import annotations

import pytest
from lab_bench import MakeBench
from lab_verdict import judged
from pve_runbook.diagnosis.advice import NOTHING
from pve_runbook.diagnosis.verdict import Verdict


@pytest.mark.parametrize(("scenario", "verdict"), [("standalone", Verdict.STANDALONE), ("quorate", Verdict.HEALTHY)])
def test_a_guest_that_is_meant_to_run_and_is_down_is_never_nothing_to_do(
    scenario: str, verdict: Verdict, make_bench: MakeBench
) -> None:
    bench = make_bench(scenario)
    bench.node("pve2").guests.end(203)
    assert judged(bench).advice == NOTHING, "203 has no onboot: its owner stopped it"
    bench.node("pve2").guests.end(201)
    found = judged(bench)
    assert found.verdict is verdict
    assert "are down: pve2: 201 (mail201). Where" in found.advice
    assert found.advice.endswith("then type: qm start 201 (on pve2)")


def test_what_ha_starts_again_is_nobodys_task(make_bench: MakeBench) -> None:
    """201 is under HA, and HA has quorum."""
    bench = make_bench("ha-quorate")
    bench.node("pve2").guests.end(201)
    assert judged(bench).advice == NOTHING


def test_after_ha_reset_all_nodes_nobody_is_promised_to_come_up(make_bench: MakeBench) -> None:
    seen = "\n".join(judged(make_bench("ha-reset")).evidence)
    assert "pve2: guests 201 (mail201) are down, and HA, which keeps them running, needs quorum for it: nobody" in seen
    assert "pve2: guests 203 (build203) are down since its boot and not marked to start with it: nobody" in seen
