"""Plans on the disk: written beside the record, found again by their hash."""

from __future__ import annotations

import json
from pathlib import Path

from pve_runbook.plan.model import Plan, from_json

PLAN_JSON, PLAN_MD, BY_HAND_MD = "plan.json", "plan.md", "by-hand.md"


def write(folder: Path, plan: Plan, text: str, card: str | None) -> None:
    """Write ``plan`` (plan.json), what it is in words (plan.md) and the card, if any (by-hand.md). Raises OSError."""
    data = json.dumps(plan.for_json(), ensure_ascii=False, indent=1) + "\n"
    for name, content in ((PLAN_MD, text), (PLAN_JSON, data), *([(BY_HAND_MD, card)] if card is not None else [])):
        (folder / name).write_text(content, encoding="utf-8")


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
