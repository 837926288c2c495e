"""A gate of the runbook that has nothing to judge: neither passed nor refused, and what comes after it may go on."""

from __future__ import annotations

import pytest

NONE_WAITS = "no start of all guests waits here"
NOBODY_LEAVES = "every node has left already"
LEFT_ALREADY = "this node has left the cluster already"
STANDS = "this node does not go back: it is as it was, or stays as it is"


class NotApplicable(pytest.skip.Exception):  # type: ignore[name-defined,misc]
    """Raised by a gate with the reason why nothing is there for it to judge.

    An ordinary ``pytest.skip`` in runbook/ holds back every later step, for a gate that was not asked is unknown.
    """
