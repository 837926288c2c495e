"""Fixtures for the tests of twins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pve_runbook.facts_file.model import Portrait
from twin_bench import Read, original, twin

Make = Callable[..., Read]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Build clusters: ``make("broken")`` a starting state, ``make(portrait)`` a twin; none may be asked what it does
    not simulate."""
    made: list[Read] = []

    def build(what: str | Portrait, number: int = 3) -> Read:
        directory = tmp_path / str(len(made))
        made.append(original(what, directory, number) if isinstance(what, str) else twin(what, directory))
        return made[-1]

    yield build
    for cluster in made:
        cluster.close()
    assert "".join(c.site.unsimulated.read_text() for c in made if c.site.unsimulated.exists()) == ""
