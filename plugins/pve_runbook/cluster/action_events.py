"""What the journal has of an action: before it is sent, and what came of it."""

from __future__ import annotations

import hashlib

from pve_runbook.actions.action import Action
from pve_runbook.journal import events
from pve_runbook.parsers.output import Output


def intent(node: str, action: Action, stdin: bytes | None) -> events.ActionIntent:
    """What is about to be sent, and what it reads from its standard input, by its hash."""
    return events.ActionIntent(
        node=node,
        action=action.name,
        argv=action.argv,
        why=action.why,
        undo=action.undo,
        detached=action.detached,
        stdin_sha256=hashlib.sha256(stdin).hexdigest() if stdin is not None else None,
    )


def outcome(
    node: str,
    number: int,
    status: int | None,
    output: Output,
    seconds: float,
    how: events.ActionOutcome,
    error: str | None,
) -> events.Action:
    """What came of the action whose intent has this number."""
    return events.Action(
        action_id=number,
        node=node,
        exit_status=status,
        stdout=output.stdout,
        stderr=output.stderr,
        seconds=seconds,
        outcome=how,
        error=error,
    )
