"""The environment of a pytest that a test starts in a process of its own."""

from __future__ import annotations

import os

OF_THE_SUITE = ("hypothesispytest", "xdist", "xdist.looponfail", "timeout")
"""pytest's plugins that came with the tests' own packages, and that an operator does not have: a run that loads them
takes a fourth longer to begin and to end."""


def as_typed() -> dict[str, str]:
    """As from a user's shell: nothing of the pytest around it, and Python keeps back what goes into a pipe."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_") and k != "PYTHONUNBUFFERED"}
    return {**kept, "PYTEST_ADDOPTS": " ".join(f"-p no:{name}" for name in OF_THE_SUITE)}
