"""The throw-away guest has to do what it was told; what a guest does that does not is a refusal of its own."""

from __future__ import annotations

import pytest
from bench_run import MakeRun
from pve_runbook.actions.registry import CANARY_START, CANARY_STOP
from pve_runbook.procedure.canary import CanaryFailed, proofs


def test_a_guest_that_runs_although_it_was_stopped(make_run: MakeRun) -> None:
    [node] = make_run("quorate", 1).cluster.nodes
    proof = proofs({"pve1": "101"})
    proof[CANARY_START.name](node)
    with pytest.raises(CanaryFailed, match=r"(?s)^pve1: the throw-away guest 101 should be stopped.*\[PVE-R141\]$"):
        proof[CANARY_STOP.name](node)
