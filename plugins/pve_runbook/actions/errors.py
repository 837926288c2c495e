"""Why a change to a node was not made, or may have been made; each error's text is written for the operator."""

from __future__ import annotations

import shlex

from pve_runbook.actions.action import Action
from pve_runbook.parsers.output import Output
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import with_id


class ForOperator(Exception):
    """An error whose text is written for the operator, with no traceback beside it."""


class ActionFailed(ForOperator):
    """A command that changes a node was refused or failed; the message says what was seen and what to do."""

    def __init__(self, node: str, action: Action, output: Output) -> None:
        said = " ".join((output.stderr or output.stdout).split()) or "nothing"
        super().__init__(
            with_id(
                RefusalId.ACTION_FAILED,
                f"{node}: `{shlex.join(action.argv)}` ended with exit status {output.exit_status} and said: {said}\n"
                f"It was sent because: {action.why}.\n"
                f"Look at it on {node}, then run the same command line again; undo: {action.undo}",
            )
        )
        self.node = node


class OutcomeUnknown(Exception):
    """The connection was lost or the time ran out while a change was under way: it may or may not have happened."""

    def __init__(self, node: str, action: Action, why: str) -> None:
        super().__init__(
            f"{node}: no outcome of `{shlex.join(action.argv)}`: {why}\n"
            f"It may or may not have taken effect; nothing further is sent.\n"
            f"Run the same command line again: it reads the node first and goes on from what it finds"
        )
        self.node = node


class NotAllowed(ForOperator):
    """A run that only verifies was asked to change a node."""
