"""--approve=PHASES, all, or either with @PLAN: which questions are answered beforehand, and for which plan."""

from __future__ import annotations

import re

import pytest

from pve_runbook.plan.model import SHORT

PHASES_THAT_ASK = {0: "freeze", 2: "force quorum", 4: "every window", 7: "thaw", 8: "rollback"}
BAD_PLAN = "--approve={value!r}: behind the @ stands the hash of a plan, 12 letters that --plan printed"
BAD_APPROVE = "--approve={value!r}: write `all` or phases out of 0, 2, 4, 7, 8, e.g. --approve=0,2"


def read_phases(value: str | None) -> frozenset[int]:
    """The phases that ``value`` approves: ``all``, or some with commas between them. Raises UsageError."""
    if value is None:
        return frozenset()
    phases = value.partition("@")[0]
    if phases == "all":
        return frozenset(PHASES_THAT_ASK)
    parts = phases.split(",")
    if not all(p.isdecimal() and int(p) in PHASES_THAT_ASK for p in parts):
        raise pytest.UsageError(BAD_APPROVE.format(value=value))
    return frozenset(int(p) for p in parts)


def read_plan(value: str | None) -> str | None:
    """The hash of the plan that ``value`` is bound to; None when it is bound to none. Raises UsageError."""
    _, at, plan = (value or "").partition("@")
    if not at:
        return None
    if not re.fullmatch(f"[0-9a-f]{{{SHORT}}}", plan):
        raise pytest.UsageError(BAD_PLAN.format(value=value))
    return plan
