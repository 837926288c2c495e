"""Carry the stages of the procedure out on the nodes of a run, and remember which are done."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from pve_runbook.facts.lock import Lock
from pve_runbook.plugin.provenance import operator
from pve_runbook.plugin.run import Run
from pve_runbook.work.access import MARK
from pve_runbook.work.node import Node
from pve_runbook.work.outlook import Outlook
from pve_runbook.work.procedure import Idle, Stage, Work

RUN, ATTEMPT, LOCK, VMID, TAG = "RUN", "ATTEMPT", "LOCK", "VMID", "TAG"
KEY = f"KEY {MARK}-{RUN}"
"""What stands in a plan for a value that only the run has."""
NOT_IN_A_PLAN = "a plan changes nothing"


def work_of(run: Run, *, key: str = KEY, card: bytes = b"CARD") -> Work:
    """What the procedure's decisions need to know of this run, with the values that it has."""
    cluster = run.cluster
    since = f"{run.started:%Y-%m-%dT%H:%M:%SZ}"
    earlier = run.unfinished if run.rollback is None else None
    return Work(
        run=cluster.work,
        attempt=cluster.attempt,
        lock=Lock(cluster.work, operator(), since, run.folder.name if run.folder is not None else "").text,
        canary_id=None if run.options.canary == "off" else str(run.options.canary or VMID),
        tag=run.id[-4:],
        key=key,
        card=card,
        held_as=cluster.work,
        keeps_backups=earlier is not None and earlier.changed_something,
        members=run.member_names,
        authority=run.authority.name if run.authority is not None else None,
        standalone_at_start=run.standalone_at_start,
        scheduled=run.scheduled,
        root_login=run.logs_in_as_root,
    )


def carry_out(
    run: Run,
    stage: Stage,
    nodes: Sequence[Node] | None = None,
    work: Work | None = None,
    *,
    first: Callable[[Node], None] = lambda node: None,
) -> None:
    """Do on each of ``nodes`` (all) what ``stage`` decides, and remember it as done.

    ``first`` judges a node by the same reading, right before anything is sent to it. Raises what it raises,
    ActionFailed, OutcomeUnknown, UnknownFact.
    """
    if run.options.plan:
        pytest.skip(NOT_IN_A_PLAN)
    known = work or work_of(run)
    chosen = list(run.cluster.nodes if nodes is None else nodes)
    for group in [[n] for n in chosen] if stage.one_by_one else [chosen]:
        run.cluster.each(lambda node: _on_node(run, stage, node, known, first), group)
    done(run, stage, chosen)


def _on_node(run: Run, stage: Stage, node: Node, work: Work, first: Callable[[Node], None]) -> None:
    first(node)
    for decision in stage.decide(Outlook(node), work):
        if isinstance(decision, Idle):
            run.note("state", f"nothing to do: {decision.why}", node.name)
        else:
            node.act(decision.action, stdin=decision.stdin)


def done(run: Run, stage: Stage, nodes: Sequence[Node] | None = None) -> None:
    """Remember that ``stage`` is done on ``nodes`` (all)."""
    run.done.update((stage, n.name) for n in (run.cluster.nodes if nodes is None else nodes))
