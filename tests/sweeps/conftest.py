"""Exhaustive tests: the run is killed, cut off, frozen or failed at every point, and has to converge.

One lab process a test; it is reset to the same starting state for every point. Two nodes: every kind of command is sent
(the authority's and a peer's), in half the time of three.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_stage import Stage, a_lab

NODES = 2


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A lab of two nodes."""
    yield from a_lab(NODES, tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A lab of three nodes."""
    yield from a_lab(3, tmp_path_factory.mktemp("records"))
