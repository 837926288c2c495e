"""Fixtures for the tests of the gates."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gate_opening import Opening


@pytest.fixture
def runs() -> Iterator[list[Opening]]:
    """The runs over one lab, one after the other; the last one is closed, and the lab with it."""
    made: list[Opening] = []
    yield made
    made[-1].close()
