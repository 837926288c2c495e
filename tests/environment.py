"""The environment of a pytest that a test starts in a process of its own."""

from __future__ import annotations

import os


def as_typed() -> dict[str, str]:
    """As from a user's shell: nothing of the pytest around it, and Python keeps back what goes into a pipe."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_") and k != "PYTHONUNBUFFERED"}
