"""Refusals of a command line, or of what stands in the way of a run: one line, and nothing was touched yet."""

from __future__ import annotations

import pytest

from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import with_id


def usage_error(of: RefusalId, text: object) -> pytest.UsageError:
    """What pytest ends with status 4 for."""
    return pytest.UsageError(with_id(of, str(text)))
