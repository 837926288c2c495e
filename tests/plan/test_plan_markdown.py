"""The plan in words."""

from __future__ import annotations

from pve_runbook.journal.rows import Command, Identity
from pve_runbook.plan.markdown import Gate, StageText, plan_md
from pve_runbook.plan.model import Plan, Question

TEXT = (
    "pve1 LEAVES THE CLUSTER.\n"
    "Until pve-cluster is started standalone a step that fails puts the node back by itself; after that the way\n"
    "back is --rollback, until somebody changes a node that left.\n"
    "  pve1: a job that deserves a look\n"
)


def test_a_question_is_quoted_with_its_sentences_in_one_piece() -> None:
    """Its text is broken where the code is; broken once more at 80 columns it had a word or two in every other line."""
    plan = Plan(
        cluster="labcluster",
        nodes=(Identity("pve1", "pve1", "boot"),),
        members=("pve1",),
        authority="pve1",
        code={},
        commands=(Command(4, "window", "pve1", "window", ("true",), "why", "undo", None),),
        questions=(Question(4, "window", "pve1", "pve1", TEXT),),
    )
    stages = [StageText("window", 4, (), Gate("It left."))]
    text = plan_md(plan, stages, {4: "remove corosync"}, "Made now.", "", folded=True)
    assert [line[4:] for line in text.splitlines() if line.startswith("  > ")] == [
        "pve1 LEAVES THE CLUSTER.",
        "Until pve-cluster is started standalone a step that fails puts the node back",
        "by itself; after that the way back is --rollback, until somebody changes a",
        "node that left.",
        "  pve1: a job that deserves a look",
    ]
