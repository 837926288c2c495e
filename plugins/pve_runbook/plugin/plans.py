"""Plans on the disk: written beside the record, found again by their hash, and told to the operator."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pve_runbook.plan.card import by_hand_md
from pve_runbook.plan.model import Plan, differences, from_json, is_part_of
from pve_runbook.plan.text import NOT_EVALUATED, Gate, StageText, plan_md
from pve_runbook.plugin import planning, steps, typed
from pve_runbook.plugin.run import Run
from pve_runbook.plugin.stages import work_of
from pve_runbook.wire.detached import RUN_ROOT
from pve_runbook.work import procedure
from pve_runbook.work.probe import AUTHORIZED_KEYS2, BACKUP_ROOT, LOCK_PATH
from pve_runbook.work.procedure import Work

PLAN_JSON, PLAN_MD, BY_HAND_MD = "plan.json", "plan.md", "by-hand.md"
BY_HAND = "by-hand"
"""The folder on the nodes, and the attempt, of a person who works without the tool."""
NOT_FOUND = "no plan {hash} in {records}: what it named is not known here"


def write(run: Run, plan: Plan) -> str:
    """Write plan.md, plan.json and by-hand.md beside the record, and name the plan in the journal; plan.md's text.

    Raises OSError, UnknownFact.
    """
    assert run.folder is not None
    made = f"Made {run.started:%Y-%m-%d %H:%M:%S} UTC by: {typed.again(run.config)}"

    def gate(phase: int, title: str) -> Gate:
        return Gate(title, run.judged.get((phase, title), NOT_EVALUATED))

    stages = [
        StageText(p.stage.name, p.phase, tuple(gate(p.phase, t) for t in p.before), gate(p.phase, p.after))
        for p in planning.places(run)
    ]
    phases = {steps.Step(i, "").phase or 0: steps.Step(i, "").phase_title for i in run.steps}
    text = plan_md(plan, stages, phases, made, run.stopped_at or "")
    work = work_of(run)
    if run.options.plan:
        work = replace(work, run=BY_HAND, attempt=BY_HAND)
    data = plan.for_json()
    _write(run.folder / PLAN_MD, text)
    _write(run.folder / PLAN_JSON, json.dumps(data, ensure_ascii=False, indent=1) + "\n")
    _write(run.folder / BY_HAND_MD, card(run, work))
    run.journal.write("plan", sync=True, hash=plan.hash, commands=data["commands"], nodes=data["nodes"])
    return text


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def card(run: Run, work: Work) -> str:
    """What is left of ``work``, as lines to be typed by hand. Raises UnknownFact."""
    plan = planning.plan_ahead(run, work)
    titles = {p.stage.name: p.after for p in planning.places(run)}
    left_out = [s.name for s in procedure.STAGES if not s.by_hand]
    last = (
        f"rm -rf {LOCK_PATH} {RUN_ROOT}/{work.run}",
        f"[ ! -e {AUTHORIZED_KEYS2} ] || sed -i '/ pve-runbook-/d' {AUTHORIZED_KEYS2}",
    )
    return by_hand_md(plan, f"{BACKUP_ROOT}/{work.run}", titles, left_out, last)


def find(records: Path, plan_hash: str) -> Plan | None:
    """The plan of that hash among the records; None when there is none that can be read."""
    for path in sorted(records.glob(f"*/{PLAN_JSON}"), reverse=True):
        try:
            plan = from_json(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, OSError):
            continue
        if plan.hash == plan_hash:
            return plan
    return None


def changed_since_approval(run: Run, now: Plan) -> list[str]:
    """In what the commands ahead differ from what was approved, a line each; [] when in nothing, or before the first
    approval of a run that is bound to no plan.

    A run that takes another one up is within its plan while all that is left was named by it.
    """
    if run.approved is not None:
        return differences(_left_of(run.approved, ((stage.name, node) for stage, node in run.done)), now)
    wanted = run.options.approved_plan
    if wanted is None or now.hash == wanted:
        return []
    before = find(run.options.records, wanted)
    if before is None:
        return [NOT_FOUND.format(hash=wanted, records=run.options.records)]
    if run.unfinished is not None and is_part_of(now.commands, before.commands):
        before = replace(before, commands=now.commands)
    return differences(before, now)


def _left_of(plan: Plan, done: Iterable[tuple[str, str]]) -> Plan:
    return replace(plan, commands=plan.without(done))
