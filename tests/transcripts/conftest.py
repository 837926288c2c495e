"""A lab of three nodes for each worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_stage import Stage, a_lab


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A lab of three nodes."""
    yield from a_lab(3, tmp_path_factory.mktemp("records"))
